"""A command that runs another is ended like it: nothing goes on behind the back of who stopped it."""

import signal
import subprocess
import sys

import pytest

CHILD = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # whatever started the tests may have it ignored
try:
    print("begun", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    print("ended", flush=True)
    sys.exit(3)
"""
PARENT = "import sys; from services.children import run_through; sys.exit(run_through([sys.executable, '-c', sys.argv[1]]))"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_told_to_stop_interrupts_its_child_and_has_its_exit_code(number: signal.Signals) -> None:
    argv = [sys.executable, "-c", PARENT, CHILD]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        assert process.stdout.read() == "ended\n"
        assert process.wait(timeout=20) == 3
