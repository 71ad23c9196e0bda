"""System and generator on cores of their own; said when that is not possible. In processes of their own, since it binds whoever asks."""

import os
import subprocess
import sys

import pytest

from deploy.layout import PROJECT

SCRIPT = """
import os, sys
from loadgen.pinning import pin, unpin
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[: int(sys.argv[2])]))
said = pin(f"planner={sys.argv[1]}")
cores = lambda pid: sorted(os.sched_getaffinity(pid))
print(said, cores(int(sys.argv[1])), cores(0), sep="|")
unpin(f"planner={sys.argv[1]}")
print(cores(int(sys.argv[1])) == list(range(os.cpu_count())))
"""


def pinned(cores: int) -> list[str]:
    with subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE) as system:
        argv = [sys.executable, "-c", SCRIPT, str(system.pid), str(cores)]
        said = subprocess.run(argv, cwd=PROJECT, capture_output=True, text=True, check=True, timeout=60).stdout
        assert system.stdin
        system.stdin.close()
    return said.splitlines()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < 2, reason="needs two cores to bind to")
def test_system_and_generator_get_cores_of_their_own_and_the_system_gets_all_back() -> None:
    first, second = sorted(os.sched_getaffinity(0))[:2]
    assert pinned(2) == [f"system on core {first}, generator on {second}|[{first}]|[{second}]", "True"]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cannot bind processes")
def test_one_core_is_not_enough_and_that_is_said() -> None:
    assert pinned(1)[0].startswith("not pinned: 1 core can be used, two are needed|")
