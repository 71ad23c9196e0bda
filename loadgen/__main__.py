"""`python -m loadgen run|show|compare|calibrate|peak|beyond`: loads against a running system, and what became of them."""

import sys

from loadgen.command import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
