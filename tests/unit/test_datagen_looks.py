"""What people look at: the report, its page of plots, the sample."""

from pathlib import Path

import pytest

from datagen import make, plots, report, sample
from datagen.settings import parse
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
