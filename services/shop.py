"""Where a shop keeps what it has: one directory under AISLE_HOME, the same names for every shop."""

import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

import msgspec

from services.errors import ConfigurationError

_NAME = re.compile(r"[a-z][a-z0-9-]{0,39}")


class ShopInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`shop.json`: what does not change from one generation to the next."""

    name: str
    language: str = "en"
    currency: str = "USD"
    created_ms: int = 0
    searchable_attributes: list[str] | None = None
    """Attributes whose values are part of the searched text; None: all of them."""

    @property
    def identity(self) -> str:
        """What tells this shop from another of its name, in engines that several may use."""
        return f"{self.name}:{self.created_ms}"


@dataclass(frozen=True, slots=True)
class Shop:
    """Paths of one shop; nothing is opened or created by asking for them."""

    root: Path

    @property
    def name(self) -> str:
        return self.root.name

    @property
    def info_file(self) -> Path:
        return self.root / "shop.json"

    @property
    def ids_file(self) -> Path:
        """Parquet `product_id, product_no`: append-only; written by the importer alone."""
        return self.root / "ids.parquet"

    @property
    def generations(self) -> Path:
        return self.root / "generations"

    @property
    def releases(self) -> Path:
        return self.root / "releases"

    @property
    def log_file(self) -> Path:
        return self.root / "log" / "events.sqlite"

    @property
    def graph(self) -> Path:
        return self.root / "graph"

    @property
    def world(self) -> Path:
        """Settings, truth and history of a generated shop; no service and no trainer reads it."""
        return self.root / "world"

    def info(self) -> ShopInfo:
        try:
            return msgspec.json.decode(self.info_file.read_bytes(), type=ShopInfo)
        except FileNotFoundError:
            raise ConfigurationError(
                f"shop {self.name!r} does not exist in {self.root.parent}; make it with `aisle data` or `aisle import`"
            ) from None
        except msgspec.MsgspecError as error:
            raise ConfigurationError(f"{self.info_file} is damaged ({error}): write it anew, or make the shop again") from None

    def write_info(self, info: ShopInfo) -> None:
        self.root.mkdir(parents=True, exist_ok=True)
        write_atomically(self.info_file, msgspec.json.format(msgspec.json.encode(info), indent=2))


def home() -> Path:
    """AISLE_HOME, or `.aisle` in the working directory."""
    return Path(os.environ.get("AISLE_HOME", ".aisle")).resolve()


def open_shop(name: str, base: Path | None = None) -> Shop:
    """The shop of that name; raises ConfigurationError for a name that is none."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(f"shop name {name!r} must be lower-case letters, digits and hyphens, at most 40, starting with a letter")
    return Shop((base or home()) / "shops" / name)


def secret(base: Path | None = None) -> bytes:
    """The installation's secret (keyed user hashes, cursor signatures): AISLE_SECRET, or a file made once, readable by the owner only."""
    if configured := os.environ.get("AISLE_SECRET"):
        return configured.encode()
    return _token_file((base or home()) / "secret")


def operator_token(base: Path | None = None) -> str:
    """The token that operators send as `Authorization: Bearer`: AISLE_OPERATOR_TOKEN, or a file made once."""
    return os.environ.get("AISLE_OPERATOR_TOKEN") or _token_file((base or home()) / "operator.token").decode()


def write_atomically(path: Path, data: bytes) -> None:
    """Readers see the old content or the new, never a part; the data is on disk when this returns."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with open(temporary, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _token_file(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    with open(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "wb") as file:
        file.write(secrets.token_hex(32).encode())
    try:
        os.link(temporary, path)  # fails when another process was first: then its token counts
    except FileExistsError:
        pass
    finally:
        temporary.unlink()
    return path.read_bytes()
