"""`python -m loadgen run|show|compare|calibrate|peak|beyond`: loads against a running system, and what became of them."""

import signal
import sys

from loadgen.command import main

if __name__ == "__main__":
    # A shell that starts this in the background has Ctrl-C ignored; it must still end a load.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    sys.exit(main(sys.argv[1:]))
