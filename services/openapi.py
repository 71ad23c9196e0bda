"""OpenAPI 3.1 of a service from the structs of its routes; FastAPI only shows it."""

import re
from dataclasses import dataclass
from typing import Any

import msgspec

from services.errors import Problem

_REFERENCE = "#/components/schemas/{name}"


@dataclass(frozen=True, slots=True)
class RouteDoc:
    method: str
    path: str
    request: Any
    answer: Any
    status: int
    summary: str
    operator: bool


def document(title: str, description: str, routes: list[RouteDoc]) -> dict[str, Any]:
    """The whole document; request and answer schemas are the structs that the code decodes and encodes."""
    bodies = [r.request for r in routes if r.method == "POST"]
    types = [*bodies, *(r.answer for r in routes), Problem]
    schemas, components = msgspec.json.schema_components(types, ref_template=_REFERENCE)
    body_schemas, answer_schemas, problem_schema = schemas[: len(bodies)], schemas[len(bodies) : -1], schemas[-1]
    paths: dict[str, Any] = {}
    body_of = iter(body_schemas)
    for route, answer in zip(routes, answer_schemas, strict=True):
        operation: dict[str, Any] = {
            "summary": route.summary or route.path,
            "operationId": f"{route.method.lower()}_{re.sub(r'[^a-z]+', '_', route.path).strip('_')}",
            "responses": _responses(route, answer, problem_schema),
        }
        if route.method == "POST":
            operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": next(body_of)}}}
        else:
            operation["parameters"] = _parameters(route)
        if route.operator:
            operation["security"] = [{"operator": []}]
        paths.setdefault(route.path, {})[route.method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "description": description, "version": "0.1.0"},
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}}},
    }


def _responses(route: RouteDoc, answer: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    responses: dict[str, Any] = {str(route.status): {"description": "The answer", "content": {"application/json": {"schema": answer}}}}
    for status in ("4XX", "5XX"):
        responses[status] = {"description": "A problem (RFC 9457)", "content": {"application/problem+json": {"schema": problem}}}
    return responses


def _parameters(route: RouteDoc) -> list[dict[str, Any]]:
    in_path = set(re.findall(r"{(\w+)(?::\w+)?}", route.path))
    schema, components = msgspec.json.schema_components([route.request], ref_template=_REFERENCE)
    struct = components[schema[0]["$ref"].rsplit("/", 1)[1]]
    required = set(struct.get("required", ()))
    return [
        {"name": name, "in": "path" if name in in_path else "query", "required": name in required or name in in_path, "schema": of}
        for name, of in struct["properties"].items()
    ]
