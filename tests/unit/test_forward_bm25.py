"""BM25 over the catalogue as one index agrees with its definition."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.contracts import Category, Term
from services.features import ITEM_FEATURES, item_features
from services.forward import GlobalBm25, build
from tests.forward_shop import INFO, NOW_MS, Row, candidates, index_of, plain_bm25, product, terms, write

WORDS = ["red", "blue", "sofa", "desk", "oak", "for"]
texts = st.lists(st.sampled_from(WORDS), max_size=8).map(" ".join)
catalogues = st.lists(st.tuples(texts, texts), min_size=1, max_size=8)
phrases = st.lists(st.sampled_from([*WORDS, "unknown"]), min_size=1, max_size=2)
queries = st.lists(st.builds(Term, st.sampled_from([*WORDS, "unknown"]), st.lists(phrases, max_size=2)), min_size=1, max_size=4)


def rows(texts: list[tuple[str, str]]) -> list[Row]:
    """With a gap in the product numbers after each."""
    return [product(i * 2, title, description=description) for i, (title, description) in enumerate(texts)]


@settings(max_examples=60, deadline=None)
@given(catalogues, queries)
def test_search_and_feature_agree_with_the_definition(texts: list[tuple[str, str]], query: list[Term]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        catalogue = write(Path(folder), rows(texts))
        index = build(catalogue, INFO)
    expected = plain_bm25(catalogue, query)
    numbers, scores = GlobalBm25(index).search(query, 100)
    assert dict(zip(numbers.tolist(), scores.tolist(), strict=True)) == pytest.approx(expected, rel=1e-5)
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)
    everything = catalogue.table["product_no"].to_pylist()
    features = item_features(index, query, [], candidates(everything), NOW_MS)
    bm25 = np.sinh(features[:, ITEM_FEATURES.index("bm25")].astype(float)) * 8
    assert bm25.tolist() == pytest.approx([expected.get(number, 0.0) for number in everything], rel=1e-4, abs=1e-6)


def test_equal_scores_come_by_number_also_where_the_list_is_cut(tmp_path: Path) -> None:
    bm25 = GlobalBm25(index_of(tmp_path, [product(i, "red sofa" if i == 3 else "sofa") for i in range(6)]))
    assert bm25.search(terms("sofa"), 3)[0].tolist() == [0, 1, 2]
    assert bm25.search(terms("sofa", "red"), 3)[0].tolist() == [3, 0, 1]
    assert bm25.search(terms("sofa"), 0)[0].tolist() == []


def test_a_mask_leaves_products_out_and_a_category_lifts_its_own(tmp_path: Path) -> None:
    bm25 = GlobalBm25(index_of(tmp_path, [product(i, "amp", category_id=category) for i, category in enumerate([7, 3, 7])]))
    assert bm25.search(terms("amp"), 9, mask=np.array([True, False, True]))[0].tolist() == [0, 2]
    plain = dict(zip(*(a.tolist() for a in bm25.search(terms("amp"), 9)), strict=True))
    lifted = dict(zip(*(a.tolist() for a in bm25.search(terms("amp"), 9, categories=[Category(1, "Audio", 0.5)])), strict=True))
    assert (list(plain), list(lifted)) == ([0, 2, 1], [1, 0, 2])
    assert lifted == pytest.approx({0: plain[0], 2: plain[2], 1: plain[1] + 2.0 * 0.5})


def test_no_terms_and_unknown_terms_find_nothing(tmp_path: Path) -> None:
    bm25 = GlobalBm25(index_of(tmp_path, [product(0, "amp")]))
    assert [bm25.search(query, 9)[0].tolist() for query in ([], terms("sofa"), [Term("sofa", [["amp", "unknown"]])])] == [[], [], []]
