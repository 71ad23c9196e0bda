"""The commands of docs/your-shop.md, as they stand there, one after the other."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
PAGE = PROJECT / "docs" / "your-shop.md"


def commands() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.strip()]


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "examples").symlink_to(PROJECT / "examples")
    yield tmp_path
    run(tmp_path, "aisle down")


def run(folder: Path, command: str) -> "subprocess.CompletedProcess[str]":
    """As a person would type it; ports are free ones, so that nobody else's shop is in the way."""
    line = re.sub(r"^aisle", f"{sys.executable} -m deploy.cli", command)
    line = line.replace("--detach", "--detach --port 0 --no-locust")
    environment = {**os.environ, "AISLE_HOME": str(folder / "home"), "PYTHONPATH": str(PROJECT), "COLUMNS": "200"}
    return subprocess.run(line, shell=True, cwd=folder, env=environment, capture_output=True, text=True, timeout=280)


@pytest.mark.timeout(600)
def test_the_page_does_what_it_says(home: Path) -> None:
    said: dict[str, str] = {}
    for command in commands():
        done = run(home, command)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
        said[command] = done.stdout
    assert len(said) == len(commands()) >= 10
    shop = home / "home" / "shops" / "mine"
    logs = json.loads((shop / "import-logs-report.json").read_text())
    assert (logs["queries"], logs["events"], logs["malformed"]) == (504, 1631, 2)
    assert json.loads((home / "before.json").read_text())["means"]["nDCG@10"] > 0.5
    assert "<details" in (home / "after.html").read_text()
    settings = next(text for command, text in said.items() if "--set" in command)
    assert "verbatim=true minus http" in settings and "paired bootstrap" in settings
    later, again = (text for command, text in said.items() if "after.json" in command)
    assert again.splitlines()[1:3] == [line for line in later.splitlines() if "against" in line][:2]
    explained = next(text for command, text in said.items() if "--product P001" in command)
    assert "not matched" in explained
    assert (shop / "generations" / "CURRENT").read_text().strip() == "3"
