"""One load as a file: everything that its report is printed from, and that it can be made again with."""

import datetime
import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
from msgspec import Struct

from loadgen.grading import Graded
from loadgen.hdr import Raw
from loadgen.options import Wish
from loadgen.rules import Finding
from loadgen.stats import StageReport, Times
from loadgen.timeline import Block, Sample, Second
from loadgen.where import TierHits, WhereRow
from services.errors import ConfigurationError
from services.shop import write_atomically

FORMAT = 1


class Machine(Struct, frozen=True):
    """Where it ran. `load_average`: of the last minute, before and after; other work on the machine shows there."""

    cpu: str
    cores: int
    python: str
    system: str
    load_average: tuple[float, float]
    pinned: str = ""


class Requests(Struct, frozen=True, kw_only=True):
    """One kind of request in the measured part. `latency` counts from the intended moment, `service` from the sending."""

    kind: str
    count: int
    failed: int
    per_second: float
    latency: Times
    service: Times
    p99_interval_ms: tuple[float, float] | None = None


class Generator(Struct, frozen=True, kw_only=True):
    """What the load cost its generator, and how late it was."""

    lag: Times
    processes: int
    planned: int
    sent: int
    cpu_s: float
    per_core_s: float
    """Requests that one core's worth of its CPU time sends and looks at in a second."""
    left_alone: int = 0


class Calibration(Struct, frozen=True, kw_only=True):
    """The generator alone against a server that does nothing, on this machine."""

    when_ms: int
    rate: float
    small_per_core_s: float
    small_lag_p99_ms: float
    page_per_core_s: float
    page_lag_p99_ms: float
    page_bytes: int
    code: str = ""


class Failure(Struct, frozen=True):
    kind: str
    reason: str
    count: int


class Quality(Struct, frozen=True, kw_only=True):
    """Against the truth of a generated world: means over the same queries, when idle and under load."""

    queries: int
    ndcg_idle: float
    ndcg_load: float
    regret_idle: float
    regret_load: float


class Run(Struct, frozen=True, kw_only=True):
    format: int
    started_ms: int
    seconds: float
    """Of the measured part."""
    wish: Wish
    users: int
    shop: str
    code_version: str
    machine: Machine
    requests: list[Requests]
    total: Requests
    locust: dict[str, float]
    """Percentiles as Locust counts them: two significant digits, warm-up included."""
    histograms: dict[str, Raw]
    generator: Generator
    seconds_seen: list[Second]
    blocks: list[Block]
    resources: list[Sample]
    where: list[WhereRow]
    stages: StageReport
    tiers: list[TierHits]
    degraded: dict[str, int]
    generations: list[int]
    releases: list[int]
    failures: list[Failure]
    findings: list[Finding]
    verdict: str
    answers_file: str = ""
    graded_of: int = 1
    """Of so many chains of requests, the answers to one were graded: 1 means all."""
    interrupted: bool = False
    quality: Quality | None = None
    shoppers: Graded | None = None
    """Of a generated world: what the pages were worth to those who saw them."""
    calibration: Calibration | None = None

    @property
    def ok(self) -> bool:
        return self.verdict == "VALID"


def save(run: Run, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name_of(run.started_ms)}.json"
    write_atomically(path, msgspec.json.format(msgspec.json.encode(run), indent=2))
    return path


def name_of(started_ms: int) -> str:
    when = datetime.datetime.fromtimestamp(started_ms / 1000, datetime.UTC)
    return when.strftime("%Y%m%dT%H%M%S") + f"{started_ms % 1000:03d}"


def load(path: Path) -> Run:
    """Raises ConfigurationError for a file that is no run of this format."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Run)
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigurationError(f"{path}: {error}; `aisle load run` writes such files") from None


def find(folder: Path, name: str) -> Path:
    """The run named by a path, by the beginning of its name in `folder`, or `last` / `last~1`, .... Raises ConfigurationError."""
    if Path(name).is_file():
        return Path(name)
    runs = sorted(p for p in folder.glob("[0-9]*.json"))
    if name.startswith("last"):
        back = name.removeprefix("last").removeprefix("~") or "0"
        if back.isdecimal() and int(back) < len(runs):
            return runs[-1 - int(back)]
    elif len(found := [p for p in runs if p.name.startswith(name)]) == 1:
        return found[0]
    listed = ", ".join(p.stem for p in runs[-5:]) or "none; `aisle load run` makes one"
    raise ConfigurationError(
        f"there is no one run {name!r} in {folder}: a path, the beginning of a name, last, last~1, ...; there are {listed}"
    )


def calibration(file: str) -> Calibration | None:
    """What was last measured of the generator alone; None when nothing was."""
    return msgspec.json.decode(Path(file).read_bytes(), type=Calibration) if file and Path(file).is_file() else None


def machine(before: float, pinned: str = "") -> Machine:
    """This machine; `before`: load average when the load began."""
    return Machine(
        cpu=_cpu(),
        cores=os.cpu_count() or 1,
        python=sys.version.split()[0],
        system=platform.platform(terse=True),
        load_average=(round(before, 2), round(os.getloadavg()[0], 2)),
        pinned=pinned,
    )


def _cpu() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def code_version() -> str:
    """The commit of the code, `+` when something is changed beside it; `unknown` outside a checkout."""
    here = Path(__file__).parent
    try:
        commit = subprocess.run(["git", "rev-parse", "--short=12", "HEAD"], cwd=here, capture_output=True, text=True, timeout=10)
        changes = subprocess.run(["git", "status", "--porcelain", "-uno"], cwd=here, capture_output=True, text=True, timeout=10)
    except (OSError, subprocess.TimeoutExpired):
        return "unknown"
    return f"{commit.stdout.strip()}{'+' if changes.stdout.strip() else ''}" if commit.returncode == 0 else "unknown"
