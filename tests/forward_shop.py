"""Small catalogues for the forward index, the features and the ranker; and BM25 written down plainly, to compare with."""

import math
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from services.artifacts import Versions
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA, POPULARITY_SCHEMA, Catalogue, searched_text
from services.contracts import Candidates, Term
from services.features import FEATURE_SCHEMA, FEATURES
from services.forward import ForwardIndex, build
from services.models.port import ReleaseFacts
from services.shop import Shop, ShopInfo
from services.text import index_terms

INFO = ShopInfo(name="small")
NOW_MS = 1_700_000_000_000
DAY_MS = 86_400_000
CATEGORIES = [(1, "Audio", -1), (2, "Headphones", 1), (3, "Wireless", 2), (7, "Furniture", -1)]

Row = dict[str, Any]


def product(product_no: int, title: str = "thing", **more: Any) -> Row:
    plain = {"product_id": f"p{product_no}", "brand": "", "category_id": -1, "description": "", "price_cents": 1000, "image_link": ""}
    attributes = list(more.pop("attributes", {}).items())
    return {**plain, "product_no": product_no, "title": title, "created_ms": NOW_MS - DAY_MS, "attributes": attributes, **more}


def popular(product_no: int, impressions: float = 0, clicks: float = 0, purchases: float = 0, score: float = 0, tier: int = 2) -> Row:
    return {
        "product_no": product_no, "impressions": impressions, "clicks": clicks, "carts": 0, "purchases": purchases, "score": score, "tier": tier,
    }  # fmt: skip


def write(folder: Path, products: list[Row], popularity: list[Row] | None = None) -> Catalogue:
    folder.mkdir(parents=True, exist_ok=True)
    tree = [dict(zip(CATEGORIES_SCHEMA.names, row, strict=True)) for row in CATEGORIES]
    pq.write_table(pa.Table.from_pylist(products, schema=CATALOGUE_SCHEMA), folder / "catalogue.parquet")
    pq.write_table(pa.Table.from_pylist(tree, schema=CATEGORIES_SCHEMA), folder / "categories.parquet")
    if popularity is not None:
        pq.write_table(pa.Table.from_pylist(popularity, schema=POPULARITY_SCHEMA), folder / "popularity.parquet")
    return Catalogue(folder)


def index_of(folder: Path, products: list[Row], popularity: list[Row] | None = None) -> ForwardIndex:
    return build(write(folder, products, popularity), INFO)


def candidates(numbers: list[int], *, tier: int = 0, strict: list[int] | None = None) -> Candidates:
    n = len(numbers)
    stricts = np.ones(n, np.uint8) if strict is None else np.array(strict, np.uint8)
    return Candidates(
        np.array(numbers, np.uint32).tobytes(), np.zeros(n, np.float32).tobytes(), np.full(n, tier, np.uint8).tobytes(), stricts.tobytes()
    )


def terms(*texts: str) -> list[Term]:
    return [Term(text) for text in texts]


def plain_bm25(catalogue: Catalogue, query: list[Term]) -> dict[int, float]:
    """product_no -> score, straight from the definition; products without any term are left out."""
    documents = {p.product_no: Counter(_text(p, catalogue)) for p in catalogue.products()}
    count, average = len(documents), sum(d.total() for d in documents.values()) / len(documents) or 1.0

    def one(text: str, document: Counter[str]) -> float:
        df = sum(text in d for d in documents.values())
        tf = document[text]
        idf = math.log(1 + (count - df + 0.5) / (df + 0.5))
        return idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * document.total() / average))

    def best(term: Term, document: Counter[str]) -> float:
        phrases = [[one(text, document) for text in phrase] for phrase in term.synonyms]
        return max([one(term.text, document), *(0.7 * sum(p) / len(p) for p in phrases if all(p))])

    scores = {number: sum(best(term, document) for term in query) for number, document in documents.items()}
    return {number: score for number, score in scores.items() if score > 0}


def _text(product: Any, catalogue: Catalogue) -> list[str]:
    parts = searched_text(product, catalogue.categories, INFO.searchable_attributes)
    return [term for part in parts.values() for term in index_terms(part, INFO.language)]


def facts(strategy: Any = "bm25", **changed: Any) -> ReleaseFacts:
    plain = {"score_feature": "bm25", "features": list(FEATURES), "feature_schema": FEATURE_SCHEMA, "code_version": "1", "reason": "test"}
    return ReleaseFacts(strategy=strategy, **{**plain, **changed})


def publish(root: Path, facts_: dict[str, Any]) -> int:
    """A version whose folder holds nothing but its manifest, made current."""
    versions = Versions(root)
    number, _ = versions.begin()
    versions.publish(number, facts_)
    versions.activate(number)
    return number


def small_shop(home: Path) -> Shop:
    shop = Shop(home / "shops" / "small")
    shop.write_info(INFO)
    return shop
