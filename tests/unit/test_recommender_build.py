"""The recommender's part of a generation: learned from catalogue and log, and honest about what it does not have."""

from pathlib import Path

import msgspec
import numpy as np
import pytest

from recommender import properties
from recommender.build import build, main, summary
from recommender.understanding import Understanding, load
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.errors import ConfigurationError
from services.eventlog.sqlite import SqliteReader
from services.forward import PROPERTIES
from services.forward import build as forward_index
from services.shop import Shop
from tests.recommender_fakes import MemoryLog
from tests.recommender_shop import plant, publish


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """A shop with a log, built once; nothing changes it."""
    shop = plant(tmp_path_factory.mktemp("learned") / "shop", searches=1_500).shop
    log = SqliteReader(shop.log_file)
    build(shop, 1, log)
    log.close()
    publish(shop)
    return shop


def loaded(shop: Shop) -> Understanding:
    return load(shop.generations / "1", Versions(shop.generations).manifest(1))


def test_what_people_say_is_understood_although_no_product_says_it(learned: Shop) -> None:
    understood = loaded(learned)
    assert [t.synonyms for t in understood.terms("modern couch")] == [[], [["sofa"]]]
    assert understood.categories("modern couch")[0].name == "Sofas"
    assert understood.speller.correct("modren couch") == "modern couch"
    assert not understood.speller.needs_work("couch")


def test_the_category_model_was_measured_on_the_newest_clicks_and_ships_calibrated(learned: Shop) -> None:
    facts = loaded(learned).part.categories
    assert facts is not None
    assert {"fasttext", "naive_bayes", "naive_bayes_titles"} == set(facts.measured)
    assert facts.measured[facts.kind].top1 == max(m.top1 for m in facts.measured.values()) > 0.9
    assert facts.examples["test"] == pytest.approx(0.2 * (sum(facts.examples.values()) - 300), abs=2)
    assert all(c.probability > 0.9 for c in loaded(learned).categories("wireless earbuds"))
    assert "ships" in summary(loaded(learned).part)


def test_only_records_up_to_the_watermark_count(learned: Shop, tmp_path: Path) -> None:
    log = SqliteReader(learned.log_file)
    records = log.read(0, 100_000)
    shop = plant(tmp_path / "shop").shop

    class GrowingLog(MemoryLog):
        """Goes on growing after the build has asked where it ends."""

        def end(self) -> int:
            return records[99].offset

    part = build(shop, 1, GrowingLog(records))
    assert part.watermark == {"0": records[99].offset}
    assert part.searches == sum(1 for r in records[:100] if r.kind == "page")
    log.close()


def test_without_a_log_there_are_no_synonyms_and_titles_teach_categories(tmp_path: Path) -> None:
    shop = plant(tmp_path / "shop").shop
    part = build(shop, 1, SqliteReader(shop.log_file))
    publish(shop)
    assert part.categories is not None
    assert (part.watermark, part.synonyms, part.searches) == ({"0": 0}, 0, 0)
    assert loaded(shop).categories("leather loveseat")[0].name == "Sofas"
    assert "two words of held-out titles" in part.categories.reason
    assert (part.categories.examples["test"], part.categories.examples["titles"]) == (30, 240)


def test_a_catalogue_without_categories_has_no_model_and_says_so(tmp_path: Path) -> None:
    shop = plant(tmp_path / "shop", searches=400, categories=False).shop
    assert "categories off" in summary(build(shop, 1, SqliteReader(shop.log_file)))
    publish(shop)
    assert (loaded(shop).off, loaded(shop).categories("sofa")) == (["categories"], [])


def test_a_second_build_replaces_what_the_first_has_left(tmp_path: Path) -> None:
    shop = plant(tmp_path / "shop").shop
    leftover = shop.generations / "1" / "recommender" / "old"
    leftover.mkdir(parents=True)
    build(shop, 1, MemoryLog())
    assert not leftover.exists()


def test_the_command_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == main([str(tmp_path), "1"]) == main(["x", "y"]) == 2
    assert "has no catalogue.parquet" in capsys.readouterr().err


def test_a_part_that_is_missing_or_cut_stops_the_start_with_what_to_do(tmp_path: Path) -> None:
    shop = plant(tmp_path / "shop").shop
    publish(shop)
    with pytest.raises(ConfigurationError, match="aisle build"):
        loaded(shop)
    build(shop, 1, MemoryLog())
    (shop.generations / "1" / "recommender" / "part.json").write_bytes(b"{")
    with pytest.raises(ConfigurationError, match="aisle build"):
        loaded(shop)


def test_properties_are_those_of_the_forward_index(tmp_path: Path) -> None:
    shop = plant(tmp_path / "shop", products=60).shop
    catalogue = Catalogue(shop.generations / "1")
    ours, index = properties.build(catalogue), forward_index(catalogue, shop.info())

    def named(ids: np.ndarray, values: list[str]) -> list[list[str]]:
        return [[values[i] if i >= 0 else "" for i in row] for row in ids.tolist()]

    assert named(ours.ids, ours.values) == named(index.property_ids, index.property_values)
    assert ours.ids.shape == (60, len(PROPERTIES))


def test_properties_become_numbers_of_a_releases_vocabulary_and_unknown_ones_are_zero(tmp_path: Path) -> None:
    catalogue = Catalogue(plant(tmp_path / "shop", products=20).shop.generations / "1")
    properties.save(properties.build(catalogue), tmp_path)
    ours = properties.load(tmp_path)
    columns = ours.columns(["<unknown>", "category:2", "brand:acme"])
    for row in range(20):
        expected = [{"category:2": 1, "brand:acme": 2}.get(ours.values[i], 0) if i >= 0 else 0 for i in ours.ids[row]]
        assert columns[row].tolist() == expected


def test_the_part_is_a_manifest_that_people_can_read(learned: Shop) -> None:
    part = msgspec.json.decode((learned.generations / "1" / "recommender" / "part.json").read_bytes())
    assert part["watermark"]["0"] == SqliteReader(learned.log_file).end()
    assert set(part["categories"]["measured"]["fasttext"]) == {"top1", "low", "high"}
