"""`python -m tests.bench.beside [--threads N] URL -- COMMAND ...`: what a command costs those who search meanwhile.

Searches one after the other in each thread, with the default deadline, from before the command starts until after it has ended. What fails or lacks
something is said at once; at the end how many did, and how long they took. Exit code 1 when a search failed, else the command's own.
"""

import argparse
import random
import shutil
import subprocess
import sys
import threading
import time
from dataclasses import dataclass, field

import httpx

AROUND_S = 3.0
PAUSE_S = 0.02
USERS = 500


@dataclass
class Searches:
    """Of all threads."""

    url: str
    words: list[str]
    began: float = field(default_factory=time.perf_counter)
    took_ms: list[float] = field(default_factory=list)
    failed: int = 0
    degraded: int = 0
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def run(self, seed: int) -> None:
        decide = random.Random(seed)
        with httpx.Client(base_url=self.url, timeout=30) as client:
            while not self.over.wait(PAUSE_S):
                query = " ".join(decide.sample(self.words, decide.choice((1, 2))))
                started = time.perf_counter()
                try:
                    response = client.post("/search", json={"query": query, "user_id": f"u{decide.randrange(USERS)}"})
                    wrong = "" if response.status_code == 200 else f"{response.status_code}: {response.text[:300]}"
                    lacks = [] if wrong else response.json()["degraded"]
                except Exception as error:  # whatever it is, the search failed
                    wrong, lacks = f"{type(error).__name__}: {error}", []
                self.note(started, wrong, lacks)

    def note(self, started: float, wrong: str, lacks: list[str]) -> None:
        took_ms = (time.perf_counter() - started) * 1000
        with self.lock:
            self.took_ms.append(took_ms)
            self.failed += bool(wrong)
            self.degraded += bool(lacks)
        if wrong or lacks:
            print(f"{started - self.began:7.1f} s  {took_ms:6.0f} ms  {wrong or 'without ' + ', '.join(lacks)}", flush=True)

    def told(self) -> str:
        took = sorted(self.took_ms)
        p50, p99 = (took[int(len(took) * share)] for share in (0.5, 0.99))
        return f"{len(took):,} searches: {self.failed} failed, {self.degraded} degraded; p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {took[-1]:.0f} ms"


def _parted(argv: list[str], at: str) -> tuple[list[str], list[str], list[str]]:
    where = argv.index(at) if at in argv else len(argv)
    return argv[:where], argv[where : where + 1], argv[where + 1 :]


def words_of(url: str) -> list[str]:
    """Words of the most popular products' titles."""
    answer = httpx.post(f"{url}/search", json={"page_size": 50}, headers={"x-deadline-ms": "10000"}, timeout=30)
    answer.raise_for_status()
    return sorted({w for item in answer.json()["items"] for w in item["summary"]["title"].split() if w.isalpha()})


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beside", description=__doc__)
    parser.usage = "%(prog)s [--threads N] URL -- COMMAND ..."
    parser.add_argument("url", metavar="URL")
    parser.add_argument("--threads", type=int, default=1)
    own, _, command = (list(part) for part in _parted(sys.argv[1:], "--"))
    options = parser.parse_args(own)
    if not command or not shutil.which(command[0]) or options.threads < 1:
        parser.error("wanted are at least one thread and, after --, a command that there is")
    try:
        searches = Searches(options.url, words_of(options.url))
    except httpx.HTTPError as error:
        sys.exit(f"beside: {options.url} does not answer ({error or type(error).__name__})")
    if len(searches.words) < 2:
        sys.exit(f"beside: {options.url} has no products to search for")
    threads = [threading.Thread(target=searches.run, args=(seed,)) for seed in range(options.threads)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(AROUND_S)
        code = subprocess.run(command, check=False).returncode
        time.sleep(AROUND_S)
    finally:
        searches.over.set()
        for thread in threads:
            thread.join()
    print(f"{searches.told()}; the command ended with {code}")
    return 1 if searches.failed else code


if __name__ == "__main__":
    sys.exit(main())
