"""Settings: documented, checked at start, wrong ones named."""

import importlib

import pytest

from services.errors import ConfigurationError
from services.settings import ServiceSettings, describe, load


def test_values_come_from_the_environment() -> None:
    settings = load(ServiceSettings, "AISLE_X_", {"AISLE_X_PORT": "8001", "OTHER": "1"})
    assert (settings.port, settings.max_in_flight) == (8001, 32)


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("AISLE_X_PORT", "eighty", "AISLE_X_PORT='eighty': Expected a whole number"),
        ("AISLE_X_PORT", "70000", "at most 65535"),
        ("AISLE_X_DEADLINE", "1", "did you mean AISLE_X_DEADLINE_MS"),
    ],
)
def test_a_bad_value_stops_the_start(variable: str, value: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        load(ServiceSettings, "AISLE_X_", {variable: value})


@pytest.mark.parametrize("service", ["planner", "recommender", "searcher", "ranker"])
def test_every_setting_says_what_it_is_for(service: str) -> None:
    module = importlib.import_module(f"{service}.settings")
    table = getattr(module, f"{service.capitalize()}Settings")
    rows = describe(table, f"AISLE_{service.upper()}_")
    assert [r["variable"] for r in rows if not r["help"]] == []
