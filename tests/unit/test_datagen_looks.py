"""What people look at: the report, its page of plots, the sample."""

from pathlib import Path
from typing import Any

import pytest

from datagen import honesty, make, plots, report, sample
from datagen.settings import parse
from datagen.world import open_world
from services.errors import ConfigurationError
from services.shop import Shop


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    made = Shop(tmp_path_factory.mktemp("shops") / "demo")
    make.world(made, parse({"products": 1500, "users": 80, "days": 6, "pages": 1500}), processes=1)
    return made


def test_the_report_names_world_slices_and_shares(shop: Shop) -> None:
    said = "\n".join(report.lines(report.look(shop.root)))
    assert parse({"products": 1500, "users": 80, "days": 6, "pages": 1500}).hash() in said
    for part in ("slices: misspelt", "long tail", "oracle", "hidden", "examination by position, planted"):
        assert part in said


@pytest.mark.parametrize(
    "knobs", [{"page_size": 1}, {"anonymous": 1.0}, {"click_model": "cascade", "continuation": 0.0}, {"cold_users": 1.0}]
)
def test_worlds_at_the_ends_of_their_ranges_are_made_honest_and_can_be_looked_at(knobs: dict[str, Any], tmp_path: Path) -> None:
    shop = Shop(tmp_path / "demo")
    make.world(shop, parse({"products": 200, "users": 20, "days": 2, "pages": 100} | knobs), processes=1)
    assert honesty.check(shop.world / "history", open_world(shop.root)) == []
    assert len(list(sample.lines(shop.root, 1, 5))) > 20
    if knobs.get("cold_users") == 1.0:
        with pytest.raises(ConfigurationError, match="no user ever came"):
            report.look(shop.root)
    else:
        assert not [line for line in report.lines(report.look(shop.root)) if "nan" in line]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_page_of_plots_is_drawn(shop: Shop, tmp_path: Path, suffix: str) -> None:
    plots.draw(report.look(shop.root), tmp_path / f"page{suffix}")
    assert (tmp_path / f"page{suffix}").stat().st_size > 20_000


def test_a_page_of_another_format_says_which_there_are(shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"\.png, \.svg, \.pdf"):
        plots.draw(report.look(shop.root), tmp_path / "page.docx")


def test_the_sample_has_as_many_of_each_as_asked_for_and_is_the_same_again(shop: Shop) -> None:
    said = list(sample.lines(shop.root, 3, 5))
    assert said == list(sample.lines(shop.root, 3, 5)) != list(sample.lines(shop.root, 4, 5))
    titles = [i for i, line in enumerate(said) if line.startswith("\n### ")]
    assert [said[i].strip("\n# ") for i in titles] == ["Products", "Users", "Queries", "Sessions"]
    assert sum(line.startswith("| ") for line in said) == 3 * (5 + 1)
    assert sum(line.startswith("- ") for line in said) == 5
