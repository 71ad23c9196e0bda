"""Schemathesis over the whole public API, in process: no input that the OpenAPI document allows or forbids gets a 500 or an undocumented answer."""

from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import Case
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from planner.app import create
from services.shop import operator_token
from tests.planner_shop import StandIn, make_shop
from tests.planner_shop import settings as planner_settings

EXAMPLES = 40
OPERATIONS = [
    ("/search", "POST"),
    ("/search", "GET"),
    ("/events", "POST"),
    ("/suggest", "GET"),
    ("/products/{product_id}", "GET"),
    ("/users/{user_id}", "DELETE"),
]


@pytest.fixture
def api(tmp_path: Path) -> Any:
    """The public API's document and, behind it, the planner itself (schemathesis enters its lifespan, and leaves it after each test)."""
    make_shop(tmp_path)
    planner = create(planner_settings(deadline_ms=5000), tmp_path, transport=StandIn())
    api = schemathesis.openapi.from_asgi("/openapi.json", planner.asgi())
    api.config.update(headers={"authorization": f"Bearer {operator_token(tmp_path)}"})
    return api


def test_the_list_of_operations_is_whole(api: Any) -> None:
    found = {(operation.path, operation.method.upper()) for operation in (result.ok() for result in api.get_all_operations())}
    assert found == set(OPERATIONS)


@pytest.mark.parametrize("mode", GenerationMode)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_every_operation_answers_as_its_document_says(api: Any, path: str, method: str, mode: GenerationMode) -> None:
    # positive_data_acceptance is left out: a random cursor is no cursor, page 19 of 100 is past the candidates, 2.0 is no integer to us.
    # ignored_auth is, since the token that every request here carries also stands in the request that it sends without one.
    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
    @given(case=api[path][method].as_strategy(generation_mode=mode))
    def check(case: Case[Any]) -> None:
        case.call_and_validate(excluded_checks=[positive_data_acceptance, ignored_auth])

    check()
