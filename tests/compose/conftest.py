"""One Docker engine and one stack for all tests here.

They take many minutes and 8 GB, so they run when asked for, by `make compose-test`, and in CI where the stand-ins are. Where no image can be pulled, compose-standins (see the
project's notes) makes them; what is a stand-in there (TensorFlow Serving, Grafana, a reduced Elasticsearch) is one here.
"""

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

from tests.compose.stack import STANDINS, Compose, asked_for, docker_answers, env_file, eventually


@pytest.fixture(scope="session")
def docker() -> Iterator[None]:
    """A Docker engine that answers: the one that is there, or that of the stand-ins for as long as the tests run."""
    if not asked_for():
        pytest.skip("THE COMPOSE STACK IS NOT TESTED: `make compose-test` does, and CI where compose-standins lie beside the project")
    if docker_answers():
        yield
        return
    if not (STANDINS / "up").is_file():
        pytest.fail("`docker compose` does not answer: install and start Docker with its compose plugin")
    made = subprocess.run([STANDINS / "up"], capture_output=True, text=True, timeout=1800)
    if made.returncode != 0:
        end = pytest.fail if os.environ.get("AISLE_COMPOSE_TEST") else pytest.skip
        end(f"THE COMPOSE STACK IS NOT TESTED: {STANDINS / 'up'}: {made.stdout[-2000:]}{made.stderr[-2000:]}")
    yield
    subprocess.run([STANDINS / "down"], check=True, timeout=120)


@pytest.fixture(scope="session")
def stack(docker: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    """Ready after a first start that was killed while the generation was being built."""
    compose = Compose(
        f"aisletest{os.getpid()}", env_file(tmp_path_factory.mktemp("compose"), DEMO_PRODUCTS="800", DEMO_USERS="150", DEMO_PAGES="4000")
    )
    try:
        began = time.monotonic()
        compose.run("build", limit_s=2000)
        print(f"images in {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        _interrupted(compose)
        print(f"interrupted after {time.monotonic() - began:.0f} s")
        began = time.monotonic()
        compose.up()
        print(f"ready {time.monotonic() - began:.0f} s later")
        eventually(compose.whole)
        yield compose
    finally:
        compose.run("down", "-v", "--remove-orphans", limit_s=300)


def _interrupted(compose: Compose) -> None:
    starting = subprocess.Popen([*compose.argv, "up", "-d"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    eventually(lambda: "[3/4] generation" in compose.run("logs", "prepare") or starting.poll() is not None, 900)
    compose.run("kill", "prepare")
    assert starting.wait(120) != 0, "it was not interrupted"
