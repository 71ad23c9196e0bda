"""Time, CPU and memory of a command with all the processes that it starts."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import psutil

EVERY_S = 0.5


@dataclass(frozen=True, slots=True)
class Spent:
    """By a command and its children. `peak_mb`: the most that all of them had at one time (proportional set size: what they share counts
    once), looked at twice a second; what was there for less may be missed."""

    seconds: float
    cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.seconds:.0f} s, {self.cpu_s:.0f} CPU s, {self.peak_mb:,.0f} MB at most in all processes together"


def spent(argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Spent:
    """Run it to its end, its output going to ours. Raises SystemExit when it fails."""
    began, cpu, peak = time.monotonic(), _children_cpu_s(), 0.0
    with subprocess.Popen(argv, env={**os.environ, **(environment or {})}) as process:
        try:
            while process.poll() is None:
                peak = max(peak, _together_mb(process.pid))
                time.sleep(EVERY_S)
        except BaseException:
            process.terminate()
            raise
    if process.returncode:
        sys.exit(f"{' '.join(argv)}: exit code {process.returncode}")
    return Spent(time.monotonic() - began, _children_cpu_s() - cpu, peak)


def _children_cpu_s() -> float:
    times = os.times()
    return times.children_user + times.children_system


def _together_mb(pid: int) -> float:
    try:
        root = psutil.Process(pid)
        processes = [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0.0
    return sum(_pss(process) for process in processes) / 1e6


def _pss(process: psutil.Process) -> int:
    """Bytes. Where the system does not tell (macOS), the resident set, which counts shared pages again for each process."""
    try:
        memory = process.memory_full_info()
    except psutil.Error:  # it ended
        return 0
    return int(getattr(memory, "pss", memory.rss))
