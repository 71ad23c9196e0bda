"""Whether real servers can run here. With CI=true they must; elsewhere the tests are skipped, and one loud line says so."""

import os
from importlib.util import find_spec

import pytest

from deploy.local import elasticsearch, neo4j
from deploy.local.toolchain import Toolchain
from services.errors import ConfigurationError


def toolchain() -> Toolchain:
    """Java 17, and Maven as long as something is not downloaded yet."""
    found = Toolchain.of_this_process()
    try:
        _ = found.java
        if not all((found.cache / name).is_dir() for name in (elasticsearch.NAME, neo4j.NAME)):
            _ = found.maven
    except ConfigurationError as error:
        absent(str(error))
    return found


def module(name: str, how: str) -> None:
    if find_spec(name) is None:
        absent(f"{name} is not installed: {how}")


def absent(why: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(f"CI needs real servers: {why}")
    pytest.skip(f"!!! NOT TESTED ON REAL SERVERS !!! {why}")
