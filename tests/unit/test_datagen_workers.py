"""A killed worker is missed, and a killed parent takes its workers with it."""

import os
import signal
import subprocess
import sys

import psutil
import pytest

from datagen.workers import workers
from services.errors import ConfigurationError

PARENT = """
import os, time
from datagen.workers import workers
if __name__ == "__main__":
    with workers(1) as pool:
        print(pool.submit(os.getpid).result(), flush=True)
        pool.submit(time.sleep, 600).result()
"""


def test_a_killed_worker_ends_the_making_with_advice() -> None:
    with pytest.raises(ConfigurationError, match=r"killed.*run the command again"), workers(1) as pool:
        pool.submit(signal.raise_signal, signal.SIGKILL).result()


def test_workers_end_when_their_parent_is_killed() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True, env=os.environ) as parent:
        assert parent.stdout is not None
        worker = psutil.Process(int(parent.stdout.readline()))
        parent.kill()
        worker.wait(timeout=20)
