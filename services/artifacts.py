"""Versioned, immutable artifacts: generations of a catalogue and releases of a model share this one mechanism.

A version is a folder named by its number. Whoever makes it writes everything, then the manifest (a folder without one does not
exist for readers), then moves the pointer `CURRENT`. Readers serve the current version and the one before it.
"""

import hashlib
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

import msgspec

from services.errors import ConfigurationError, VersionGone
from services.shop import write_atomically
from services.text import ANALYZER_VERSION

T = TypeVar("T")

_REMEDY = {"generations": "run `aisle build`", "releases": "run `aisle train`, or `aisle rollback` to an earlier release"}


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a version is made of. `files` maps relative path to SHA-256; `facts` is what its maker wants to tell."""

    version: int
    analyzer_version: str
    created_ms: int
    files: dict[str, str]
    facts: dict[str, msgspec.Raw] = {}

    def fact(self, name: str, type_: type[T]) -> T:
        return msgspec.json.decode(self.facts[name], type=type_)


class Versions:
    """The versions below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def complete(self) -> list[int]:
        """Numbers of all versions that have a manifest, ascending."""
        if not self.root.is_dir():
            return []
        return sorted(int(p.name) for p in self.root.iterdir() if p.name.isdigit() and (p / "manifest.json").is_file())

    def current(self) -> int | None:
        """The version that the pointer names, None without one. Raises ConfigurationError for a pointer that is no number."""
        pointer = self.root / "CURRENT"
        try:
            return int(pointer.read_text())
        except FileNotFoundError:
            return None
        except ValueError:
            raise ConfigurationError(f"{pointer} does not hold the number of a version: write one of {self.complete()} into it") from None

    def folder(self, version: int) -> Path:
        return self.root / str(version)

    def begin(self) -> tuple[int, Path]:
        """Number and empty folder of a new version. Leftovers of an interrupted build of the same number are removed."""
        self.root.mkdir(parents=True, exist_ok=True)
        version = max(self.complete(), default=0) + 1
        folder = self.folder(version)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        return version, folder

    def publish(self, version: int, facts: dict[str, object]) -> Manifest:
        """Write the manifest, which makes the version exist. It is not served before `activate`."""
        folder = self.folder(version)
        files = {str(p.relative_to(folder)): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file() and p.name != "manifest.json"}
        manifest = Manifest(
            version=version,
            analyzer_version=ANALYZER_VERSION,
            created_ms=int(time.time() * 1000),
            files=files,
            facts={k: msgspec.Raw(msgspec.json.encode(v)) for k, v in facts.items()},
        )
        write_atomically(folder / "manifest.json", msgspec.json.format(msgspec.json.encode(manifest), indent=2))
        return manifest

    def activate(self, version: int) -> None:
        """Move the pointer; atomic. Raises ConfigurationError for a version that is not complete."""
        if version not in self.complete():
            raise ConfigurationError(f"version {version} in {self.root} is not complete; complete are {self.complete()}")
        write_atomically(self.root / "CURRENT", str(version).encode())

    def manifest(self, version: int) -> Manifest:
        """Raises VersionGone when there is none, ConfigurationError when it was made with another analyser."""
        try:
            manifest = msgspec.json.decode((self.folder(version) / "manifest.json").read_bytes(), type=Manifest)
        except FileNotFoundError:
            raise VersionGone(f"version {version} is not in {self.root.name}") from None
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"the manifest of {self.root.name} {version} is damaged ({error}): {_remedy(self.root)}") from None
        if manifest.analyzer_version != ANALYZER_VERSION:
            raise ConfigurationError(
                f"{self.root.name} {version} was built with analyser {manifest.analyzer_version}, this code has {ANALYZER_VERSION}: run `aisle build`"
            )
        return manifest

    def verify(self, manifest: Manifest, under: str) -> None:
        """Compare the files below `under` ("": all) with their checksums. Raises ConfigurationError for the first that differs."""
        for name, expected in manifest.files.items():
            if name.startswith(under):
                file = self.folder(manifest.version) / name
                if not file.is_file() or sha256(file) != expected:
                    what = "is damaged" if file.is_file() else "is missing"
                    raise ConfigurationError(f"{file} {what}: {_remedy(self.root)}")

    def prune(self, keep: int) -> list[int]:
        """Remove all but the newest `keep` versions (never the current one and its predecessor); returns what was removed."""
        complete, current = self.complete(), self.current()
        safe = {current, *[v for v in complete if current is not None and v < current][-1:]}
        gone = [v for v in complete[: max(0, len(complete) - keep)] if v not in safe]
        for version in gone:
            (self.folder(version) / "manifest.json").unlink()  # first, so that no reader finds half a version
            shutil.rmtree(self.folder(version))
        return gone


class Served(Generic[T]):
    """The loaded versions of one artifact in a running service: the current one and one before, swapped without a pause."""

    def __init__(self, versions: Versions, load: Callable[[Path, Manifest], T], *, keep: int = 2, under: str = "") -> None:
        """`under`: the part of a version that `load` reads; its files are compared with their checksums before."""
        self._versions, self._open, self._keep, self._under = versions, load, keep, under
        self._loaded: dict[int, T] = {}
        self._current: int | None = None
        self._lock = threading.Lock()

    def refresh(self) -> int | None:
        """Load what the pointer names if it is new (blocking: call it in a thread); returns the version now current."""
        target = self._versions.current()
        if target is not None and target != self._current:
            with self._lock:
                if target not in self._loaded:
                    self._loaded = self._loaded | {target: self._load(target)}
                self._current = target
                newest = [*[v for v in self._loaded if v != target][-(self._keep - 1) :], target]
                self._loaded = {v: self._loaded[v] for v in newest}
        return self._current

    def _load(self, version: int) -> T:
        manifest = self._versions.manifest(version)
        self._versions.verify(manifest, self._under)
        return self._open(self._versions.folder(version), manifest)

    @property
    def current(self) -> int | None:
        return self._current

    @property
    def loaded(self) -> list[int]:
        return list(self._loaded)

    def get(self, version: int | None = None) -> tuple[int, T]:
        """The version asked for, or the current one. Raises VersionGone for one that is not loaded."""
        wanted = self._current if version is None else version
        loaded = self._loaded
        if wanted is None or wanted not in loaded:
            raise VersionGone(
                f"{self._versions.root.name} {wanted} is not served; served are {list(loaded)}", field=self._versions.root.name[:-1]
            )
        return wanted, loaded[wanted]


def _remedy(root: Path) -> str:
    return _REMEDY.get(root.name, "make it again")


def sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
