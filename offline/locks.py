"""One maker of versions at a time, per folder of versions."""

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from services.errors import ConfigurationError


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Holds the folder's lock, which goes with the process; raises ConfigurationError when another process has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(
                f"the {folder.name} of {folder.parent.name!r} are being made by another process: wait for it, or stop it"
            ) from None
        yield
