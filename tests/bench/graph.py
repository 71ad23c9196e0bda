"""`python -m tests.bench.graph [--edges N] [--at-once N]`: an embedded user graph that starts empty and grows under reads.

Behaviours of 20,000 users come a few at a time, as a busy shop's do, while somebody else reads. Every so often: milliseconds per behaviour written,
per read, the process' memory, the files. All of them should stay what they are but the files, and memory up to the buffer pool.
"""

import argparse
import random
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil

from recommender.graph.ladybug import LadybugGraph
from recommender.graph.port import Behaved, GraphCatalogue

PRODUCTS, USERS, READ = 10_000, 20_000, 50
PAUSE_S = 0.01


class Reader(threading.Thread):
    """Reads users all the time."""

    def __init__(self, graph: LadybugGraph) -> None:
        super().__init__(daemon=True)
        self._graph, self.over = graph, threading.Event()
        self.took_ms: list[float] = []

    def run(self) -> None:
        decide = random.Random(2)
        while not self.over.wait(PAUSE_S):
            began = time.perf_counter()
            self._graph.recent(f"user-{decide.randrange(USERS)}", READ)
            self.took_ms.append(1000 * (time.perf_counter() - began))


def behaviours(decide: random.Random, after: int, count: int) -> list[Behaved]:
    def one(offset: int) -> Behaved:
        user, product = f"user-{decide.randrange(USERS)}", decide.randrange(PRODUCTS)
        return Behaved(offset, user, f"event-{offset:032x}", "click", product, 1_700_000_000_000 + offset)

    return [one(after + n) for n in range(1, count + 1)]


def grow(folder: Path, edges: int, at_once: int) -> None:
    graph = LadybugGraph(folder)
    graph.load(GraphCatalogue(1, np.arange(PRODUCTS), np.arange(PRODUCTS) % 150, [f"brand-{n % 100}" for n in range(PRODUCTS)]))
    reader, decide, process = Reader(graph), random.Random(1), psutil.Process()
    graph.recent("nobody", READ)  # a new shop's first search: its plan must not be the one for ever
    reader.start()
    print(f"{'behaviours':>10}  {'ms a write':>10}  {'ms a read: p50':>14}  {'p99':>6}  {'max':>6}  {'RSS MB':>6}  {'files MB':>8}")
    step = max(at_once, edges // 20 // at_once * at_once)
    for position in range(0, edges, step):
        began, reader.took_ms = time.perf_counter(), []
        for after in range(position, position + step, at_once):
            graph.project(behaviours(decide, after, at_once), after + at_once)
        write_ms = 1000 * (time.perf_counter() - began) / step
        p50, p99, longest = np.quantile(reader.took_ms or [0.0], (0.5, 0.99, 1.0))
        files = sum(file.stat().st_size for file in folder.iterdir()) / 1e6
        rss = process.memory_info().rss / 1e6
        print(f"{position + step:10,}  {write_ms:10.2f}  {p50:14.2f}  {p99:6.1f}  {longest:6.1f}  {rss:6.0f}  {files:8.1f}", flush=True)
    reader.over.set()
    reader.join()
    graph.close()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.bench.graph", description=__doc__)
    parser.add_argument("--edges", type=int, default=150_000, help="Behaviours in all (default: 150,000)")
    parser.add_argument("--at-once", type=int, default=20, help="Behaviours in one transaction (default: 20)")
    known = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aisle-graph-") as folder:
        grow(Path(folder) / "graph", known.edges, known.at_once)


if __name__ == "__main__":
    main()
