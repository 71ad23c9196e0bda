"""Import of a real catalogue: read, map, report, and only when that succeeded stage it for the next generation."""

import difflib
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pyarrow as pa

from datagen import import_guess, import_mapping, import_merge, staging
from datagen.import_mapping import Mapping
from datagen.import_merge import Tables
from datagen.import_readers import reader_for
from datagen.import_rows import Imported, Rejection, Row, category_id, product
from datagen.import_types import FieldReport, Profile
from datagen.progress import Progress, Say, silent
from services.catalogue import CATALOGUE_SCHEMA, CATEGORIES_SCHEMA
from services.errors import ConfigurationError
from services.shop import Shop, ShopInfo, write_atomically
from services.text import LANGUAGES

REPORT, MAPPING = "import-report.json", "import-mapping.json"
BATCH_ROWS = 10_000
_COVERED = ("brand", "description", "price_cents", "image_link", "created_ms", "category")


class RejectedRow(msgspec.Struct, frozen=True):
    line: int
    field: str
    reason: str


class Report(msgspec.Struct, kw_only=True):
    """`import-report.json`. `fields` describes the feed as it came; `coverage` is the share of accepted rows that have each field and
    attribute of ours. `kept` products of before are in the catalogue beside the accepted ones (an upsert); `deleted` are gone."""

    catalogue: str
    succeeded: bool = False
    error: str | None = None
    rows: int = 0
    accepted: int = 0
    rejected: int = 0
    kept: int = 0
    updated: int = 0
    deleted: int = 0
    delete_unknown: list[str] = []
    products: int = 0
    seconds: float = 0.0
    mapping: Mapping | None = None
    coverage: dict[str, float] = {}
    fields: dict[str, FieldReport] = {}
    rejections: list[RejectedRow] = []
    notes: list[str] = []


@dataclass(frozen=True, slots=True)
class Change:
    """What an import is to do. `catalogue` with `upsert` changes or adds its products and keeps the others, without it replaces all;
    `delete` names a file of ids. `mapping` None: that of the shop's last mapping file, else the feed is a Google Merchant feed."""

    catalogue: Path | None = None
    mapping: Path | None = None
    language: str | None = None
    strict: bool = False
    upsert: bool = False
    delete: Path | None = None


def run(shop: Shop, catalogue: Path, mapping_file: Path, *, language: str = "en", strict: bool = False, say: Say = silent) -> Report:
    """Import a whole feed with a mapping file: `apply` in short."""
    return apply(shop, Change(catalogue, mapping_file, language, strict), say)


def apply(shop: Shop, change: Change, say: Say = silent) -> Report:
    """Stage the shop's next catalogue; the report is written whether that succeeds or not. Raises ConfigurationError when nothing was
    staged: then what was there is as it was."""
    if change.language is not None and change.language not in LANGUAGES:
        raise ConfigurationError(f"language {change.language!r} is not known; known are {', '.join(LANGUAGES)}")
    if change.catalogue is None and change.delete is None:
        raise ConfigurationError("there is nothing to import: give a catalogue, or a file of ids to delete")
    updates = change.upsert or change.catalogue is None
    if updates and not shop.root.is_dir():
        import_merge.current(shop)  # says what is missing, and makes no folder
    mapping = _mapping(shop, change) if change.catalogue is not None else None
    with staging.alone(shop):
        return _reported(shop, change, mapping, import_merge.current(shop) if updates else None, say)


def _reported(shop: Shop, change: Change, mapping: Mapping | None, before: Tables | None, say: Say) -> Report:
    report, started = Report(catalogue=(change.catalogue or change.delete or Path()).name, mapping=mapping), time.monotonic()
    try:
        _apply(shop, change, mapping, before, report, say)
        report.succeeded = True
    except ConfigurationError as error:
        report.error = str(error)
        raise
    finally:
        report.seconds = round(time.monotonic() - started, 2)
        write_atomically(shop.root / REPORT, msgspec.json.format(msgspec.json.encode(report), indent=1))
    return report


def _apply(shop: Shop, change: Change, mapping: Mapping | None, before: Tables | None, report: Report, say: Say) -> None:
    read = None
    if change.catalogue is not None and mapping is not None:
        read = _read(change.catalogue, mapping, report, strict=change.strict, say=say)
        _check_mapped(mapping, read.seen)
    doomed = import_merge.ids_to_delete(change.delete) if change.delete else frozenset()
    tables = import_merge.merged(before, read.tables() if read else None, doomed, report)
    say(f"writing {tables.catalogue.num_rows:,} products")
    staging.sweep(shop)
    numbers, ids = staging.numbers_for(shop, tables.catalogue["product_id"].to_pylist())
    numbered = tables.catalogue.set_column(0, "product_no", pa.array(numbers, pa.uint32())).sort_by("product_no")
    staging.stage(shop, ids, numbered.select(CATALOGUE_SCHEMA.names), tables.categories)
    if mapping is not None:
        _write_info(shop, mapping, change.language)
        if change.mapping is not None:
            import_mapping.remember(mapping, shop.root / MAPPING)


def _mapping(shop: Shop, change: Change) -> Mapping:
    """The mapping file, or the last one that the shop was given, or that of a Google Merchant feed."""
    assert change.catalogue is not None
    if change.mapping is not None:
        return import_mapping.load(change.mapping)
    if (shop.root / MAPPING).is_file():
        return import_mapping.recall(shop.root / MAPPING)
    if (known := import_guess.google(change.catalogue)) is not None:
        return known
    raise ConfigurationError(
        f"{change.catalogue.name} is not a Google Merchant feed, so it needs a mapping (--mapping FILE); "
        f"`aisle import --catalog {change.catalogue.name} --guess` proposes one"
    )


class _Reading:
    """The accepted products so far, as Arrow batches: a million of them as Python objects would not fit."""

    def __init__(self) -> None:
        self.seen: set[str] = set()
        self.lines: dict[str, int] = {}
        self.counts: Counter[str] = Counter()
        self.paths: set[tuple[str, ...]] = set()
        self._batches: list[pa.RecordBatch] = []
        self._rows: list[Imported] = []

    def add(self, item: Imported, line: int) -> None:
        self.lines[item.product_id] = line
        self.counts.update([name for name in _COVERED if getattr(item, name)])
        self.counts.update([f"attributes.{name}" for name in item.attributes])
        if item.category:
            self.paths.add(item.category)
        self._rows.append(item)
        if len(self._rows) >= BATCH_ROWS:
            self._flush()

    def tables(self) -> Tables:
        self._flush()
        return Tables(pa.Table.from_batches(self._batches, schema=CATALOGUE_SCHEMA), _categories(self.paths))

    def _flush(self) -> None:
        rows = self._rows
        plain = {name: [getattr(row, name) for row in rows] for name in CATALOGUE_SCHEMA.names if name in Imported.__slots__}
        columns = {
            **plain,
            "product_no": [0] * len(rows),
            "category_id": [category_id(row.category) if row.category else -1 for row in rows],
            "attributes": [list(row.attributes.items()) for row in rows],
        }
        self._batches.append(pa.RecordBatch.from_pydict({name: columns[name] for name in CATALOGUE_SCHEMA.names}, schema=CATALOGUE_SCHEMA))
        self._rows = []


def _read(catalogue: Path, mapping: Mapping, report: Report, *, strict: bool, say: Say) -> _Reading:
    reading, profile = _Reading(), Profile()
    progress = Progress(say, "products read")
    for line, row in reader_for(catalogue)(catalogue):
        report.rows += 1
        try:
            imported = _accepted(row, mapping, reading.lines)
        except Rejection as rejection:
            report.rejections.append(RejectedRow(line, rejection.field, rejection.reason))
            if strict:
                break
        else:
            assert not isinstance(row, str)
            reading.add(imported, line)
            profile.add(row)
            reading.seen.update(row)
        progress.at(report.rows)
    progress.done(report.rows)
    _account(report, reading, profile)
    if strict and report.rejections:
        first = report.rejections[0]
        raise ConfigurationError(f"{catalogue.name} line {first.line}: {first.field} {first.reason} (strict: nothing was imported)")
    if not reading.lines:
        raise ConfigurationError(f"{catalogue.name}: none of {report.rows} rows could be imported{_first(report)}")
    return reading


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


def _account(report: Report, reading: _Reading, profile: Profile) -> None:
    report.accepted, report.rejected = len(reading.lines), len(report.rejections)
    report.coverage = {name: round(count / len(reading.lines), 4) for name, count in reading.counts.most_common()}
    report.fields = profile.report()


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


def _categories(paths: Iterable[tuple[str, ...]]) -> pa.Table:
    prefixes = {path[:depth] for path in set(paths) for depth in range(1, len(path) + 1)}
    ids = {path: category_id(path) for path in sorted(prefixes)}
    if len(set(ids.values())) < len(ids):
        raise ConfigurationError("two category paths have the same number; rename one of them slightly")
    rows = [{"category_id": number, "name": path[-1], "parent_id": ids.get(path[:-1], -1)} for path, number in ids.items()]
    return pa.Table.from_pylist(rows, schema=CATEGORIES_SCHEMA)


def _write_info(shop: Shop, mapping: Mapping, language: str | None) -> None:
    """What is not said stays as it was."""
    before = shop.info() if shop.info_file.is_file() else ShopInfo(name=shop.name, created_ms=int(time.time() * 1000))
    shop.write_info(
        ShopInfo(
            name=shop.name,
            language=language or before.language,
            currency=mapping.currency,
            created_ms=before.created_ms,
            searchable_attributes=mapping.attributes.searchable,
        )
    )
