"""Text becomes the same terms for catalogue and query."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.text import LANGUAGES, MAX_QUERY_TERMS, fold, index_terms, query_terms, stem, words


def asked(text: str, language: str = "en") -> list[str]:
    return [t.text for t in query_terms(text, language)]


def test_plural_and_singular_give_one_term() -> None:
    assert asked("running shoes") == asked("running shoe")


def test_accents_and_case_do_not_matter() -> None:
    assert fold("CRÈME Brûlée") == "creme brulee"


def test_a_model_number_is_kept_whole_and_found_by_its_parts() -> None:
    indexed = index_terms("Sony WH-1000XM4", "en")
    assert "wh1000xm4" in indexed
    assert set(asked("wh 1000xm4")) <= set(indexed)
    assert set(asked("WH1000XM4")) <= set(indexed)
    assert query_terms("wh-1000xm4", "en")[0].parts == ("wh", "1000xm4")


def test_a_decimal_is_one_term_without_parts() -> None:
    assert index_terms('43.2 cm (17")', "en") == ["43.2", "cm", "17"]


def test_stop_words_count_only_when_nothing_else_is_left() -> None:
    assert asked("shoes for women") == asked("shoes women")
    assert asked("the and") == ["the", "and"]


def test_query_syntax_is_just_characters() -> None:
    assert asked('title:(a* OR "b") AND -c~2') == asked("title a* OR b AND c 2")


def test_emoji_and_blanks_give_no_terms() -> None:
    assert asked("🎧 🎧") == []
    assert asked("  \t\n ") == []


def test_right_to_left_words_are_terms() -> None:
    assert asked("سماعة رأس") != []


def test_an_unknown_language_says_which_there_are() -> None:
    with pytest.raises(ValueError, match="'xx' is not one of en"):
        stem("shoes", "xx")


@given(st.text(max_size=400), st.sampled_from(sorted(LANGUAGES)))
def test_every_text_is_analysed_within_bounds(text: str, language: str) -> None:
    terms = query_terms(text, language)
    assert len(terms) <= MAX_QUERY_TERMS
    assert len({t.text for t in terms}) == len(terms)
    assert all(t.text and not t.text.isspace() for t in terms)


@given(st.text(alphabet=st.characters(categories=("L", "N", "Zs"), include_characters="-./'&"), max_size=120))
def test_a_catalogue_text_is_found_by_itself(text: str) -> None:
    indexed = set(index_terms(text, "en"))
    assert all(t.text in indexed for t in query_terms(text, "en"))


@given(st.text(max_size=100))
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(fold(text)) == fold(text)
    assert all(w == fold(w) for w in words(text))
