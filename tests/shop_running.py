"""A running shop of a feed, for tests: imported and started with the commands that people use."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from services.shop import operator_token
from tests.system.stack import Stack

PROJECT = Path(__file__).parents[1]
EXAMPLES = PROJECT / "examples" / "your-shop"


def aisle(home: Path, *argv: str | Path, check: bool = True) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "AISLE_HOME": str(home), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "deploy.cli", *map(str, argv)]
    done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, timeout=540)
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def import_guessed(home: Path, name: str, feed: Path, *options: str) -> None:
    """Import a feed as it would be without anybody reading the mapping that is proposed."""
    home.mkdir(parents=True, exist_ok=True)
    (home / f"{name}.toml").write_text(aisle(home, "import", "--catalog", feed, "--guess").stdout)
    aisle(home, "import", "--shop", name, "--catalog", feed, "--mapping", home / f"{name}.toml", *options)


@dataclass
class Running:
    """The API of a running shop."""

    home: Path
    client: httpx.Client

    def search(self, query: str | None = None, **more: Any) -> dict[str, Any]:
        body = {**({"query": query} if query is not None else {}), **more}
        response = self.client.post("/search", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        assert answer["degraded"] == [], answer["degraded"]
        return answer

    def titles(self, query: str | None = None, **more: Any) -> list[str]:
        return [item["summary"]["title"] for item in self.search(query, **more)["items"]]

    def all_items(self, query: str | None = None, **more: Any) -> list[dict[str, Any]]:
        page = self.search(query, page_size=100, **more)
        items = list(page["items"])
        while page.get("cursor"):
            page = self.search(cursor=page["cursor"])
            items += page["items"]
        return items


@contextmanager
def running(home: Path, name: str) -> Iterator[Running]:
    token = operator_token(home)
    with Stack.start(home, name) as stack:
        headers = {"x-deadline-ms": "20000", "authorization": f"Bearer {token}"}
        with httpx.Client(base_url=stack.url, headers=headers, timeout=30.0) as client:
            yield Running(home, client)
