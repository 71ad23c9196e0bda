"""Updates: what changes, what stays, and that numbers and categories follow."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datagen import staging
from datagen.importer import Change, apply
from services.errors import ConfigurationError
from services.shop import Shop

MAPPING = '[fields]\nproduct_id = "sku"\ntitle = "name"\ncategory = "path"\n'


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    (tmp_path / "mapping.toml").write_text(MAPPING)
    made = Shop(tmp_path / "shops" / "mine")
    feed(made, {"a": "Lamp", "b": "Chair", "c": "Table"})
    return made


def file(shop: Shop, name: str, text: str) -> Path:
    path = shop.root.parent.parent / name
    path.write_text(text)
    return path


def rows_of(products: dict[str, str]) -> str:
    return "".join(json.dumps({"sku": sku, "name": name, "path": f"Home > {name}"}) + "\n" for sku, name in products.items())


def feed(shop: Shop, products: dict[str, str], **options: Any) -> Any:
    mapping = None if options.get("upsert") else shop.root.parent.parent / "mapping.toml"
    return apply(shop, Change(file(shop, "feed.jsonl", rows_of(products)), mapping, **options))


def catalogue(shop: Shop) -> dict[str, tuple[int, str]]:
    table = pq.read_table(shop.root / "staged" / "catalogue.parquet").to_pylist()
    return {row["product_id"]: (row["product_no"], row["title"]) for row in table}


def categories(shop: Shop) -> set[str]:
    return set(pq.read_table(shop.root / "staged" / "categories.parquet")["name"].to_pylist())


def test_two_imports_into_one_shop_do_not_meet(shop: Shop) -> None:
    """Each reads the catalogue and the numbers of before: the second would undo the first, and give its numbers away again."""
    with staging.alone(shop), pytest.raises(ConfigurationError, match="another process"):
        feed(shop, {"b": "Armchair"}, upsert=True)
    assert catalogue(shop)["b"] == (1, "Chair")
    feed(shop, {"b": "Armchair"}, upsert=True)
    assert catalogue(shop)["b"] == (1, "Armchair")


def test_an_upsert_changes_adds_and_keeps_with_the_mapping_of_before(shop: Shop) -> None:
    report = feed(shop, {"b": "Armchair", "d": "Sofa"}, upsert=True)
    assert catalogue(shop) == {"a": (0, "Lamp"), "b": (1, "Armchair"), "c": (2, "Table"), "d": (3, "Sofa")}
    assert (report.updated, report.kept, report.accepted, report.products) == (1, 2, 2, 4)
    assert categories(shop) == {"Home", "Lamp", "Armchair", "Table", "Sofa"}


def test_a_deletion_removes_and_says_what_it_does_not_know(shop: Shop) -> None:
    report = apply(shop, Change(delete=file(shop, "gone.txt", "b\nnobody\n\n")))
    assert set(catalogue(shop)) == {"a", "c"}
    assert (report.deleted, report.delete_unknown) == (1, ["nobody"])
    assert "Chair" not in categories(shop)


def test_ids_to_delete_may_come_as_a_feed(shop: Shop) -> None:
    apply(shop, Change(delete=file(shop, "gone.csv", "sku,why\nb,sold\nc,sold\n")))
    assert set(catalogue(shop)) == {"a"}


def test_a_product_that_comes_back_has_its_number_again(shop: Shop) -> None:
    apply(shop, Change(delete=file(shop, "gone.txt", "b")))
    feed(shop, {"e": "Bed"}, upsert=True)
    feed(shop, {"b": "Chair"}, upsert=True)
    assert catalogue(shop)["b"][0] == 1
    assert catalogue(shop)["e"][0] == 3


def test_update_and_deletion_in_one_step(shop: Shop) -> None:
    feed(shop, {"d": "Sofa"}, upsert=True, delete=file(shop, "gone.txt", "a"))
    assert set(catalogue(shop)) == {"b", "c", "d"}


@pytest.mark.parametrize("change", [{"upsert": True}, {}])
def test_strict_update_with_a_bad_row_changes_nothing(shop: Shop, change: dict[str, Any]) -> None:
    before = catalogue(shop)
    path = file(shop, "bad.jsonl", rows_of({"d": "Sofa"}) + '{"sku": "e"}\n')
    with pytest.raises(ConfigurationError, match="line 2: name is missing"):
        apply(shop, Change(path, strict=True, **change))
    assert catalogue(shop) == before


def test_a_shop_cannot_be_emptied_nor_updated_before_it_is_there(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no product would be left"):
        apply(shop, Change(delete=file(shop, "gone.txt", "a\nb\nc")))
    with pytest.raises(ConfigurationError, match="no catalogue to update"):
        apply(Shop(tmp_path / "shops" / "new"), Change(delete=file(shop, "gone.txt", "a")))
    assert not (tmp_path / "shops" / "new").exists()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.dictionaries(st.sampled_from("abcdefgh"), st.sampled_from(["x", "y"]), min_size=1), st.sets(st.sampled_from("abcdefgh"))
        ),
        max_size=4,
    )
)
def test_any_sequence_of_updates_is_what_a_dictionary_would_be(tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[dict[str, str], set[str]]]) -> None:  # fmt: skip
    home = tmp_path_factory.mktemp("any")
    (home / "mapping.toml").write_text(MAPPING)
    shop, expected = Shop(home / "shops" / "mine"), {"z": "always"}
    feed(shop, expected)
    numbers: dict[str, int] = {"z": 0}
    for fresh, gone in steps:
        feed(shop, fresh, upsert=True, delete=file(shop, "gone.txt", "\n".join(sorted(gone)) or "nobody"))
        expected = {sku: name for sku, name in (expected | fresh).items() if sku not in gone}
        found = catalogue(shop)
        assert {sku: name for sku, (_, name) in found.items()} == expected
        assert all(numbers.setdefault(sku, number) == number for sku, (number, _) in found.items())
