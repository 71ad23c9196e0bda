"""`aisle` as people type it: errors are one line and exit code 1, every command explains itself."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from deploy.cli import main
from deploy.layout import PROJECT
from deploy.local import toolchain
from services.artifacts import Versions
from services.shop import Shop, ShopInfo

COMMANDS = sorted(main.commands)


def aisle(home: Path, *argv: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "deploy.cli", *argv]
    return subprocess.run(
        command, cwd=PROJECT, env={**os.environ, "AISLE_HOME": str(home), **environment}, capture_output=True, text=True, timeout=60
    )


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A home with one shop of two releases."""
    shop = Shop(tmp_path / "shops" / "shoes")
    shop.write_info(ShopInfo(name="shoes"))
    for versions, count in ((Versions(shop.generations), 1), (Versions(shop.releases), 2)):
        for _ in range(count):
            number, _folder = versions.begin()
            versions.publish(number, {"strategy": "bm25", "metrics": {"ndcg": 0.71234}})
            versions.activate(number)
    return tmp_path


def test_the_commands_are_these() -> None:
    documented = "up down status logs load data import build train models rollback forget evaluate explain"
    assert set(documented.split()) <= set(COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    result = CliRunner().invoke(main, [command, "--help"])
    assert result.exit_code == 0
    assert "Example" in result.output
    assert f"aisle {command}" in result.output


def test_nothing_runs_is_exit_code_three(home: Path) -> None:
    status = aisle(home, "status")
    assert status.returncode == 3
    assert "not running" in status.stdout
    assert aisle(home, "down").returncode == 0


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["up", "--shop", "shop"], "there are: shoes"),
        (["up", "--shop", "No Name"], "must be lower-case letters"),
        (["up", "--shop", "shoes", "--workers", "2"], "embedded engines run in one worker"),
        (["load"], "start it with `aisle up`"),
        (["forget", "u1"], "start it with `aisle up`"),
        (["build", "--shop", "nix"], "there are: shoes"),
        (["train", "--shop", "nix"], "there are: shoes"),
        (["rollback", "--shop", "shoes", "--to", "9"], "there are: 1, 2"),
        (["logs", "planner"], "nothing was started yet"),
        (["import", "--shop", "new", "--catalog", "missing.jsonl", "--mapping", "missing.toml"], "missing.jsonl does not exist"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(home: Path, argv: list[str], said: str) -> None:
    result = aisle(home, *argv)
    assert result.returncode == (2 if argv == ["load"] else 1)  # of a load, 1 says INVALID
    assert said in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_taken_port_is_said_before_anything_is_started(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        result = aisle(home, "up", "--shop", "shoes", "--port", "0", "--no-locust", AISLE_SEARCHER_PORT=str(port))
    assert result.returncode == 1
    assert f"port {port} (searcher) on 127.0.0.1 is taken by pid {os.getpid()}" in result.stderr
    assert "AISLE_SEARCHER_PORT" in result.stderr


def test_engines_without_java_are_refused_in_one_line_before_anything_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "JVMS", tmp_path)
    environment = {"PATH": str(tmp_path), "JAVA_HOME": "", "AISLE_HOME": str(tmp_path / "home")}
    result = CliRunner().invoke(main, ["up", "--engines", "real", "--port", "0", "--no-locust"], env=environment)
    assert result.exit_code == 1
    assert result.stderr.startswith("Error: Java 17 is needed to run Elasticsearch and Neo4j and was not found: install it")
    assert len(result.stderr.splitlines()) == 1
    assert not (tmp_path / "home" / "shops").exists()


def test_models_lists_releases_and_rollback_moves_the_pointer(home: Path) -> None:
    listed = aisle(home, "models", "--shop", "shoes").stdout
    assert "bm25" in listed
    assert "ndcg: 0.7123" in listed
    assert "release 1 is current (it was 2)" in aisle(home, "rollback", "--shop", "shoes").stdout
    assert Versions(home / "shops" / "shoes" / "releases").current() == 1
    assert "no release before 1" in aisle(home, "rollback", "--shop", "shoes").stderr
    assert "release 2 is current (it was 1)" in aisle(home, "rollback", "--shop", "shoes", "--to", "2").stdout


def test_a_service_that_cannot_start_ends_up_with_one_line_and_no_process(home: Path) -> None:
    """The shop has a generation without any service's part of it."""
    result = aisle(home, "up", "--shop", "shoes", "--port", "0", "--no-locust", "--no-restart")
    assert result.returncode == 1
    assert "Traceback" not in result.stdout
    assert "cannot start like this" in result.stderr
    assert "run `aisle build`" in result.stderr
    assert aisle(home, "status").returncode == 3
