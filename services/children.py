"""A child process that shares our terminal and has the last word."""

import signal
import subprocess
from collections.abc import Mapping, Sequence


def run_through(argv: Sequence[str], environment: Mapping[str, str] | None = None, end: signal.Signals = signal.SIGINT) -> int:
    """Its exit code. Ctrl-C reaches it as it reaches us, and is waited out here; SIGTERM and SIGHUP, which come to us alone, are passed on
    as `end`. For the main thread of a process that does nothing else."""
    process: subprocess.Popen[bytes] | None = None

    def pass_on(*_: object) -> None:
        if process is None:
            raise SystemExit(130)
        process.send_signal(end)

    for number in (signal.SIGTERM, signal.SIGHUP):  # before there is a child: none is left behind by a signal that comes early
        signal.signal(number, pass_on)
    process = subprocess.Popen(argv, env=environment)
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            continue
