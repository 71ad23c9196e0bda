"""What the API says about values that do not fit."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from planner.events import UbiEvents
from planner.routes import SearchParameters
from services.contracts import Filters, SearchRequest, Sort
from services.errors import InvalidRequest
from services.validation import invalid, plain


def problem(expected: Any, value: Any, *, strict: bool = True) -> InvalidRequest:
    with pytest.raises(msgspec.ValidationError) as error:
        msgspec.convert(value, expected, strict=strict)
    return invalid(error.value, expected)


@pytest.mark.parametrize(
    ("value", "field", "detail", "accepted"),
    [
        ({"query": 3}, "query", "query: text is expected, not a whole number", "text"),
        ({"page": 0}, "page", "page: a whole number, at least 1 is expected", "a whole number, at least 1"),
        ({"user_id": "x" * 200}, "user_id", "user_id: text of at most 128 characters is expected", "text of at most 128 characters"),
        ({"filters": {"brand": []}}, "filters.brand", "filters.brand: a list of at least 1 entries is expected", None),
        ({"explain": "yes"}, "explain", "explain: true or false is expected, not text", "true or false"),
        ({"sort": 5}, "sort", None, "newest, price_asc, price_desc, relevance"),
        (
            {"filters": {"attributes": {"x" * 101: ["a"]}}},
            "filters.attributes",
            "filters.attributes: names of text of at most 100 characters are expected",
            None,
        ),
        (
            {"filters": {"attributes": {str(n): ["a"] for n in range(21)}}},
            "filters.attributes",
            "filters.attributes: an object of at most 20 entries is expected",
            None,
        ),
        ([1], None, "body: an object is expected, not a list", "an object"),
        ({"filters": {"attributes": {"color": [1]}}}, "filters.attributes[...][0]", None, "text"),
    ],
)
def test_what_has_the_wrong_kind_is_told_the_right_one(value: Any, field: str | None, detail: str | None, accepted: str | None) -> None:
    found = problem(SearchRequest, value)
    assert found.field == field
    assert detail is None or found.detail == detail
    assert accepted is None or found.accepted == accepted


def test_one_of_several_values_is_told_all_of_them() -> None:
    for kind, strict in ((SearchRequest, True), (SearchParameters, False)):
        found = problem(kind, {"sort": "cheap"}, strict=strict)
        assert found.field == "sort"
        assert set((found.accepted or "").split(", ")) == set(Sort.__args__)  # type: ignore[attr-defined]  # a Literal's values
        assert "'cheap' is none of" in found.detail


def test_a_field_that_is_not_there_is_told_those_that_are() -> None:
    found = problem(SearchRequest, {"filters": {"color": ["red"]}})
    assert (found.field, found.accepted) == ("filters.color", ", ".join(Filters.__struct_fields__))
    assert "qery" in problem(SearchRequest, {"qery": "shoe"}).detail
    assert "query" in (problem(SearchRequest, {"qery": "shoe"}).accepted or "")


def test_a_field_that_is_missing_is_named() -> None:
    found = problem(UbiEvents, [{"action_name": "click"}, {}])
    assert (found.field, found.detail) == ("[1].action_name", "[1].action_name: is missing")


@given(
    st.recursive(st.none() | st.booleans() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner))
)
def test_whatever_does_not_fit_is_said_without_the_names_of_types(value: Any) -> None:
    for kind in (SearchRequest, UbiEvents):
        try:
            msgspec.convert({"filters": value} if kind is SearchRequest else [value], kind)
        except msgspec.ValidationError as error:
            found = invalid(error, kind)
            assert not any(word in found.detail.replace(repr(value), "") for word in ("`int`", "`str`", "`array`", "| null"))


def test_bounds_are_said_in_words() -> None:
    assert plain("`float | null` <= 2.5") == "a number, at most 2.5"
    assert plain("`array` of length <= 20") == "a list of at most 20 entries"
    assert plain("`null`") == "null"
