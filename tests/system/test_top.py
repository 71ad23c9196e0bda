"""`aisle top` as people see it: on a terminal (tmux), under load."""

import io
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from rich.console import Console
from rich.text import Text

from deploy.layout import PROJECT
from tests.system.shopping import Shopping
from tests.system.stack import Stack

pytestmark = pytest.mark.timeout(600)
COMMAND = [sys.executable, "-m", "deploy.cli", "top"]


class Screen:
    """A terminal of 150 x 45 in a tmux server of the test's own."""

    def __init__(self, socket: Path) -> None:
        self._tmux = ["tmux", "-S", str(socket)]

    def start(self, command: list[str], home: Path) -> None:
        line = f"trap : INT; cd {shlex.quote(str(PROJECT))} && AISLE_HOME={shlex.quote(str(home))} {shlex.join(command)}; echo ended with $?; sleep 60"
        self._call("new-session", "-d", "-x", "150", "-y", "45", f"sh -c {shlex.quote(line)}")

    def text(self, *options: str) -> str:
        return self._call("capture-pane", "-p", *options)

    def draw(self, picture: Path) -> None:
        """As an SVG, in the reader's own font."""
        console = Console(record=True, width=150, file=io.StringIO())
        console.print(Text.from_ansi(self.text("-e").rstrip()))
        picture.write_text(re.sub(r"@font-face \{.*?\}", "", console.export_svg(title="aisle top"), flags=re.DOTALL))

    def wait_for(self, holds: Callable[[str], bool], limit_s: float = 40.0) -> str:
        give_up = time.monotonic() + limit_s
        while not holds(text := self.text()):
            assert time.monotonic() < give_up, text
            time.sleep(0.1)
        return text

    def press(self, key: str) -> None:
        self._call("send-keys", key)

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)

    def _call(self, *argv: str) -> str:
        return subprocess.run([*self._tmux, *argv], check=True, capture_output=True, text=True, env={**os.environ, "TERM": "xterm"}).stdout


@pytest.fixture
def screen(tmp_path: Path) -> Iterator[Screen]:
    if shutil.which("tmux") is None:
        assert not os.environ.get("CI"), "CI has to have tmux (Debian: apt-get install tmux)"
        pytest.skip("THE TERMINAL PAGE IS NOT TESTED: tmux is missing (Debian: apt-get install tmux)")
    screen = Screen(tmp_path / "s")
    yield screen
    screen.close()


def row(text: str, name: str) -> list[str]:
    return next((re.split(r"\s{2,}", line.strip()) for line in text.splitlines() if line.startswith(name)), [])


def test_it_shows_rate_latency_versions_and_stages_of_what_runs_now(small: Stack, shopping: Shopping, screen: Screen) -> None:
    screen.start([*COMMAND, "--interval", "0.5"], small.home)
    headline = re.compile(r"searches [1-9][\d.]*/s +p50 [\d.,]+ ms +p99 [\d.,]+ ms +good \(within 250 ms\) [\d.]+%")
    services = ("planner", "recommender", "searcher", "ranker")

    def busy(text: str) -> bool:
        """A look in which every service had something to do: on a busy machine, half a second may pass without a search."""
        rows = [row(text, service) for service in services]
        works = all(cells and cells[-1] == "ready" and float(cells[1]) > 0 for cells in rows)
        return works and "ranker inference" in text and headline.search(text) is not None

    text = screen.wait_for(busy)
    assert "shop demo" in text
    for service in services:
        cells = row(text, service)
        assert cells[6].endswith("%")
        assert cells[8] == "1", f"generation of the {service}: {cells}"
    assert row(text, "ranker")[9] == "1"
    assert row(text, "planner retrieve")[2].endswith("ms")
    screen.wait_for(lambda text: "degraded: nothing" in text)  # on a busy machine an answer may have lacked something, a moment ago
    assert "graph lag" in text
    if folder := os.environ.get("AISLE_SCREENSHOTS"):
        screen.draw(Path(folder) / "aisle-top.svg")


def test_it_moves_on_and_ends_with_ctrl_c(small: Stack, shopping: Shopping, screen: Screen) -> None:
    screen.start([*COMMAND, "--interval", "0.3"], small.home)
    first = screen.wait_for(lambda text: "planner retrieve" in text)
    screen.wait_for(lambda text: "planner retrieve" in text and text != first)
    screen.press("C-c")
    screen.wait_for(lambda text: "ended with 0" in text)


def test_into_a_pipe_it_prints_one_look(small: Stack, shopping: Shopping) -> None:
    done = subprocess.run(
        [*COMMAND, "--once", "--interval", "5"],
        cwd=PROJECT,
        env={**os.environ, "AISLE_HOME": str(small.home)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout
    assert row(done.stdout, "searcher high")


def test_without_a_running_system_it_says_what_to_do(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "--once"], cwd=PROJECT, env={**os.environ, "AISLE_HOME": str(tmp_path)}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "aisle up" in done.stderr
