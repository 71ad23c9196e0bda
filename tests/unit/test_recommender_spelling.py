"""Spelling corrects what nobody knows, and leaves alone what anybody could mean."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recommender.spelling import (
    MAX_UNKNOWN,
    Speller,
    Vocabulary,
    build_vocabulary,
    catalogue_words,
    common_slip,
    ordinary_words,
    query_words,
)
from services.catalogue import CATEGORIES_SCHEMA, Categories, Product

WORDS = [
    "running",
    "shoes",
    "shorts",
    "wireless",
    "headphones",
    "notebook",
    "note",
    "book",
    "keyboard",
    "usb",
    "cable",
    "black",
    "men",
    "cafe",
]
SPELLER = Speller(Vocabulary({word: 100 - n for n, word in enumerate(WORDS)} | {"handmade": 0}), "en")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("runing shoes", "running shoes"),  # one edit
        ("wireles headphnes", "wireless headphones"),
        ("haedphones", "headphones"),  # letters swapped
        ("hedfones", None),  # three edits are another word
        ("runningshoes", "running shoes"),  # typed as one
        ("head phones", "headphones"),  # typed apart
        ("black key board cable", "black keyboard cable"),
        ("usb-cabel", "usb cable"),
        ("Wireles (Black) HEADPHONES", "wireless (Black) HEADPHONES"),
        ("hedphonse", "headphones"),  # two edits
        ("kaybord", None),  # ... of seven letters make it anything
        ("blak", "black"),
        ("ksbord", None),  # a short word gets one edit only
    ],
)
def test_what_was_typed_becomes_what_was_meant(typed: str, meant: str | None) -> None:
    assert SPELLER.correct(typed) == meant


@pytest.mark.parametrize(
    "text",
    [
        "note book",
        "running shoe",
        "handmade",
        "hand-made shoes usb-cable",
        "xm4 wh-1000xm5 shoees2",
        "for the men",
        "ab zz",
        "CAFÉ",
        "",
        " ",
        "🎧",
        "!?",
    ],
)
def test_what_is_known_short_or_has_a_digit_stays(text: str) -> None:
    assert SPELLER.correct(text) is None
    if text != "hand-made shoes usb-cable":
        assert not SPELLER.needs_work(text)


@given(st.lists(st.sampled_from(WORDS), max_size=8), st.lists(st.text(min_size=1, max_size=12), max_size=4), st.randoms())
def test_a_known_word_is_never_changed_whatever_stands_beside_it(known: list[str], others: list[str], random: "st.Random") -> None:
    typed = known + others
    random.shuffle(typed)
    corrected = SPELLER.correct(" ".join(typed))
    if corrected is not None:
        kept = Counter(corrected.split())
        joined = sum(1 for word in known if not kept[word])  # only by being joined to an unknown neighbour
        assert joined <= len(others)
        assert corrected != " ".join(typed)


@given(st.text(max_size=256))
def test_any_text_is_survived_and_a_correction_needs_no_further_one(text: str) -> None:
    corrected = SPELLER.correct(text)
    assert corrected is None or SPELLER.needs_work(text)


def test_only_so_many_unknown_words_are_looked_up() -> None:
    unknown = [f"shirt{letters}"[::-1] for letters in ("qa", "qb", "qc", "qd", "qe", "qf", "qg", "qh")][:MAX_UNKNOWN]
    assert SPELLER.correct(" ".join(["keybord", "keybord", *unknown])) == " ".join(["keyboard", "keyboard", *unknown])
    assert SPELLER.correct(" ".join([*unknown, "keybord"])) is None


def product(title: str, description: str = "") -> Product:
    return Product(0, "p", title, "Acme", 1, description, 1, "", 0, {"material": "Leather", "sku": "hidden"})


def test_the_catalogue_knows_words_parts_and_descriptions_but_corrects_only_to_what_it_names() -> None:
    categories = Categories(CATEGORIES_SCHEMA.empty_table().from_pydict({"category_id": [1], "name": ["Sofas"], "parent_id": [-1]}))
    counts = catalogue_words([product("T-shirt", "Cosy"), product("Red t-shirt")], categories, ["material"])
    assert (counts["tshirt"], counts["shirt"], counts["sofas"], counts["leather"], counts["acme"], counts["cosy"]) == (2, 2, 2, 2, 2, 0)
    assert "cosy" in counts
    assert counts["hidden"] == 0 and "hidden" in counts  # of an attribute that is not searched: nobody's misspelling all the same


def test_a_word_of_queries_counts_when_many_clicked_and_it_looks_like_no_typo() -> None:
    typed = {"couch": 6, "touch": 60, "sofaa": 4, "sofa": 80, "rare": 2}
    queries = query_words((word, f"visitor {n}") for word, visitors in typed.items() for n in range(visitors))
    vocabulary = build_vocabulary(Counter({"sofa": 100, "touch": 5, "cosy": 0}), queries)
    assert vocabulary.counts == {"sofa": 180, "touch": 65, "cosy": 0, "couch": 6}


def test_a_visitor_who_repeats_a_word_counts_once() -> None:
    assert query_words([("red couch", "ann"), ("couch", "ann"), ("couch", "bob")]) == {"couch": 2, "red": 1}


def test_a_word_that_has_synonyms_is_known_in_every_inflection() -> None:
    speller = Speller(Vocabulary({"touch": 50}), "en", ["couch"])
    assert (speller.correct("couches"), speller.correct("pouch")) == (None, "touch")


def test_a_vocabulary_survives_its_file() -> None:
    vocabulary = Vocabulary({"b": 2, "a": 0, "ü": 1})
    assert Vocabulary.loads(vocabulary.dumps()) == vocabulary
    assert Vocabulary.loads(b"") == Vocabulary({})


def test_a_tiny_word_is_changed_only_to_a_frequent_one_that_starts_alike() -> None:
    speller = Speller(Vocabulary({"bays": 3, "cable": 90, "case": 80, "saga": 50}), "en")
    assert speller.correct("the boys") is None
    assert speller.correct("csae") == "case"
    assert speller.correct("vase") is None
    assert speller.correct("sata") is None  # no slip of the finger turns a g into a t


@pytest.mark.parametrize(
    ("typed", "meant", "usual"),
    [
        ("lap", "lamp", True),
        ("lamo", "lamp", True),  # the key beside it
        ("lemp", "lamp", True),
        ("lmap", "lamp", True),
        ("laamp", "lamp", True),
        ("lampp", "lamp", True),
        ("lamps", "lamp", False),
        ("lasp", "lamp", False),
        ("xlamp", "lamp", False),
    ],
)
def test_usual_slips(typed: str, meant: str, usual: bool) -> None:
    assert common_slip(typed, meant) is usual


@pytest.mark.parametrize(
    ("text", "near"), [("brussels", "brushes"), ("barrier", "carrier"), ("kindle", "kindly"), ("dolly", "dolby")]
)  # fmt: skip
def test_an_ordinary_word_or_name_that_the_catalogue_lacks_is_not_taken_for_one_that_it_has(text: str, near: str) -> None:
    counts = Vocabulary(dict.fromkeys(("brushes", "carrier", "kindly", "dolby"), 500))
    assert Speller(counts, "en").correct(text) == near
    assert Speller(counts, "en", (), ordinary_words("en")).correct(text) is None


def test_a_listed_word_that_is_but_a_frequent_slip_of_one_that_the_catalogue_has_is_corrected() -> None:
    speller = Speller(
        Vocabulary({"dining": 9, "table": 9, "blue": 90}), "en", (), {"dinning": 1, "dining": 87, "blur": 1, "blue": 500, "tables": 3}
    )
    assert speller.correct("dinning table") == "dining table"
    assert speller.correct("blur tables") is None  # tiny ones look like anything
    assert Speller(Vocabulary({"dining": 9}), "en", (), {"dinning": 2, "dining": 87}).correct("dinning") is None


def test_nobody_means_a_stop_word() -> None:
    assert Speller(Vocabulary({"and": 500, "the": 500}), "en").correct("amd tue") is None


def test_a_language_without_a_list_has_no_ordinary_words() -> None:
    assert ordinary_words("de") == {}
    assert {"dad", "nike", "headphones"} <= ordinary_words("en").keys()
    assert "hedphones" not in ordinary_words("en")


def test_words_of_attributes_that_are_not_searched_are_known_and_never_changed() -> None:
    product = Product(1, "1", "Cable", "Acme", -1, "", 0, "", 0, {"series": "Cabel"})
    counts = catalogue_words([product], Categories(CATEGORIES_SCHEMA.empty_table()), [])
    assert counts["cabel"] == 0
    assert Speller(Vocabulary(dict(counts)), "en").correct("cabel") is None
