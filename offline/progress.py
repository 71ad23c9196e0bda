"""How the commands of this package talk: plain lines, and one line when they cannot go on."""

import errno
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from services.errors import AisleError, ConfigurationError
from services.shop import Shop

Say = Callable[[str], None]


def say(line: str) -> None:
    """One line of progress, at once (whoever started this process forwards it)."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._start


def run(usage: str, job: Callable[[Shop], object], arguments: list[str] | None = None) -> int:
    """Exit code of a command that takes SHOP_ROOT; what stops it becomes one line on stderr that says what to do."""
    given = sys.argv[1:] if arguments is None else arguments
    if len(given) != 1 or given[0].startswith("-"):
        sys.stderr.write(f"usage: {usage}\n")
        return 2
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # a stop cleans up as Ctrl-C does, its processes too
    try:
        job(Shop(Path(given[0]).resolve()))
    except ConfigurationError as error:
        sys.stderr.write(f"{error}\n")
    except AisleError as error:
        sys.stderr.write(f"{error.detail}\n")
    except OSError as error:
        hint = "free some space and run it again" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "nothing was activated"
        sys.stderr.write(f"{error.filename or ''}: {error.strerror or error}: {hint}\n")
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; nothing was activated\n")
    else:
        return 0
    finally:
        signal.signal(signal.SIGTERM, before)
    return 1
