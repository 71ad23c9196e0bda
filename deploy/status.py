"""The table of `aisle status`."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from deploy.console import Terminal, columns
from deploy.processes import is_alive
from deploy.state import Identity, RunState, ServiceState

MB = 1024 * 1024
ARTIFACTS = {"generation": "generation", "products": "generation", "release": "release"}
"""Check of /readyz -> the version that its `current` is."""


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process uses now: CPU in percent of one core, memory in bytes (PSS: shared pages counted in parts, where the system says it)."""

    cpu_percent: float
    rss: int
    pss: int | None


def show(run: RunState, terminal: Terminal) -> bool:
    """Print the table; True when every service is ready."""
    if run.phase == "preparing":
        terminal.say(
            f"shop {run.shop!r} is being prepared: {run.step or 'about to start'} (pid {run.supervisor.pid}, for {duration(run.since_ms)})"
        )
        return False
    use = usage([run.supervisor, *(s.process for s in (*run.services, *run.engines) if s.process)])
    table = columns(f"shop {run.shop!r}", "service", "address", "pid", "up for", "cpu", "rss", "pss", "generation", "release", "state")
    answers = {s.name: readiness(s) for s in run.services}
    for service in run.services:
        table.add_row(*_row(service, use.get(service.process.pid) if service.process else None, answers[service.name]))
    for engine in run.engines:
        table.add_row(*_engine_row(engine, use.get(engine.process.pid) if engine.process else None))
    table.add_row(
        "supervisor", "", str(run.supervisor.pid), duration(run.since_ms), *_numbers(use.get(run.supervisor.pid)), "", "", run.phase
    )
    terminal.table(table)
    terminal.say(f"memory in all: {total(use) / MB:,.0f} MB")
    return _say_what_is_wrong(run, answers, terminal)


def _say_what_is_wrong(run: RunState, answers: Mapping[str, tuple[bool, dict[str, Any]]], terminal: Terminal) -> bool:
    fine = run.phase == "running"
    for service in run.services:
        if service.condition == "down":
            fine = False
            terminal.warn(f"{service.name} is down: it {service.why_down}; its log: {service.log_file}")
        elif not answers[service.name][0]:
            fine = False
            reasons = [f"{k}: {v.get('detail')}" for k, v in answers[service.name][1].get("checks", {}).items() if not v.get("ok")]
            terminal.warn(f"{service.name} is not ready: {'; '.join(reasons) or f'no answer from {service.ready_url}'}")
        elif service.restarts:
            terminal.say(f"{service.name} died and was restarted once; its log: {service.log_file}")
    for engine in run.engines:
        if engine.process and not is_alive(engine.process):
            fine = False
            terminal.warn(f"{engine.name} is down; its log: {engine.log_file}; `aisle down` and `aisle up --engines real` start all anew")
    return fine


def readiness(service: ServiceState) -> tuple[bool, dict[str, Any]]:
    """Whether it answers 200, and what /readyz says ({} when it is no JSON)."""
    if service.process is None:
        return False, {}
    try:
        answer = httpx.get(service.ready_url, timeout=3.0)
    except httpx.HTTPError:
        return False, {}
    body = answer.json() if answer.headers.get("content-type", "").startswith("application/json") else {}
    return answer.status_code == 200, body


def versions(body: Mapping[str, Any]) -> tuple[str, str]:
    """Generation and release that a service says it serves now, in its checks' details; "" when it does not have one."""
    found = {"generation": "", "release": ""}
    for name, check in body.get("checks", {}).items():
        detail = check.get("detail")
        if (artifact := ARTIFACTS.get(name)) and isinstance(detail, dict) and detail.get("current") is not None:
            found[artifact] = str(detail["current"])
    return found["generation"], found["release"]


def usage(processes: list[Identity], interval_s: float = 0.3) -> dict[int, Usage]:
    """Usage per pid; processes that are gone are left out."""
    alive = {}
    for identity in processes:
        try:
            process = psutil.Process(identity.pid)
            process.cpu_percent()
            alive[identity.pid] = process
        except psutil.NoSuchProcess:
            continue
    time.sleep(interval_s)
    found = {}
    for pid, process in alive.items():
        try:
            memory = process.memory_full_info()
            found[pid] = Usage(process.cpu_percent(), memory.rss, getattr(memory, "pss", None))
        except psutil.AccessDenied:
            found[pid] = Usage(process.cpu_percent(), process.memory_info().rss, None)
        except psutil.NoSuchProcess:
            continue
    return found


def total(use: Mapping[int, Usage]) -> int:
    """Bytes of all processes, shared pages counted once where the system says so."""
    return sum(u.pss if u.pss is not None else u.rss for u in use.values())


def duration(since_ms: int) -> str:
    seconds = max(0, int(time.time() - since_ms / 1000))
    if seconds < 60:
        return f"{seconds} s"
    return f"{seconds // 60} min" if seconds < 3600 else f"{seconds // 3600} h {seconds % 3600 // 60} min"


def _row(service: ServiceState, use: Usage | None, answer: tuple[bool, dict[str, Any]]) -> list[str]:
    ready, body = answer
    state = "down" if service.condition == "down" else "ready" if ready else "not ready"
    pid = str(service.process.pid) if service.process else "-"
    since = duration(service.since_ms) if service.process else "-"
    return [service.name, service.address, pid, since, *_numbers(use), *versions(body), state]


def _engine_row(engine: ServiceState, use: Usage | None) -> list[str]:
    """Whether its process lives; whether it does its work stands in the /readyz of the services that need it."""
    pid = str(engine.process.pid) if engine.process else "-"
    return [engine.name, engine.address, pid, duration(engine.since_ms), *_numbers(use), "", "", "runs" if use else "down"]


def _numbers(use: Usage | None) -> list[str]:
    if use is None:
        return ["-", "-", "-"]
    return [f"{use.cpu_percent:.0f} %", f"{use.rss / MB:,.0f} MB", f"{use.pss / MB:,.0f} MB" if use.pss is not None else "-"]
