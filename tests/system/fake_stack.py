"""The real supervisor over fake services, as a process of its own: `python fake_stack.py HOME RESTART NAME:PORT[:FLAG] ...`."""

import sys
import time
from pathlib import Path

from deploy.console import Terminal
from deploy.layout import Spec, child_environment
from deploy.processes import identify
from deploy.state import RunState, StateFile
from deploy.supervisor import Supervisor


def main() -> int:
    import os

    home, restart, *services = sys.argv[1:]
    state = StateFile(Path(home))
    fake = str(Path(__file__).with_name("fake_service.py"))
    specs = []
    for service in services:
        name, port, *flags = service.split(":")
        argv = [sys.executable, fake, "--port", port, *(f"--{flag}" for flag in flags)]
        specs.append(Spec(name, argv, "127.0.0.1", int(port), state.logs / f"{name}.log"))
    me = identify(os.getpid())
    assert me is not None
    run = RunState(supervisor=me, shop="fake", phase="preparing", since_ms=int(time.time() * 1000))
    return Supervisor(specs, run, state, child_environment(Path(home), os.environ), Terminal()).run(restart=restart == "restart")


if __name__ == "__main__":
    sys.exit(main())
