"""A leak that is planted in a history is found; an honest one has none."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from datagen import honesty, make
from datagen.settings import parse
from datagen.world import World, open_world
from services.features import FEATURES
from services.shop import Shop

Rows = list[dict[str, Any]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shops") / "demo")
    make.world(made, parse({"products": 1000, "users": 60, "days": 8, "pages": 1200}), processes=1)
    return made


@pytest.fixture(scope="module")
def world(shop: Shop) -> World:
    return open_world(shop.root)


@pytest.fixture
def planted(shop: Shop, tmp_path: Path, world: World) -> Callable[[Callable[[Rows], Rows]], list[str]]:
    """What is found in the history after its rows (with decoded payloads) were tampered with."""

    def check(tamper: Callable[[Rows], Rows]) -> list[str]:
        rows = [row for path in sorted((shop.world / "history").glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
        rows = tamper([row | {"payload": msgspec.json.decode(row["payload"])} for row in rows])
        encoded = [row | {"payload": msgspec.json.encode(row["payload"])} for row in rows]
        pq.write_table(pa.Table.from_pylist(encoded), tmp_path / "00000.parquet")
        return honesty.check(tmp_path, world)

    return check


def test_an_honest_history_has_no_findings(shop: Shop, world: World) -> None:
    assert honesty.check(shop.world / "history", world) == []
    assert honesty.check(shop.world / "history") == []


def test_a_column_of_truth_is_found(planted: Any) -> None:
    assert any("'utility'" in finding for finding in planted(lambda rows: [row | {"utility": 1.0} for row in rows]))


def test_a_field_of_truth_inside_a_record_is_found(planted: Any) -> None:
    def tamper(rows: Rows) -> Rows:
        next(r for r in rows if r["kind"] == "page")["payload"]["terms"].append({"text": "boot", "synonyms": [], "intent": 3})
        return rows

    assert any("'intent' in a page" in finding for finding in planted(tamper))


def test_an_event_from_the_future_is_found(planted: Any) -> None:
    """The last click is put at the beginning: into the training period, before its page."""

    def tamper(rows: Rows) -> Rows:
        at = max(i for i, r in enumerate(rows) if r["kind"] == "event" and r["payload"]["kind"] == "click")
        event, first_ms = rows.pop(at), rows[0]["ts_ms"]
        return [event | {"ts_ms": first_ms, "payload": event["payload"] | {"ts_ms": first_ms}}, *rows]

    assert any("not shown before it" in finding for finding in planted(tamper))


def test_popularity_that_knows_the_future_is_found(planted: Any) -> None:
    """One page of the third day is served with the clicks of the whole history."""

    def tamper(rows: Rows) -> Rows:
        clicks: dict[int, int] = {}
        for row in rows:
            if row["kind"] == "event" and row["payload"]["kind"] == "click":
                clicks[row["payload"]["product_no"]] = clicks.get(row["payload"]["product_no"], 0) + 1
        for row in rows[len(rows) // 3 :]:
            if row["kind"] == "page" and len({clicks.get(n, 0) for n in row["payload"]["product_no"]}) > 3:
                features = _features(row)
                features[:, FEATURES.index("clicks")] = [0.5 * np.log1p(clicks.get(n, 0)) for n in row["payload"]["product_no"]]
                _set(row, features)
                return rows
        raise AssertionError("no page to tamper with")

    assert any("does not explain" in finding for finding in planted(tamper))


def test_a_feature_that_carries_what_is_hidden_is_found(planted: Any, world: World) -> None:
    from datagen import truth

    def tamper(rows: Rows) -> Rows:
        for row in rows:
            if row["kind"] == "page" and row["user_id"] and row["payload"]["product_no"]:
                features, user = _features(row), int(row["user_id"][1:])
                worth = truth.utility(world, user, 0, row["payload"]["product_no"], row["ts_ms"])
                features[:, FEATURES.index("affinity")] = 0.5 * worth.hidden + np.random.default_rng(row["ts_ms"]).normal(
                    size=len(features)
                )
                _set(row, features)
        return rows

    assert any("affinity, correlation" in finding for finding in planted(tamper))


def test_a_product_that_is_shown_before_it_exists_is_found(planted: Any, world: World) -> None:
    newest = int(np.argmax(world.items.created_ms))

    def tamper(rows: Rows) -> Rows:
        next(r for r in rows if r["kind"] == "page" and r["payload"]["product_no"])["payload"]["product_no"][0] = newest
        return rows

    assert any("before it exists" in finding for finding in planted(tamper))


def _features(row: dict[str, Any]) -> Any:
    raw = msgspec.convert(row["payload"]["features"], bytes)
    return np.frombuffer(raw, np.float32).reshape(len(row["payload"]["product_no"]), -1).copy()


def _set(row: dict[str, Any], features: Any) -> None:
    row["payload"]["features"] = msgspec.to_builtins(features.astype(np.float32).tobytes())
