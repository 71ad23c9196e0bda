"""A cursor gives back exactly what was put into it, and nothing that was changed on the way is believed."""

import string

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from planner.cursor import MAX_AGE_MS, MAX_CHARS, CursorExpired, CursorInvalid, State, decode, encode
from services.contracts import Candidates, Category, Filters, Term, TierCount, Total

KEY = b"secret"
NOW = 1_800_000_000_000

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
states = st.builds(
    State,
    query_id=texts,
    text=texts,
    terms=st.lists(st.builds(Term, texts, st.lists(st.lists(texts, max_size=2), max_size=2)), max_size=4),
    categories=st.lists(st.builds(Category, st.integers(0, 999), texts, st.floats(0, 1)), max_size=3),
    generation=st.integers(1, 10**6),
    release=st.none() | st.integers(1, 10**6),
    total=st.builds(Total, st.integers(0, 10**7), st.sampled_from(["eq", "gte"])),
    tiers=st.lists(st.builds(TierCount, texts, st.booleans(), st.integers(0, 200), st.integers(0, 200)), max_size=3),
    page_size=st.integers(1, 100),
    shown=st.integers(0, 1000),
    page=st.integers(1, 100),
    corrected=st.none() | texts,
    cut=st.booleans(),
    sort=st.sampled_from(["relevance", "price_asc"]),
    filters=st.none() | st.builds(Filters, brand=st.none() | st.lists(texts, min_size=1, max_size=3)),
    user=st.none() | texts,
    degraded=st.lists(texts, max_size=2),
)


def candidates(n: int) -> Candidates:
    random = np.random.default_rng(n)
    return Candidates(
        random.integers(0, 2**32, n, dtype=np.uint32).tobytes(),
        random.random(n, dtype=np.float32).tobytes(),
        random.integers(0, 3, n, dtype=np.uint8).tobytes(),
        random.integers(0, 2, n, dtype=np.uint8).tobytes(),
    )


def state(**changed: object) -> State:
    given = {"query_id": "q", "text": "shoe", "terms": [], "categories": [], "generation": 1, "release": 2, "total": Total(5, "eq")}
    return State(**{**given, "tiers": [], "page_size": 10, "shown": 10, "page": 1, **changed})  # type: ignore[arg-type]


@settings(deadline=None)
@given(states, st.integers(0, 300))
def test_what_goes_in_comes_out(before: State, n: int) -> None:
    text = encode(before, candidates(n), KEY, NOW)
    assert decode(text, KEY, NOW + 1) == (before, candidates(n))
    assert set(text) <= set(string.ascii_letters + string.digits + "-_")


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_any_changed_character_is_noticed(data: st.DataObject) -> None:
    text = encode(state(text=data.draw(texts)), candidates(data.draw(st.integers(0, 20))), KEY, NOW)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(max_codepoint=0x2FF).filter(lambda c: c != text[place]))
    with pytest.raises(CursorInvalid):
        decode(text[:place] + other + text[place + 1 :], KEY, NOW)


@settings(deadline=None)
@given(st.data())
def test_a_cut_or_lengthened_cursor_is_noticed(data: st.DataObject) -> None:
    text = encode(state(), candidates(data.draw(st.integers(0, 5))), KEY, NOW)
    with pytest.raises(CursorInvalid):
        decode(text[: data.draw(st.integers(0, len(text) - 1))], KEY, NOW)
    with pytest.raises(CursorInvalid):
        decode(text + data.draw(st.text(min_size=1, max_size=8)), KEY, NOW)


@settings(deadline=None)
@given(st.text(max_size=200))
def test_arbitrary_text_is_no_cursor(text: str) -> None:
    with pytest.raises(CursorInvalid):
        decode(text, KEY, NOW)


def test_a_cursor_of_another_installation_is_not_believed() -> None:
    with pytest.raises(CursorInvalid):
        decode(encode(state(), candidates(3), b"another secret", NOW), KEY, NOW)


def test_it_lives_for_thirty_minutes() -> None:
    text = encode(state(), candidates(3), KEY, NOW)
    assert decode(text, KEY, NOW + MAX_AGE_MS)[0].shown == 10
    with pytest.raises(CursorExpired):
        decode(text, KEY, NOW + MAX_AGE_MS + 1)


def test_forged_and_expired_have_codes_of_their_own() -> None:
    assert {CursorInvalid.code, CursorExpired.code} == {"cursor-invalid", "cursor-expired"}
    assert CursorInvalid.status == CursorExpired.status == 400


def test_filters_that_are_too_long_to_carry_are_left_behind() -> None:
    filters = Filters(brand=["b" * 200 + str(n) for n in range(50)], attributes={"color": ["c" * 200 + str(n) for n in range(50)]})
    text = encode(state(filters=filters), candidates(190), KEY, NOW)
    assert len(text) <= MAX_CHARS
    assert decode(text, KEY, NOW)[0] == state(filters=None)


def test_a_full_page_of_candidates_makes_a_cursor_under_four_kilobytes() -> None:
    assert len(encode(state(terms=[Term(f"term{n}") for n in range(8)]), candidates(190), KEY, NOW)) < 4096
