"""A compose project of the tests' own, and what is asked of it."""

import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx

from deploy.layout import PROJECT
from deploy.preflight import free_port

STANDINS = PROJECT.parent / "shared" / "compose-standins"
"""Makes a Docker engine and local images under the official names, where no image can be pulled."""
PORTS = ("AISLE_PORT", "LOCUST_PORT", "PROMETHEUS_PORT", "GRAFANA_PORT")
REPORT = ("-f", "docker-compose.yml", "-f", "docker-compose.report.yml")
Answer = dict[str, Any]


def asked_for() -> bool:
    """`make compose-test` asks, and CI where the stand-ins are."""
    return bool(os.environ.get("AISLE_COMPOSE_TEST")) or (os.environ.get("CI") == "true" and (STANDINS / "up").is_file())


def docker_answers() -> bool:
    try:
        return subprocess.run(["docker", "compose", "ls"], capture_output=True, timeout=60).returncode == 0
    except OSError:
        return False


def eventually(holds: Callable[[], bool], limit_s: float = 600.0) -> None:
    """Limits are for machines under much load: they claim nothing."""
    give_up = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < give_up
        time.sleep(0.5)


def env_file(folder: Path, **settings: str) -> Path:
    """A `.env` with free ports."""
    ports = {name: str(free_port("127.0.0.1")) for name in PORTS}
    (folder / "env").write_text("".join(f"{k}={v}\n" for k, v in {**ports, **settings}.items()))
    return folder / "env"


class Compose:
    """Its volumes, networks and ports touch no other project. `files`: the `-f` options."""

    def __init__(self, project: str, env_file: Path, *files: str) -> None:
        self.project = project
        self.argv = ["docker", "compose", "-p", project, "--env-file", str(env_file), *files]
        values = dict(line.split("=", 1) for line in env_file.read_text().split())
        self.url, self.locust, self.prometheus, self.grafana = (f"http://127.0.0.1:{values[name]}" for name in PORTS)

    def run(self, *argv: str, limit_s: float = 900) -> str:
        done = subprocess.run([*self.argv, *argv], cwd=PROJECT, capture_output=True, text=True, timeout=limit_s)
        assert done.returncode == 0, (
            f"{' '.join(argv)}: {done.stdout[-2000:]}{done.stderr[-2000:]}\n{self.told('ps', '-a')}{self.told('logs', '--tail=8')}"
        )
        return done.stdout

    def job(self, *command: str, mounts: tuple[Path, ...] = ()) -> str:
        """An `aisle` command as docs/operate.md has it; files are mounted at /in."""
        volumes = [part for file in mounts for part in ("-v", f"{file}:/in/{file.name}:ro")]
        return self.run("run", "--rm", "-T", *volumes, "prepare", "python", "-m", "deploy.cli", *command)

    def up(self, *more: str) -> None:
        self.run("up", "-d", "--wait", *more, limit_s=1500)

    def told(self, *argv: str) -> str:
        return subprocess.run([*self.argv, *argv], cwd=PROJECT, capture_output=True, text=True).stdout

    def search(self, **request: Any) -> Answer:
        headers = {"x-deadline-ms": "10000", "authorization": f"Bearer {self.token()}"}
        response = httpx.post(f"{self.url}/search", json=request, headers=headers, timeout=15)
        assert response.status_code == 200, response.text
        answer: Answer = response.json()
        return answer

    def complete(self, **request: Any) -> Answer:
        """The answer, once it lacks nothing: what has just been started is slow."""
        found: list[Answer] = []

        def lacks_nothing() -> bool:
            found.append(self.search(**request))
            return not found[-1]["degraded"]

        eventually(lacks_nothing)
        return found[-1]

    def token(self) -> str:
        if not hasattr(self, "_token"):
            self._token = self.run("exec", "-T", "planner", "cat", "/var/lib/aisle/operator.token").strip()
        return self._token

    def query(self, expr: str) -> list[float]:
        answer = httpx.get(f"{self.prometheus}/api/v1/query", params={"query": expr}, timeout=10)
        return [float(r["value"][1]) for r in answer.json()["data"]["result"]]

    def whole(self) -> bool:
        """A search that lacks nothing."""
        try:
            return not self.search(query=self.word(), user_id="u1")["degraded"]
        except (AssertionError, httpx.HTTPError):
            return False

    def word(self) -> str:
        """A word that products have."""
        if not hasattr(self, "_word"):
            self._word = next(w for w in self.search()["items"][0]["summary"]["title"].split() if w.isalpha())
        return self._word
