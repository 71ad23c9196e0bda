"""What the bench works on: a copy of a shop, and searches that its users really made."""

import itertools
import os
import random
import shutil
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow.parquet as pq

from loadgen.shoppers import some_words
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.contracts import PageRecord
from services.shop import Shop

IMMUTABLE = ("generations", "releases")
PAGE = 10


@dataclass(frozen=True, slots=True)
class Ask:
    """One search of the bench, always by a user who is signed in, so that the whole path is taken."""

    query: str
    user_id: str


def copy_home(home: Path, shop: str, target: Path) -> None:
    """A home of its own with the same shop: immutable versions as hard links, what is written to as copies; without the world."""
    source = home / "shops" / shop
    for path in source.rglob("*"):
        relative = path.relative_to(source)
        if not path.is_file() or relative.parts[0] == "world":
            continue
        copy = target / "shops" / shop / relative
        copy.parent.mkdir(parents=True, exist_ok=True)
        if relative.parts[0] in IMMUTABLE and path.name != "CURRENT":
            _link_or_copy(path, copy)
        else:
            shutil.copy2(path, copy)
    if (source / "world" / "history").is_dir():  # that there is one, or `aisle up` would make the world again
        (target / "shops" / shop / "world" / "history").mkdir(parents=True)
    for name in ("secret", "operator.token"):
        if (home / name).is_file():
            shutil.copy2(home / name, target / name)


def _link_or_copy(path: Path, copy: Path) -> None:
    try:
        os.link(path, copy)
    except OSError:  # another file system
        shutil.copy2(path, copy)


def asks(shop: Shop, count: int, seed: int) -> list[Ask]:
    """Searches of the world's history with the users who made them; words of titles by made-up users in a shop without a world."""
    rng = random.Random(seed)
    found = _history(shop) or _titles(shop, rng)
    return [rng.choice(found) for _ in range(count)]


def _history(shop: Shop) -> list[Ask]:
    files = sorted((shop.world / "history").glob("*.parquet"))
    found = []
    for file in files[-1:]:
        table = pq.read_table(file, columns=["kind", "user_id", "payload"])
        for kind, user, payload in zip(*(table[c].to_pylist() for c in table.column_names), strict=True):
            if kind == "page" and user:
                page = msgspec.json.decode(payload, type=PageRecord)
                if page.page == 1 and page.query:
                    found.append(Ask(page.query, user))
    return found


def _titles(shop: Shop, rng: random.Random) -> list[Ask]:
    versions = Versions(shop.generations)
    table = Catalogue(versions.folder(versions.current() or 0)).table
    return [
        Ask(some_words(title, rng), f"bench-{n % 500}")
        for n, title in enumerate(itertools.islice(table["title"].to_pylist(), 5000))
        if title.strip()
    ]
