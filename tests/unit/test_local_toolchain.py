"""What is said when Java or Maven is missing, and where downloads go."""

from pathlib import Path

import pytest

from deploy.local import toolchain
from deploy.local.toolchain import Toolchain, java_version
from services.errors import ConfigurationError


def program(path: Path, script: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return path


def java(home: Path, version: str) -> Path:
    return program(home / "bin" / "java", f"echo 'openjdk version \"{version}\" 2025-04-15' >&2")


@pytest.mark.parametrize(("said", "expected"), [("17.0.15", 17), ("21", 21), ("1.8.0_402", 1), ("17-ea", 17)])
def test_the_major_version_is_read_from_what_java_says(tmp_path: Path, said: str, expected: int) -> None:
    assert java_version(java(tmp_path, said)) == expected


def test_what_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert java_version(tmp_path / "java") is None
    assert java_version(program(tmp_path / "broken", "exit 1")) is None
    assert java_version(program(tmp_path / "other", "echo hello")) is None


def test_java_home_comes_first(tmp_path: Path) -> None:
    mine = java(tmp_path / "mine", "17.0.1")
    java(tmp_path / "path", "17.0.2")
    assert Toolchain({"JAVA_HOME": str(tmp_path / "mine"), "PATH": str(tmp_path / "path" / "bin")}).java == mine


def test_a_java_of_another_version_is_passed_over(tmp_path: Path) -> None:
    java(tmp_path / "new", "21.0.1")
    right = java(tmp_path / "path", "17.0.2")
    assert Toolchain({"JAVA_HOME": str(tmp_path / "new"), "PATH": str(tmp_path / "path" / "bin")}).java == right


def test_missing_java_is_one_line_that_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(toolchain, "JVMS", tmp_path / "none")  # this machine's own Java
    new = java(tmp_path / "new", "21.0.1")
    with pytest.raises(ConfigurationError) as told:
        _ = Toolchain({"JAVA_HOME": str(tmp_path / "new"), "PATH": str(tmp_path)}).java
    assert str(told.value) == (
        f"Java 17 is needed to run Elasticsearch and Neo4j and was not found ({new} is 21): "
        "install it (Debian and Ubuntu: `apt-get install openjdk-17-jre-headless`) or set JAVA_HOME to it"
    )


def test_missing_maven_is_one_line_that_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^Maven is needed once, .* was not found: install it .*`apt-get install maven`\)$"):
        _ = Toolchain({"PATH": str(tmp_path)}).maven


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"AISLE_CACHE": "/somewhere"}, Path("/somewhere")),
        ({"XDG_CACHE_HOME": "/caches"}, Path("/caches/aisle")),
        ({}, Path.home() / ".cache" / "aisle"),
    ],
)
def test_the_cache_is_where_the_user_wants_it(environment: dict[str, str], expected: Path) -> None:
    assert Toolchain(environment).cache == expected
