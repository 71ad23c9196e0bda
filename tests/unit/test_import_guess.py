"""A mapping is proposed from names and data, with reasons, and what is proposed can be imported as it is."""

import json
from pathlib import Path

import pytest

from datagen import import_guess, import_mapping
from datagen.import_values import amount_of, number_of
from datagen.importer import Change, apply
from services.errors import ConfigurationError
from services.shop import Shop


def proposal(path: Path) -> str:
    profile = import_guess.profile_of(path)
    return "\n".join(import_guess.toml(profile, import_guess.guess(profile), path.name))


def feed(folder: Path, rows: list[dict[str, object]]) -> Path:
    (folder / "feed.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return folder / "feed.jsonl"


ROWS: list[dict[str, object]] = [
    {"article_no": f"N{n}", "item_name": f"Chair number {n}", "manufacturer": ["Sitz", "Nord"][n % 2], "list_price": f"{n + 1},50 €",
     "thumb": f"https://shop.example/{n}.jpg", "spec_t_farbe": ["rot", "blau"][n % 2], "spec_t_form": "rund", "spec_t_stil": "alt",
     "num_height": n, "num_width": n + 1, "num_depth": n + 2, "is_new": True, "model": f"SZ-{n}00", "tree": "Home/Chairs"}
    for n in range(20)
]  # fmt: skip


def test_fields_are_found_by_name_and_by_what_they_hold(tmp_path: Path) -> None:
    profile = import_guess.profile_of(feed(tmp_path, ROWS))
    found = {g.target: g.source for g in import_guess.guess(profile)}
    assert found == {"product_id": "article_no", "title": "item_name", "brand": "manufacturer", "price": "list_price"}


def test_what_is_proposed_is_imported(tmp_path: Path) -> None:
    path = feed(tmp_path, ROWS)
    (tmp_path / "mapping.toml").write_text(proposal(path))
    mapping = import_mapping.load(tmp_path / "mapping.toml")
    assert mapping.currency == "EUR"
    assert mapping.attributes.prefixes == {"spec_t_": "text", "num_": "number"}
    assert mapping.attributes.aliases == {"farbe": "color"}
    assert mapping.attributes.names["model"] == "mpn"
    report = apply(Shop(tmp_path / "shops" / "mine"), Change(path, tmp_path / "mapping.toml"))
    assert (report.accepted, report.rejected) == (20, 0)
    assert report.coverage["attributes.color"] == 1.0


def test_every_line_says_why(tmp_path: Path) -> None:
    fields = proposal(feed(tmp_path, ROWS)).partition("[fields]")[2].partition("[attributes]")[0]
    assert all("  # " in line for line in fields.strip().splitlines())


def test_a_name_alone_does_not_make_an_id(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"id": "same", "sku": str(n), "name": f"Chair {n}", "price": 5} for n in range(10)]
    assert import_guess.guess(import_guess.profile_of(feed(tmp_path, rows)))[0].source == "sku"


def test_whole_prices_are_marked_for_a_persons_eye(tmp_path: Path) -> None:
    rows: list[dict[str, object]] = [{"sku": str(n), "name": f"Chair {n}", "price": 1995 + n} for n in range(10)]
    assert 'price_unit = "cents"' in proposal(feed(tmp_path, rows))
    assert "CHECK THIS" in proposal(feed(tmp_path, rows))


def test_a_feed_without_anything_like_an_id_or_a_title_is_left_to_a_person(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="looks like product_id or title"):
        proposal(feed(tmp_path, [{"x": 1}, {"x": 1}]))
    with pytest.raises(ConfigurationError, match="no row that can be read"):
        proposal(feed(tmp_path, []))


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("49.95", 49.95), ("49,95 €", 49.95), ("1.299,00 EUR", 1299.0), ("$1,299", 1299.0), ("USD 12", 12.0), ("1 299,5", 1299.5),
        ("1'299.00 CHF", 1299.0), ("£5", 5.0), ("1299.125", 1299.125), ("0", 0.0), ("-3", -3.0),
        ("abc", None), ("12.5.3", None), ("EUR", None), ("", None), ("12 or 13", None),
    ],
)  # fmt: skip
def test_prices_as_people_write_them(text: str, amount: float | None) -> None:
    assert amount_of(text) == amount


def test_numbers_have_nothing_around_them() -> None:
    assert [number_of(t) for t in ("5", " 5.5 ", "-1e3", "5 W", "1,5", "")] == [5.0, 5.5, -1000.0, None, None, None]
