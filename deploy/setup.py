"""What a shop lacks before it can be served, and how each is made. The markers are the artifacts: a step whose result is there is not repeated."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.console import Terminal
from deploy.processes import identify, spawn, stop
from deploy.state import Identity
from deploy.supervisor import last_lines
from services.artifacts import Versions
from services.errors import ConfigurationError
from services.eventlog.bulk import BulkLoader
from services.eventlog.sqlite import SqliteReader
from services.shop import Shop

DEMO = "demo"
DISK_FULL = ("No space left on device", "disk is full", "Disk quota exceeded")
"""What engines and libraries say, each in its own exception."""
Note = Callable[[str | None, Identity | None], None]
"""Told which step runs, and as which process."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to make: a module of ours, run as a process."""

    name: str
    title: str
    argv: list[str]


@dataclass(frozen=True, slots=True)
class Have:
    """What is there of a shop (see `look`)."""

    world: bool = False
    history: bool = False
    """The world's history is in the log, all of it."""
    logs: bool = False
    """There are records in the log, whoever wrote them."""
    generation: bool = False
    release: bool = False


def look(shop: Shop) -> Have:
    return Have(
        world=(shop.world / "history").is_dir(),
        history=history_is_loaded(shop),
        logs=SqliteReader(shop.log_file).end() > 0,
        generation=Versions(shop.generations).current() is not None,
        release=Versions(shop.releases).current() is not None,
    )


def history_is_loaded(shop: Shop) -> bool:
    if not shop.log_file.is_file():
        return False
    with BulkLoader(shop.log_file) as loader:
        progress = loader.progress()
    return progress is not None and progress.complete


def steps_to_serve(shop: Shop, have: Have) -> list[Step]:
    """What has to be made, in order, before the shop can be served. Pure."""
    is_world = have.world or shop.name == DEMO
    steps = []
    if is_world and not have.world:
        steps.append(world(shop))
    if is_world and not have.history:
        steps.append(module("history", "history into the event log", "planner.ingest", str(shop.root), str(shop.world / "history")))
    if not have.generation:
        steps.append(build(shop))
    if not have.release:
        steps.append(train(shop) if is_world or have.logs else baseline(shop))
    return steps


def world(shop: Shop, options: Sequence[str] = ()) -> Step:
    return module("world", "world: products, users and their history", "datagen", "world", str(shop.root), *options)


def build(shop: Shop) -> Step:
    return module("build", "generation: popularity, tiers, indexes, dictionaries, category model", "offline.build", str(shop.root))


def train(shop: Shop) -> Step:
    return module("train", "release: the models, trained from the event log", "offline.train", str(shop.root))


def baseline(shop: Shop) -> Step:
    return module("baseline", "release: strategy bm25, as there are no logs yet", "offline.baseline", str(shop.root))


def module(name: str, title: str, *argv: str) -> Step:
    return Step(name, title, [sys.executable, "-m", *argv])


def run_steps(
    steps: Sequence[Step],
    environment: Mapping[str, str],
    logs: Path,
    terminal: Terminal,
    note: Note = lambda step, process: None,
) -> None:
    """Run steps one after the other. `note` is told what runs. Raises ConfigurationError with the last words of one that failed."""
    logs.mkdir(parents=True, exist_ok=True)
    began = time.monotonic()
    for number, step in enumerate(steps, 1):
        started = time.monotonic()
        terminal.head(f"[{number}/{len(steps)}] {step.title}")
        with terminal.working(step.title):
            _run_step(step, environment, logs / f"setup-{step.name}.log", terminal, note)
        terminal.say(f"  done in {time.monotonic() - started:.1f} s")
    if len(steps) > 1:
        terminal.say(f"all made in {time.monotonic() - began:.1f} s")


def _run_step(step: Step, environment: Mapping[str, str], log: Path, terminal: Terminal, note: Note) -> None:
    process = spawn(step.argv, environment, subprocess.PIPE)
    identity = identify(process.pid)
    note(step.name, identity)
    try:
        code = terminal.follow(process, log)
    except BaseException:
        if identity:
            stop([identity])
        raise
    finally:
        note(None, None)
    if code:
        last = " | ".join(last_lines(log)) or "it said nothing"
        if any(sign in last for sign in DISK_FULL):
            raise ConfigurationError(
                f"{step.title}: the disk is full: free some where {log.parent.parent.parent} is; the same command goes on from here"
            )
        raise ConfigurationError(f"{step.title}: failed ({last}); the whole of it is in {log}. The same command goes on from here")
