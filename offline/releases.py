"""How a release comes to be served: written whole, then its manifest, then the pointer; the newest KEPT stay for rolling back."""

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from services.artifacts import Versions, sha256
from services.models.port import ReleaseFacts
from services.shop import Shop

KEPT = 5
_SOURCES = ("offline", "services/models", "services/features.py")


def ship(shop: Shop, facts: ReleaseFacts, write: Callable[[Path], None] | None = None) -> int:
    """Make a release with these facts the current one; returns its number. `write` fills the folder (baselines have no files)."""
    versions = Versions(shop.releases)
    number, folder = versions.begin()
    try:
        if write is not None:
            write(folder)
        versions.publish(number, msgspec.structs.asdict(facts))
    except BaseException:
        shutil.rmtree(folder)
        raise
    versions.activate(number)
    versions.prune(KEPT)
    return number


def code_version() -> str:
    """Hash of the sources that decide what a release is."""
    root = Path(__file__).resolve().parent.parent
    files = [
        path for source in _SOURCES for path in (sorted((root / source).glob("*.py")) if (root / source).is_dir() else [root / source])
    ]
    return hashlib.sha256("".join(map(sha256, files)).encode()).hexdigest()[:12]


def copied(source: Path) -> Callable[[Path], None]:
    """A `write` that takes what was made elsewhere."""

    def write(folder: Path) -> None:
        shutil.copytree(source, folder, dirs_exist_ok=True)

    return write
