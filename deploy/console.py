"""What `aisle` says: to people on a terminal, and plainly to a file or a pipe."""

import queue
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

TABLE_WIDTH = 160
HEARTBEAT_S = 3.0
"""A child that says nothing for so long is said to be still at work."""


class Terminal:
    """Lines and tables on standard output, warnings on standard error."""

    def __init__(self, out: Console | None = None, err: Console | None = None) -> None:
        self.out = out or Console(highlight=False, soft_wrap=True)
        self.err = err or Console(stderr=True, highlight=False, soft_wrap=True)

    def say(self, line: str) -> None:
        self.out.print(escape(line))

    def warn(self, line: str) -> None:
        self.err.print(f"[yellow]warning:[/] {escape(line)}")

    def head(self, line: str) -> None:
        self.out.print(f"[bold]{escape(line)}[/]")

    def table(self, table: Table) -> None:
        """As wide as it has to be: nobody wants an address folded, or cut at column 80 of a pipe."""
        Console(file=self.out.file, width=max(self.out.width, TABLE_WIDTH), highlight=False).print(table, crop=False)

    @contextmanager
    def working(self, title: str) -> Iterator[None]:
        """A spinner with the elapsed time while something runs; nothing when there is no terminal."""
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self.out, transient=True, disable=not self.out.is_terminal) as progress:
            progress.add_task(escape(title))
            yield

    def follow(self, process: "subprocess.Popen[bytes]", log: Path, *, clock: Callable[[], float] = time.monotonic) -> int:
        """Forward a child's lines with the elapsed time, and keep them in `log`, until it ends; returns its exit code."""
        assert process.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        began = clock()
        with open(log, "w", encoding="utf-8") as kept:
            while True:
                try:
                    line = lines.get(timeout=HEARTBEAT_S)
                except queue.Empty:
                    if not self.out.is_terminal:  # there, the spinner shows that it goes on
                        self.say(f"  {clock() - began:6.1f} s  still at work")
                    continue
                if line is None:
                    return process.wait()
                kept.write(line + "\n")
                kept.flush()
                if line.strip():
                    self.say(f"  {clock() - began:6.1f} s  {line}")


def _read(stream: IO[bytes], lines: "queue.Queue[str | None]") -> None:
    for raw in stream:
        # Progress bars rewrite their line with carriage returns: what stands there last counts.
        lines.put(raw.decode(errors="replace").rstrip().rpartition("\r")[2])
    lines.put(None)


def columns(title: str, *names: str) -> Table:
    table = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for name in names:
        table.add_column(name, overflow="fold")
    return table
