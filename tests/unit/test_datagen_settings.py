"""The settings of a world: every knob named, in range, part of the hash; the default world is the recorded one."""

import hashlib
from pathlib import Path
from typing import Any

import msgspec
import pytest

from datagen import shards
from datagen.settings import WorldSettings, describe, load, parse, to_toml
from datagen.words import vocabulary
from services.errors import ConfigurationError

SMALL = parse({"products": 1200, "users": 60, "days": 6, "pages": 500, "exploration": 0.3})


def test_settings_survive_their_file(tmp_path: Path) -> None:
    (tmp_path / "s.toml").write_text(to_toml(SMALL))
    assert load(tmp_path / "s.toml") == SMALL


def test_every_knob_has_unit_range_and_reason() -> None:
    for row in describe():
        assert all(row[column] for column in ("default", "range", "unit", "help", "reason")), row["name"]


@pytest.mark.parametrize("knob", [f.name for f in msgspec.structs.fields(WorldSettings)])
def test_every_knob_is_part_of_the_hash(knob: str) -> None:
    value = getattr(SMALL, knob)
    special = {"end": "2025-01-01T00:00:00Z", "constraints": (1.0, 0.0, 0.0, 0.0), "click_model": "cascade"}
    other = special[knob] if knob in special else value / 2 if value > 1 else 0.55
    assert msgspec.structs.replace(SMALL, **{knob: other}).hash() != SMALL.hash()


@pytest.mark.parametrize(
    ("knobs", "message"),
    [
        ({"products": 3}, "products=3 must be a whole number, 200 to 10000000 "),
        ({"products": "many"}, "products='many' must be a whole number, 200 to"),
        ({"typo_rate": 2}, "typo_rate=2 must be a number, 0 to 1"),
        ({"typo_rate": float("nan")}, "typo_rate=nan must be a number, 0 to 1"),
        ({"intents": 0}, "intents=0 must be a number, above 0 to 10"),
        ({"typo_rat": 0.1}, "'typo_rat' is not a knob; did you mean 'typo_rate'"),
        ({"xyz": 0.1}, "'xyz' is not a knob; docs/world.md"),
        ({"click_model": "none"}, "click_model='none' must be .*position, cascade, trust"),
        ({"pages": 6000, "users": 10, "days": 3}, "pages=6000 must be at most 600 for 10 users in 3 days"),
        ({"end": "yesterday"}, "2026-11-01T00:00:00Z"),
        ({"end": "0001-01-01T00:00:00+14:00"}, "2026-11-01T00:00:00Z"),
        ({"end": "2026-11-01T00:00:00"}, "time zone"),
        ({"constraints": [1, 2]}, "constraints=.* must be a list, four or five of 0 or more"),
        ({"constraints": [0, 0, 0, 0]}, "constraints=.* not all 0"),
        ({"constraints": [float("nan"), 1, 1, 1]}, "constraints=.* none negative or infinite"),
        ({"synonym_rate": 0.9, "ambiguous_rate": 0.5}, "synonym_rate and ambiguous_rate are 1.4 together"),
    ],
)
def test_a_knob_out_of_range_is_named(knobs: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        parse(knobs)


def test_the_documentation_has_the_table_of_knobs() -> None:
    documentation = (Path(__file__).parents[2] / "docs" / "world.md").read_text(encoding="utf-8")
    for row in describe():
        assert f"| `{row['name']}` | {row['default']} | {row['range']} | {row['unit']} | {row['help']} | {row['reason']} |" in documentation


def test_the_default_world_is_the_committed_one_and_its_hash_is_in_the_changelog() -> None:
    """A change of the world is a decision: a new FORMAT or other defaults, the file made again, and a line in the changelog."""
    project = Path(__file__).parents[2]
    assert load(project / "datagen" / "worlds" / "default.toml") == WorldSettings()
    assert (project / "datagen" / "worlds" / "default.toml").read_text() == to_toml(WorldSettings())
    assert f"`{WorldSettings().hash()}`" in (project / "CHANGELOG.md").read_text()


def test_the_bytes_behind_the_hash_are_the_recorded_ones() -> None:
    """The hash names settings and format; this is what they gave when the format was recorded. A change of it needs a new FORMAT."""
    table, _ = shards.catalogue_rows(WorldSettings(), vocabulary(), range(50))
    assert hashlib.sha256(repr(table.to_pylist()).encode()).hexdigest()[:16] == "a75369e5a3801ca9"
