"""Downloads: once, whole or not at all. Maven is a script here."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from deploy.local import cache, neo4j
from deploy.local.cache import Say, check, product, run_maven
from deploy.local.toolchain import Toolchain
from services.artifacts import sha256
from services.errors import ConfigurationError

ROOT = Path(__file__).resolve().parents[2]


def tools(folder: Path, maven: str) -> Toolchain:
    """A machine with Java 17 and this Maven."""
    programs = folder / "bin"
    programs.mkdir(parents=True)
    for name, script in (("java", "echo 'openjdk version \"17.0.1\"' >&2"), ("mvn", maven)):
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)
    return Toolchain(
        {"JAVA_HOME": str(folder), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "AISLE_CACHE": str(folder / "cache")}
    )


def quiet(line: str) -> None: ...


def test_a_product_is_made_once(tmp_path: Path) -> None:
    said: list[str] = []
    made: list[Path] = []

    def make(folder: Path, repository: Path, report: Say) -> None:
        made.append(folder)
        (folder / "file").write_text("content")

    toolchain = tools(tmp_path, "exit 0")
    folders = [product(toolchain, "thing-1", 1, make, said.append) for _ in range(2)]
    assert folders == [tmp_path / "cache" / "thing-1"] * 2
    assert (folders[0] / "file").read_text() == "content"
    assert len(made) == 1
    assert [line.split(" in ")[0] for line in said] == [
        f"thing-1: downloading about 1 MB with Maven into {tmp_path / 'cache'} (once)",
        "thing-1: downloaded and checked",
    ]


def test_what_could_not_be_made_leaves_nothing(tmp_path: Path) -> None:
    def make(folder: Path, repository: Path, report: Say) -> None:
        (folder / "half").write_text("half")
        raise ConfigurationError("no network")

    toolchain = tools(tmp_path, "exit 0")
    with pytest.raises(ConfigurationError, match="no network"):
        product(toolchain, "thing-1", 1, make, quiet)
    assert [path.name for path in toolchain.cache.iterdir()] == ["lock"]


def test_processes_that_ask_at_once_make_it_once(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "exit 0")
    code = f"""
import sys, time
from pathlib import Path
from deploy.local.cache import product
from deploy.local.toolchain import Toolchain
def make(folder, repository, report):
    with open({str(tmp_path / "made")!r}, "a") as file:
        file.write("x")
    for part in range(20):
        (folder / str(part)).write_text("content")
        time.sleep(0.01)
folder = product(Toolchain({dict(toolchain.environment)!r}), "thing-1", 1, make)
assert len(list(folder.iterdir())) == 20
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE) for _ in range(4)]
    outputs = [(process.communicate(timeout=60)[1], process.returncode) for process in processes]
    assert [code for _, code in outputs] == [0] * 4, outputs
    assert (tmp_path / "made").read_text() == "x"


def test_a_file_that_differs_is_removed_and_said(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.zip", tmp_path / "bad.zip"
    good.write_bytes(b"content")
    bad.write_bytes(b"other content")
    expected = sha256(good)
    check({good: expected})
    with pytest.raises(ConfigurationError, match=rf"^bad.zip has SHA-256 {sha256(bad)}, expected {expected}: it was removed"):
        check({good: expected, bad: expected})
    assert good.exists()
    assert not bad.exists()


def test_why_maven_failed_is_one_line(tmp_path: Path) -> None:
    toolchain = tools(tmp_path, "echo '[ERROR] Could not resolve thing:1'; echo '[ERROR] To see the full stack trace...'; exit 1")
    with pytest.raises(
        ConfigurationError, match=r"^Maven could not download thing \(Could not resolve thing:1\): check the network"
    ) as told:
        run_maven(toolchain, tmp_path / "repository", "thing", [], quiet)
    assert "\n" not in str(told.value)


def test_a_long_download_says_how_far_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "HEARTBEAT_S", 0.05)
    repository, seen, said = tmp_path / "repository", tmp_path / "seen", []
    repository.mkdir()

    def say(line: str) -> None:
        said.append(line)
        if "3 MB" in line:
            seen.touch()

    toolchain = tools(tmp_path, f"head -c 3000000 /dev/zero > {repository}/part; while [ ! -e {seen} ]; do sleep 0.05; done")
    run_maven(toolchain, repository, "thing", [], say)
    assert said[-1].startswith("thing: 3 MB are here after ")


def test_a_download_that_stands_still_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "HEARTBEAT_S", 0.02)
    monkeypatch.setattr(cache, "STALLED_S", 0.1)
    toolchain = tools(tmp_path, "exec sleep 60")
    with pytest.raises(ConfigurationError, match="the download of thing stands still"):
        run_maven(toolchain, tmp_path / "repository", "thing", [], quiet)


def test_a_cache_that_cannot_be_written_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="set AISLE_CACHE to a folder of yours"):
        product(Toolchain({"AISLE_CACHE": str(tmp_path / "file" / "cache")}), "thing-1", 1, lambda *_: None, quiet)


def test_neo4j_is_known_jar_by_jar() -> None:
    known = neo4j.checksums()
    assert len(known) > 200
    assert {f"neo4j-{neo4j.VERSION}.jar", f"neo4j-server-{neo4j.VERSION}.jar"} <= set(known)
    assert all(len(digest) == 64 and name.endswith(".jar") for name, digest in known.items())
