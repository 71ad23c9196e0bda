"""What several files of system tests share: one small shop that runs, with an OTLP receiver beside it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.layout import PROJECT
from tests.otlp import Receiver
from tests.system.shopping import Shopping
from tests.system.stack import Stack


@pytest.fixture(scope="session")
def small_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("small")
    made = subprocess.run(
        [sys.executable, "-m", "deploy.cli", "data", "--products", "600", "--users", "120", "--pages", "2500"],
        cwd=PROJECT,
        env={**os.environ, "AISLE_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    return home


@pytest.fixture(scope="session")
def traces() -> Iterator[Receiver]:
    with Receiver() as receiver:
        yield receiver


@pytest.fixture(scope="session")
def small(small_home: Path, traces: Receiver) -> Iterator[Stack]:
    """Sends traces of a hundredth of its requests, and of those whose caller wants it."""
    environment = {"AISLE_OTLP_ENDPOINT": traces.url, "AISLE_TRACE_SHARE": "0.01"}
    with Stack.start(small_home, limit_s=400, environment=environment) as stack:
        yield stack


@pytest.fixture
def shopping(small: Stack) -> Iterator[Shopping]:
    """Shoppers who search and click as long as the test runs."""
    with Shopping(small.url) as shopping:
        yield shopping
