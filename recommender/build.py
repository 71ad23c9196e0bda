"""`python -m recommender.build SHOP_ROOT GENERATION`: the recommender's part of a generation, in `generations/N/recommender/`.

What comes from the log uses only records up to the end of the log when the build starts (the watermark in `part.json`); without a log
there are no synonyms, and the category model learns from titles alone.
"""

import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import numpy.typing as npt

from recommender import compounds, history, properties, rewrite, spelling
from recommender.categories import (
    BASELINE,
    CALIBRATE_SHARE,
    TRAIN_SHARE,
    CategoryModel,
    Examples,
    NaiveBayes,
    choose,
    clicked_queries,
    fit_temperature,
    hits,
    measure,
)
from recommender.fasttext_model import KIND, FastText
from recommender.history import Search
from recommender.understanding import COMPOUNDS, FOLDER, PART, SPELLING, SYNONYMS, CategoryFacts, Part
from services.catalogue import Catalogue, searched_text
from services.errors import ConfigurationError
from services.eventlog.port import PARTITION, EventLogReader
from services.eventlog.sqlite import SqliteReader
from services.shop import Shop, ShopInfo
from services.text import index_terms, words

MAX_CLICKS = 200_000
"""The newest so many clicks teach categories."""
MAX_MEASURED = 5_000
"""Held-out examples, evenly spaced, that calibrate and that measure: more say no more, and a million titles would need gigabytes for it."""
MIN_MEASURED = 200
"""Fewer clicks in the measured part than this say too little: then titles are held out instead."""
TITLES_ONLY = f"{BASELINE}_titles"


def build(shop: Shop, generation: int, log: EventLogReader, report: Callable[[str], None] = lambda line: None) -> Part:
    """Write the part; leftovers of an interrupted build are removed. `report` gets a line before each step that may take long."""
    started = time.monotonic()
    watermark, info = log.end(), shop.info()
    folder = shop.generations / str(generation)
    catalogue = Catalogue(folder)
    own = folder / FOLDER
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir()
    report("recommender: reading the log")
    searches = history.searches(history.records(log, watermark))
    report(f"recommender: spelling dictionary of {len(catalogue):,} products and {len(searches):,} logged searches")
    catalogue_words = spelling.catalogue_words(catalogue.products(), catalogue.categories, info.searchable_attributes)
    vocabulary = spelling.build_vocabulary(catalogue_words, spelling.query_words((s.text, s.visitor) for s in searches if s.clicked))
    (own / SPELLING).write_bytes(vocabulary.dumps())
    written = compounds.build(catalogue.products(), catalogue.categories, vocabulary.counts, info.language)
    (own / COMPOUNDS).write_bytes(msgspec.json.encode(written))
    clicked = {product for search in searches for product in search.clicked}
    report("recommender: mining synonyms")
    synonyms = rewrite.mine(history.visits(searches), info.language, _said(catalogue, info, clicked))
    (own / SYNONYMS).write_bytes(msgspec.json.encode(synonyms))
    report("recommender: fitting and measuring the category model")
    properties.save(properties.build(catalogue), own)
    part = Part(
        language=info.language,
        watermark={PARTITION: watermark},
        categories=_categories(catalogue, searches, info.language, own),
        words=len(vocabulary.counts),
        synonyms=len(synonyms),
        searches=len(searches),
        seconds=round(time.monotonic() - started, 1),
    )
    (own / PART).write_bytes(msgspec.json.format(msgspec.json.encode(part), indent=2))
    return part


def _categories(catalogue: Catalogue, searches: list[Search], language: str, own: Path) -> CategoryFacts | None:
    """Train, measure against the baselines, calibrate and save what ships."""
    category_of = _category_of(catalogue)
    leaves = np.unique(category_of[category_of >= 0])
    if not len(leaves):
        return None
    titles = _titles(catalogue)
    measured_on = "the last 20 % of logged clicks by time"
    clicks = clicked_queries(((s.text, s.visitor, s.clicked) for s in searches), category_of, MAX_CLICKS)
    train, held_out = clicks.part(0, TRAIN_SHARE), clicks.part(TRAIN_SHARE, TRAIN_SHARE + CALIBRATE_SHARE)
    test = clicks.part(TRAIN_SHARE + CALIBRATE_SHARE, 1)
    if len(test) < MIN_MEASURED:
        measured_on = f"two words of held-out titles, because the log has only {len(clicks)} clicks"
        train, held_out, test, titles = clicks.part(0, 0), _short_titles(titles, 3), _short_titles(titles, 8), _without(titles, (3, 8))
    held_out, test = _at_most(held_out, MAX_MEASURED), _at_most(test, MAX_MEASURED)
    everything = titles + train
    models: dict[str, CategoryModel] = {KIND: FastText.train(everything)}
    shipped, results = KIND, {}
    if len(test):
        models |= {BASELINE: NaiveBayes.train(everything, language), TITLES_ONLY: NaiveBayes.train(titles, language)}
        hit = {kind: hits(model, test) for kind, model in models.items()}
        results = {kind: measure(h, test.groups) for kind, h in hit.items()}
        shipped = choose(hit, test.groups, KIND)
    models[shipped].save(own)
    return CategoryFacts(
        kind=shipped,
        temperature=fit_temperature(models[shipped], held_out),
        names={int(c): catalogue.categories.name(int(c)) for c in leaves},
        reason=f"top-1 on {measured_on}: {'no baseline is' if shipped == KIND else 'it is'} better beyond chance"
        if results
        else "not measured: too few products",
        measured=results,
        examples={"titles": len(titles), "train": len(train), "calibrate": len(held_out), "test": len(test)},
    )


def _said(catalogue: Catalogue, info: ShopInfo, numbers: set[int]) -> rewrite.Said:
    """The terms that products say beside their descriptions; none of a product that is gone."""
    terms: dict[int, frozenset[str]] = {}
    for product in catalogue.products():
        if product.product_no in numbers:
            parts = searched_text(product, catalogue.categories, info.searchable_attributes)
            text = " ".join(part for name, part in parts.items() if name != "description")
            terms[product.product_no] = frozenset(index_terms(text, info.language))
    return lambda number: terms.get(number, frozenset())


def _category_of(catalogue: Catalogue) -> npt.NDArray[np.int32]:
    """int32[largest product_no + 1]: leaf category, -1 for none."""
    numbers = catalogue.table["product_no"].to_numpy()
    category_of = np.full(int(numbers.max()) + 1 if len(numbers) else 0, -1, np.int32)
    category_of[numbers] = catalogue.table["category_id"].to_numpy()
    return category_of


def _titles(catalogue: Catalogue) -> Examples:
    texts, categories = catalogue.table["title"].to_pylist(), catalogue.table["category_id"].to_numpy().astype(np.int64)
    kept = np.flatnonzero(categories >= 0)
    return Examples([texts[i] for i in kept], categories[kept], [f"title{i}" for i in kept])


def _short_titles(titles: Examples, digit: int) -> Examples:
    """Two words of every title whose number ends in this digit: without logged queries the nearest thing to one."""
    rng = np.random.default_rng(digit)
    kept = titles.where(np.arange(len(titles)) % 10 == digit)
    texts = [" ".join(rng.permutation(title)[:2]) if (title := words(text)) else "" for text in kept.texts]
    return Examples(texts, kept.categories, kept.groups)


def _at_most(examples: Examples, most: int) -> Examples:
    step = -(-len(examples) // most) or 1
    return examples.where(np.arange(len(examples)) % step == 0)


def _without(titles: Examples, digits: tuple[int, ...]) -> Examples:
    return titles.where(~np.isin(np.arange(len(titles)) % 10, digits))


def summary(part: Part) -> str:
    """What was built, for the person who started it."""
    lines = [
        f"recommender: {part.words:,} words, {part.synonyms:,} terms with synonyms, {part.searches:,} logged searches, {part.seconds:.1f} s"
    ]
    if part.categories is None:
        return f"{lines[0]}\nrecommender: categories off: the catalogue has no categories"
    for kind, m in part.categories.measured.items():
        lines.append(f"recommender: category top-1 {kind:18} {m.top1:.3f} [{m.low:.3f}, {m.high:.3f}]")
    lines.append(f"recommender: {part.categories.kind} ships ({part.categories.reason}), temperature {part.categories.temperature:.2f}")
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    if len(arguments) != 2 or not arguments[1].isdigit():
        print("usage: python -m recommender.build SHOP_ROOT GENERATION", file=sys.stderr)
        return 2
    shop, generation = Shop(Path(arguments[0])), int(arguments[1])
    if not (shop.generations / str(generation) / "catalogue.parquet").is_file():
        print(f"recommender.build: generation {generation} of {shop.root} has no catalogue.parquet; run `aisle build`", file=sys.stderr)
        return 2
    log = SqliteReader(shop.log_file)
    try:
        print(summary(build(shop, generation, log, lambda line: print(line, flush=True))))
    except ConfigurationError as error:
        print(f"recommender.build: {error}", file=sys.stderr)
        return 2
    finally:
        log.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
