"""The history of a world, day by day: shoppers look at pages of the logging policy, and the log gets what a shop would have. Nothing of the truth.

Users are split over processes; every evening the counts of all are added up, and the next day's policy starts from them. Each day is a
file of its own; the counts are written after it, so a killed run goes on with the day that was missing.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import slices, staging
from datagen.policy import Counts
from datagen.progress import Say, working
from datagen.records import QUERIES_SCHEMA, in_order
from datagen.sessions import Chronicler, Day, no_counts
from datagen.workers import workers
from datagen.world import World

HISTORY, ASKED, COUNTS = "history", "queries", "counts.npz"
Open = Callable[[Path], Chronicler]
_chronicler: Chronicler | None = None


@dataclass(frozen=True, slots=True)
class Task:
    number: int
    users: range
    counts: Counts


def write(open_: Open, folder: Path, world: World, say: Say, processes: int = 2) -> None:
    """`history/<day>.parquet` and the truth about its queries in `queries/<day>.parquet`; days that are there already stay.

    `open_` opens a chronicler in each process.
    """
    for name in (HISTORY, ASKED):
        (folder / name).mkdir(exist_ok=True)
    done, counts = _read_counts(folder / COUNTS, len(world.items))
    days = world.settings.days
    if done == days:
        return
    parts = [users for users in _split(len(world.users), processes) if len(users)]
    with working(say, f"history of {days} days") as tell, _workers(open_, folder, len(parts)) as start:
        pending = start([Task(done, users, counts) for users in parts])
        records = 0
        for number in range(done, days):
            made = pending()
            counts = counts + sum(day.counts for day in made)
            if number + 1 < days:  # the next day is made while this one is written
                pending = start([Task(number + 1, users, counts) for users in parts])
            records += _write_day(folder, number, made)
            _write_counts(folder / COUNTS, number + 1, counts)
            tell(f"{number + 1} days, {records:,} records")


def gather_queries(folder: Path, world: World, target: Path) -> None:
    """One file of all days' queries, with the slices that each is in."""
    paths = sorted((folder / ASKED).glob("*.parquet"))
    queries = pa.concat_tables([pq.read_table(path, schema=QUERIES_SCHEMA) for path in paths])
    labels = pa.array(slices.of_history(world, queries), pa.list_(pa.string()))
    staging.write_table(target, queries.append_column("slices", labels))


def _write_day(folder: Path, number: int, made: list[Day]) -> int:
    queries = pa.concat_tables([day.queries for day in made]).sort_by([("ts_ms", "ascending"), ("query_id", "ascending")])
    staging.write_table(folder / ASKED / f"{number:05d}.parquet", queries)
    history = in_order([day.history for day in made])
    staging.write_table(folder / HISTORY / f"{number:05d}.parquet", history)
    return int(history.num_rows)


def _write_counts(path: Path, days: int, counts: Counts) -> None:
    temporary = path.with_name(f".{path.name}")
    with open(temporary, "wb") as file:
        np.savez(file, days=days, counts=counts)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _read_counts(path: Path, products: int) -> tuple[int, Counts]:
    """Days that are complete, and what was counted on them."""
    if not path.is_file():
        return 0, no_counts(products)
    with np.load(path) as known:
        return int(known["days"]), known["counts"]


# ---- processes -----------------------------------------------------------------------------------------------------------------

Pending = Callable[[], list[Day]]


def _open(open_: Open, folder: Path) -> None:
    global _chronicler
    _chronicler = open_(folder)


def _run(task: Task) -> Day:
    assert _chronicler is not None
    return _chronicler.day(task.number, task.users, task.counts)


@contextmanager
def _workers(open_: Open, folder: Path, processes: int) -> Iterator[Callable[[list[Task]], Pending]]:
    """Starts a day's tasks, each in a process of its own, and gives the function that waits for them; a single one in this process."""
    if processes == 1:
        chronicler = open_(folder)
        yield lambda tasks: lambda: [chronicler.day(t.number, t.users, t.counts) for t in tasks]
        return
    with workers(processes, _open, open_, folder) as pool:

        def start(tasks: list[Task]) -> Pending:
            made = [pool.submit(_run, task) for task in tasks]
            return lambda: [day.result() for day in made]

        yield start


def _split(total: int, parts: int) -> list[range]:
    return [range(a, b) for a, b in pairwise(total * i // parts for i in range(parts + 1))]
