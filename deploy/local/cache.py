"""Downloads: once per machine, whole or not at all, and only what the repository's own checksums know.

<cache>/lock                     held while something is downloaded
        maven/                   Maven's repository: an interrupted download goes on where it was
        elasticsearch-8.19.0/    a product; it appears by one rename, when everything in it was checked
"""

import contextlib
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from deploy.local.toolchain import Toolchain
from services.errors import ConfigurationError

Say = Callable[[str], None]
PLUGIN = "org.apache.maven.plugins:maven-dependency-plugin:3.6.1"
HEARTBEAT_S = 5.0
STALLED_S = 600.0
"""A download that brings nothing for so long is ended."""


def say(line: str) -> None:
    """Progress goes to standard error: standard output is for answers."""
    print(line, file=sys.stderr, flush=True)


def product(toolchain: Toolchain, name: str, megabytes: int, make: Callable[[Path, Path, Say], None], report: Say = say) -> Path:
    """The folder of a downloaded product. `make(folder, maven_repository, report)` fills it the first time; processes that ask
    at once wait for one of them. Raises ConfigurationError when it cannot be had."""
    cache = toolchain.cache
    folder = cache / name
    if folder.is_dir():
        return folder
    _require_room(cache, 3 * megabytes)
    with _locked(cache, report):
        if folder.is_dir():
            return folder
        began = time.monotonic()
        report(f"{name}: downloading about {megabytes} MB with Maven into {cache} (once)")
        unfinished = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=cache))
        try:
            make(unfinished, cache / "maven", report)
            unfinished.chmod(0o755)
            unfinished.rename(folder)
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)  # after the rename there is none
        report(f"{name}: downloaded and checked in {time.monotonic() - began:.0f} s")
    return folder


def run_maven(toolchain: Toolchain, repository: Path, name: str, arguments: list[str], report: Say) -> None:
    """Run Maven quietly with its downloads in `repository`. Raises ConfigurationError with the line in which it says why not."""
    command = [str(toolchain.maven), "-B", "-ntp", "-C", f"-Dmaven.repo.local={repository}", *arguments]
    environment = dict(toolchain.environment) | {"JAVA_HOME": str(toolchain.java.parent.parent)}
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
        try:
            code = _wait(process, repository, name, report)
        except BaseException:
            process.kill()
            process.wait()
            raise
        output.seek(0)
        said = output.read().decode(errors="replace")
    if code != 0:
        why = next((line for line in said.splitlines() if "ERROR" in line), said.strip().rpartition("\n")[2] or f"exit code {code}")
        raise ConfigurationError(
            f"Maven could not download {name} ({why.replace('[ERROR]', '').strip()[:400]}): check the network or the mirror in Maven's settings, then start again"
        )


def check(files: Mapping[Path, str]) -> None:
    """Compare the SHA-256 of files with what this repository knows. Raises ConfigurationError for a file that differs."""
    for path, expected in files.items():
        with open(path, "rb") as file:
            actual = hashlib.file_digest(file, "sha256").hexdigest()
        if actual != expected:
            path.unlink()
            raise ConfigurationError(
                f"{path.name} has SHA-256 {actual}, expected {expected}: it was removed; start again, and if it differs again do not use this source"
            )


def _wait(process: "subprocess.Popen[bytes]", repository: Path, name: str, report: Say) -> int:
    began = changed = time.monotonic()
    size = _size(repository)
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(HEARTBEAT_S)
        now = time.monotonic()
        if (bytes_ := _size(repository)) != size:
            size, changed = bytes_, now
        report(f"{name}: {size / 1e6:.0f} MB are here after {now - began:.0f} s")
        if now - changed > STALLED_S:
            process.kill()
            process.wait()
            raise ConfigurationError(f"the download of {name} stands still since {STALLED_S:.0f} s: check the network, then start again")


def _size(folder: Path) -> int:
    total = 0
    for where, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # Maven renames its files while we look
                total += os.stat(os.path.join(where, name)).st_size
    return total


@contextlib.contextmanager
def _locked(cache: Path, report: Say) -> Iterator[None]:
    with open(cache / "lock", "wb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            report(f"waiting for another process that downloads into {cache}")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield  # closing the file lets go of it, as does the end of the process


def _require_room(cache: Path, megabytes: int) -> None:
    try:
        cache.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(cache).free / 1e6
    except OSError as error:
        raise ConfigurationError(f"downloads cannot be kept in {cache} ({error.strerror}): set AISLE_CACHE to a folder of yours") from None
    if free < megabytes:
        raise ConfigurationError(f"{free:.0f} MB are free where {cache} is, {megabytes} MB are needed: free some or set AISLE_CACHE")
