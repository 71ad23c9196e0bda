"""Import of a real catalogue: read, map, report, and only when that succeeded stage it for the next generation."""

import difflib
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
import pyarrow as pa

from datagen import import_mapping, staging
from datagen.import_mapping import Mapping
from datagen.import_readers import Row, reader_for
from datagen.import_rows import Imported, Rejection, category_id, product
from datagen.progress import Progress, Say, silent
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.errors import ConfigurationError
from services.shop import Shop, ShopInfo, write_atomically
from services.text import LANGUAGES

REPORT = "import-report.json"


class RejectedRow(msgspec.Struct, frozen=True):
    line: int
    field: str
    reason: str


class Report(msgspec.Struct, kw_only=True):
    """`import-report.json`. `coverage` is the share of accepted rows that have each field and attribute."""

    catalogue: str
    succeeded: bool = False
    error: str | None = None
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    seconds: float = 0.0
    coverage: dict[str, float] = {}
    rejections: list[RejectedRow] = []


def run(shop: Shop, catalogue: Path, mapping_file: Path, *, language: str = "en", strict: bool = False, say: Say = silent) -> Report:
    """Import a feed into a shop; the report is written whether it succeeds or not. Raises ConfigurationError when nothing was staged."""
    if language not in LANGUAGES:
        raise ConfigurationError(f"language {language!r} is not known; known are {', '.join(LANGUAGES)}")
    mapping = import_mapping.load(mapping_file)
    shop.root.mkdir(parents=True, exist_ok=True)
    report, started = Report(catalogue=catalogue.name), time.monotonic()
    try:
        products, seen = _read(catalogue, mapping, report, strict=strict, say=say)
        _check_mapped(mapping, seen)
        say(f"writing {len(products):,} products")
        _stage(shop, products)
        _write_info(shop, mapping, language)
        report.succeeded = True
    except ConfigurationError as error:
        report.error = str(error)
        raise
    finally:
        report.seconds = round(time.monotonic() - started, 2)
        write_atomically(shop.root / REPORT, msgspec.json.format(msgspec.json.encode(report), indent=1))
    return report


def _read(catalogue: Path, mapping: Mapping, report: Report, *, strict: bool, say: Say) -> tuple[list[Imported], set[str]]:
    products: list[Imported] = []
    lines: dict[str, int] = {}
    seen: set[str] = set()
    progress = Progress(say, "products read")
    for line, row in reader_for(catalogue)(catalogue):
        report.rows += 1
        try:
            imported = _accepted(row, mapping, lines)
        except Rejection as rejection:
            report.rejections.append(RejectedRow(line, rejection.field, rejection.reason))
            if strict:
                break
        else:
            lines[imported.product_id] = line
            products.append(imported)
            seen.update(row)
        progress.at(report.rows)
    progress.done(report.rows)
    _account(report, products)
    if strict and report.rejections:
        first = report.rejections[0]
        raise ConfigurationError(f"{catalogue.name} line {first.line}: {first.field} {first.reason} (strict: nothing was imported)")
    if not products:
        raise ConfigurationError(f"{catalogue.name}: none of {report.rows} rows could be imported{_first(report)}")
    return products, seen


def _accepted(row: Row | str, mapping: Mapping, lines: dict[str, int]) -> Imported:
    if isinstance(row, str):
        raise Rejection("line", row)
    imported = product(row, mapping)
    if imported.product_id in lines:
        raise Rejection(
            mapping.fields.product_id, f"{imported.product_id!r} is already that of line {lines[imported.product_id]}; ids must be unique"
        )
    return imported


def _first(report: Report) -> str:
    return "".join(f"; line {r.line}: {r.field} {r.reason}" for r in report.rejections[:1])


def _account(report: Report, products: list[Imported]) -> None:
    report.accepted, report.rejected = len(products), len(report.rejections)
    counts: Counter[str] = Counter()
    for item in products:
        counts.update(
            name for name in ("brand", "description", "price_cents", "image_link", "created_ms", "category") if getattr(item, name)
        )
        counts.update(f"attributes.{name}" for name in item.attributes)
    report.coverage = {name: round(count / len(products), 4) for name, count in counts.most_common()}


def _check_mapped(mapping: Mapping, seen: set[str]) -> None:
    """A mapped field that no row has is a slip of the pen, not a sparse field."""
    for source, target in [*mapping.fields.all().items(), *mapping.attributes.names.items()]:
        if source not in seen:
            close = difflib.get_close_matches(source, seen, 1)
            hint = f"; did you mean {close[0]!r}?" if close else ""
            raise ConfigurationError(f"mapped field {source!r} (for {target}) is in no row{hint}")
    for prefix in mapping.attributes.prefixes:
        if not any(field.startswith(prefix) for field in seen):
            raise ConfigurationError(f"attribute prefix {prefix!r} fits no field of any row")


def _stage(shop: Shop, products: list[Imported]) -> None:
    staging.sweep(shop)
    numbers, ids = staging.numbers_for(shop, [p.product_id for p in products])
    categories = _categories(p.category for p in products)
    rows = [
        {
            **{name: getattr(p, name) for name in CATALOGUE_SCHEMA.names if name not in ("product_no", "category_id", "attributes")},
            "product_no": number,
            "category_id": category_id(p.category) if p.category else -1,
            "attributes": list(p.attributes.items()),
        }
        for number, p in sorted(zip(numbers, products, strict=True), key=lambda pair: pair[0])
    ]
    staging.stage(shop, ids, pa.Table.from_pylist(rows, schema=CATALOGUE_SCHEMA), categories)


def _categories(paths: Iterable[tuple[str, ...]]) -> pa.Table:
    prefixes = {path[:depth] for path in set(paths) for depth in range(1, len(path) + 1)}
    ids = {path: category_id(path) for path in sorted(prefixes)}
    if len(set(ids.values())) < len(ids):
        raise ConfigurationError("two category paths have the same number; rename one of them slightly")
    rows = [{"category_id": number, "name": path[-1], "parent_id": ids.get(path[:-1], -1)} for path, number in ids.items()]
    return pa.Table.from_pylist(rows, schema=CATEGORIES_SCHEMA)


def _write_info(shop: Shop, mapping: Mapping, language: str) -> None:
    created_ms = shop.info().created_ms if shop.info_file.is_file() else int(time.time() * 1000)
    shop.write_info(
        ShopInfo(
            name=shop.name,
            language=language,
            currency=mapping.currency,
            created_ms=created_ms,
            searchable_attributes=mapping.attributes.searchable,
        )
    )
