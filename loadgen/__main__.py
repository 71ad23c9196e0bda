"""`python -m loadgen run|show|compare|calibrate|peak|beyond`: loads against a running system, and what became of them."""

import signal
import sys

from loadgen.command import main

if __name__ == "__main__":
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell that starts this in the background has it ignored; Ctrl-C must still end a load
    sys.exit(main(sys.argv[1:]))
