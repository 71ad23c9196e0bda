"""Proposes a mapping for a feed from its names and its data, and says why. A person reads it, changes it, and imports with it."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from datagen import import_google
from datagen.import_mapping import Mapping as Proposal
from datagen.import_readers import reader_for
from datagen.import_types import FieldStatistics, Profile
from datagen.import_values import amount_of
from services.errors import ConfigurationError

SAMPLE_ROWS = 5_000
MIN_ATTRIBUTE_COVERAGE = 0.01
MIN_CATEGORY_COVERAGE = 0.3
MAX_ATTRIBUTE_CHARS = 60
MIN_FAMILY = 3
"""Fields that share a prefix before they are proposed as a family."""

NAMES: dict[str, tuple[str, ...]] = {
    "product_id": ("product_id", "id", "sku", "item_id", "article", "artikelnummer", "reference", "asin", "code", "uid"),
    "title": ("title", "product_title", "product_name", "name", "titel", "bezeichnung", "titre", "nom"),
    "brand": ("brand", "manufacturer", "maker", "vendor", "supplier", "marke", "hersteller", "marque"),
    "description": (
        "description",
        "long_description",
        "short_description",
        "product_description",
        "body",
        "beschreibung",
        "details",
        "text",
        "long",
        "short",
    ),
    "price": ("price", "price_cents", "current_price", "list_price", "preis", "prix", "amount"),
    "image_link": ("image_link", "image", "image_url", "img", "picture", "thumbnail", "img_500x500", "bild"),
    "created": (
        "created",
        "created_at",
        "date_released",
        "release_date",
        "published",
        "date_added",
        "released",
        "availability_date",
        "date",
    ),
    "category": (
        "category",
        "category_path",
        "product_type",
        "categories",
        "google_product_category",
        "breadcrumb",
        "kategorie",
        "categorie",
    ),
}
"""What fields are called, likeliest first."""
SEARCHED = {"color", "colour", "size", "material", "mpn", "model", "model_number", "gender", "style", "pattern", "ean", "gtin"}
ALIASES = {"colour": "color", "product_colour": "color", "product_color": "color", "farbe": "color", "couleur": "color", "groesse": "size"}
SEPARATORS = (" > ", ">", " / ", "/", "|", "::")


@dataclass(frozen=True, slots=True)
class Guess:
    """A field of ours, the feed's field for it, and why."""

    target: str
    source: str
    reason: str


def profile_of(path: Path, rows: int = SAMPLE_ROWS) -> Profile:
    """Of the first rows that can be read. Raises ConfigurationError when none can."""
    profile, first = Profile(), ""
    for line, row in islice(reader_for(path)(path), rows):
        if isinstance(row, str):
            first = first or f"line {line}: {row}"
        else:
            profile.add(row)
    if not profile.rows:
        raise ConfigurationError(f"{path.name} has no row that can be read{f' ({first})' if first else ''}")
    return profile


def google(path: Path) -> Proposal | None:
    """The mapping of a Google Merchant feed, when this is one: then nothing has to be guessed."""
    names: dict[str, None] = {}
    prices = []
    for _, row in islice(reader_for(path)(path), SAMPLE_ROWS):
        if not isinstance(row, str):
            names.update(dict.fromkeys(row))
            prices += [value for name, value in row.items() if import_google.field_name(name) == "price"]
    if not import_google.is_feed(names):
        return None
    proposal = import_google.mapping(names)
    currency = import_google.currency(prices)
    return Proposal(fields=proposal.fields, attributes=proposal.attributes, currency=currency) if currency else proposal


def guess(profile: Profile) -> list[Guess]:
    """One feed field for each of ours that one fits, by name first, then by what the data looks like."""
    taken: set[str] = set()
    found = []
    for target, fits in FITS.items():
        ranked = sorted(
            ((score, name, reason) for name, field in profile.fields.items() if name not in taken and (score := _by_name(target, name)) > 0
             and (reason := fits(field, profile.rows))),
            key=lambda s: (-s[0], s[1]),
        )  # fmt: skip
        if ranked:
            _, source, reason = ranked[0]
            taken.add(source)
            found.append(Guess(target, source, reason))
    for target, by_data in BY_DATA.items():
        if all(g.target != target for g in found) and (likeliest := by_data(profile, taken)) is not None:
            taken.add(likeliest)
            found.append(Guess(target, likeliest, "no field has a usual name; this one looks most like it: read it"))
    return found


def toml(profile: Profile, guesses: list[Guess], name: str) -> Iterator[str]:
    """The proposal as a mapping file, with its reasons as comments. Raises ConfigurationError without id or title: a person must say."""
    by_target = {g.target: g for g in guesses}
    if missing := [t for t in ("product_id", "title") if t not in by_target]:
        raise ConfigurationError(
            f"no field of {name} looks like {' or '.join(missing)}; its fields are {', '.join(list(profile.fields)[:30])}. "
            "Write the mapping by hand: examples/electronics.toml"
        )
    yield f"# Proposed by `aisle import --guess` from {profile.rows:,} rows of {name}. Read it, change it, then import with it."
    yield ""
    unit, why = _price_unit(profile, by_target.get("price"))
    currency = _currency(profile, by_target.get("price"))
    yield f'currency = "{currency or "USD"}"{"" if currency else "  # no price names one: CHECK THIS"}'
    yield f'price_unit = "{unit}"  # {why}'
    if "category" in by_target:
        yield f"category_separator = {_quoted(_separator(profile.fields[by_target['category'].source]))}"
    yield from ("", "[fields]")
    for g in guesses:
        value = f"[{_quoted(g.source)}]" if g.target == "description" else _quoted(g.source)
        yield f"{g.target} = {value}  # {g.reason}"
    yield from _attributes(profile, {g.source for g in guesses})


def _attributes(profile: Profile, taken: set[str]) -> Iterator[str]:
    fields = {n: f for n, f in profile.fields.items() if n not in taken and f.count >= MIN_ATTRIBUTE_COVERAGE * profile.rows}
    families = _families(profile, taken)
    single = {
        n: f
        for n, f in fields.items()
        if not any(n.startswith(p) for p in families)
        and f.mean_characters <= MAX_ATTRIBUTE_CHARS
        and not _is_link(f)
        and "object" not in f.types
    }
    ours = {n: ALIASES.get(_plain(n), _plain(n)) for n in single}
    if "mpn" not in ours.values() and (model := _model_number(single)):
        ours[model] = "mpn"
    inside = {n[len(p) :].strip("_") for p in families for n in profile.fields if n.startswith(p)}
    searched = sorted({*ours.values(), *(ALIASES.get(n, n) for n in inside)} & SEARCHED)
    yield from (
        "",
        "[attributes]",
        f"searchable = [{', '.join(map(_quoted, searched))}]  # the values that people type; the others are filters",
    )
    if single:
        yield from ("", "[attributes.names]")
        for n, field in single.items():
            yield f"{_quoted(n)} = {_quoted(ours[n])}  # {field.count / profile.rows:.0%} of rows, {field.distinct:,} values: {_examples(field)}"
    if families:
        yield from ("", "[attributes.prefixes]")
        for prefix, (kind, members) in families.items():
            yield f"{_quoted(prefix)} = {_quoted(kind)}  # {members} fields"
    if aliases := sorted(n for n in inside if n in ALIASES):
        yield from ("", "[attributes.aliases]", *(f"{_quoted(n)} = {_quoted(ALIASES[n])}" for n in aliases))


def _model_number(fields: Mapping[str, FieldStatistics]) -> str | None:
    """A field with nearly as many short texts with digits as rows: what manufacturers number their products with."""
    for name, field in fields.items():
        numbered = sum(any(c.isdigit() for c in e) and any(c.isalpha() for c in e) for e in field.examples)
        if (
            "list" not in field.types
            and field.distinct > 0.8 * field.count
            and field.mean_characters <= 30
            and 2 * numbered > len(field.examples)
        ):
            return name
    return None


def _families(profile: Profile, taken: set[str]) -> dict[str, tuple[str, int]]:
    """Prefixes up to the last underscore of the first part(s) that many fields share, all of one kind."""
    members: dict[str, list[FieldStatistics]] = {}
    for name, field in profile.fields.items():
        if name not in taken and (found := re.match(r"[a-z]+_(?:[a-z]_)?", name)) and (found.group() != name):
            members.setdefault(found.group(), []).append(field)
    families = {}
    for prefix, fields in members.items():
        kinds = {max(f.types, key=f.types.__getitem__) for f in fields}
        if len(fields) >= MIN_FAMILY and 2 * sum(map(_is_link, fields)) < len(fields) and kinds <= {"text", "number", "yes_no", "list"}:
            kind = kinds.pop() if len(kinds) == 1 else "text"
            whole = all(set(f.types) == {kind} for f in fields)
            families[prefix] = (kind if whole else "text", len(fields))
    return families


# ---- does a field look like it? Each says why, or "" --------------------------------------------------------------------------------


def _looks_like_id(field: FieldStatistics, rows: int) -> str:
    unique = field.count == rows and field.distinct >= min(rows, 10_000)
    return f"unique in all {rows:,} rows: {_examples(field)}" if unique and field.longest <= 128 else ""


def _looks_like_title(field: FieldStatistics, rows: int) -> str:
    fits = field.count >= 0.9 * rows and field.types.get("text", 0) > 0.5 * field.count and field.longest <= 1_000
    return f"text in {field.count / rows:.0%} of rows, {field.mean_characters:.0f} characters: {_examples(field, 1)}" if fits else ""


def _looks_like_brand(field: FieldStatistics, rows: int) -> str:
    fits = field.types.get("text", 0) > 0.5 * field.count and field.mean_characters <= 40 and field.distinct < max(0.8 * rows, 10)
    return f"{field.distinct:,} values in {field.count / rows:.0%} of rows: {_examples(field)}" if fits else ""


def _looks_like_description(field: FieldStatistics, rows: int) -> str:
    fits = field.types.get("text", 0) > 0.5 * field.count and not _is_link(field)
    return f"text in {field.count / rows:.0%} of rows, {field.mean_characters:.0f} characters" if fits else ""


def _looks_like_price(field: FieldStatistics, rows: int) -> str:
    fits = field.count >= 0.5 * rows and all(amount_of(example) is not None for example in field.examples)
    return f"amounts in {field.count / rows:.0%} of rows: {_examples(field)}" if fits else ""


def _looks_like_link(field: FieldStatistics, rows: int) -> str:
    return f"addresses in {field.count / rows:.0%} of rows" if _is_link(field) else ""


def _looks_like_date(field: FieldStatistics, rows: int) -> str:
    fits = all(re.match(r"\d{4}-\d\d-\d\d|\d{9,13}$", example) for example in field.examples)
    return f"dates in {field.count / rows:.0%} of rows: {_examples(field, 1)}" if fits else ""


def _looks_like_category(field: FieldStatistics, rows: int) -> str:
    words = field.types.get("text", 0) + field.types.get("list", 0)
    fits = words > 0.5 * field.count and 1 < field.distinct < max(0.5 * rows, 10) and field.count >= MIN_CATEGORY_COVERAGE * rows
    return f"{field.distinct:,} values in {field.count / rows:.0%} of rows: {_examples(field, 1)}" if fits else ""


FITS: Mapping[str, Callable[[FieldStatistics, int], str]] = {
    "product_id": _looks_like_id,
    "title": _looks_like_title,
    "brand": _looks_like_brand,
    "description": _looks_like_description,
    "price": _looks_like_price,
    "image_link": _looks_like_link,
    "created": _looks_like_date,
    "category": _looks_like_category,
}


def _first_id(profile: Profile, taken: set[str]) -> str | None:
    return next((n for n, f in profile.fields.items() if n not in taken and _looks_like_id(f, profile.rows)), None)


def _longest_title(profile: Profile, taken: set[str]) -> str | None:
    fits = [
        n for n, f in profile.fields.items() if n not in taken and _looks_like_title(f, profile.rows) and not _is_link(f) and f.distinct > 1
    ]
    return max((n for n in fits if profile.fields[n].longest <= 300), key=lambda n: profile.fields[n].mean_characters, default=None)


BY_DATA: Mapping[str, Callable[[Profile, set[str]], str | None]] = {"product_id": _first_id, "title": _longest_title}


def _by_name(target: str, name: str) -> float:
    """The earlier in the list the better; a name that only contains a usual one is worth less."""
    plain, usual = _plain(name), NAMES[target]
    if plain in usual:
        return 100.0 - usual.index(plain)
    parts = plain.split("_")
    return max((10.0 - usual.index(u) / 10 - len(parts) for u in usual if u in parts and len(u) > 2), default=0.0)


def _price_unit(profile: Profile, price: Guess | None) -> tuple[str, str]:
    if price is None:
        return "units", "no price was found"
    field = profile.fields[price.source]
    whole = field.types.get("number", 0) == field.count and not any("." in example for example in field.examples)
    if price.source.endswith("cents") or (whole and all(float(e) >= 100 for e in field.examples)):
        return "cents", f"whole numbers such as {_examples(field)}: CHECK THIS"
    return "units", f"such as {_examples(field)}"


def _currency(profile: Profile, price: Guess | None) -> str | None:
    return import_google.currency(profile.fields[price.source].examples) if price else None


def _separator(field: FieldStatistics) -> str:
    return next((s.strip() for s in SEPARATORS if any(s in example for example in field.examples)), ">")


def _is_link(field: FieldStatistics) -> bool:
    return bool(field.examples) and all(re.match(r"https?://|\['https?://|//", example) for example in field.examples)


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", name.strip().lower()).strip("_")


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _examples(field: FieldStatistics, most: int = 3) -> str:
    return ", ".join(repr(" ".join(example.split())[:40]) for example in field.examples[:most])
