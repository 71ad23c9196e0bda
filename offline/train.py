"""`python -m offline.train SHOP_ROOT`: a release from the shop's log, judged by its gate on the newest 15 % of the pages, then served.

It reads the log and the current generation, nothing else. Where the network does not pass, a baseline is shipped, or what is served stays;
the output and the manifest say which and why.
"""

import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from offline import gate
from offline.dataset import Dataset, dataset
from offline.evaluate import item_rows, scores
from offline.gate import Comparison, Decision, Judged
from offline.locks import exclusive
from offline.progress import Clock, Say, run, say
from offline.records import Array, Log, read_log
from offline.releases import code_version, copied, ship
from services.artifacts import Versions
from services.errors import ConfigurationError
from services.eventlog.sqlite import SqliteReader
from services.features import BM25, FEATURE_SCHEMA, FEATURES, POPULARITY_SCORE, Binding
from services.forward import ForwardIndex
from services.forward import load as load_index
from services.models.onnx import OnnxModel, load
from services.models.port import ASSETS, Model, ReleaseFacts
from services.shop import Shop

SEED = 20_250
MIN_CLICKED = (200, 100, 50)
"""Clicked pages that each part needs; a log with fewer gives a bm25 release, unless a network is served: it learned from more."""
UNFINISHED = ".training-"
SCORE_FEATURES = {"bm25": FEATURES[BM25], "popularity": FEATURES[POPULARITY_SCORE]}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What training ended with: the release made now (None: the served one stays), its facts, what was compared."""

    release: int | None
    facts: ReleaseFacts
    comparisons: list[Comparison]


def train(shop: Shop, report: Say = say, seed: int = SEED) -> Outcome:
    """Raises ConfigurationError for a shop without a generation, or when what was exported does not agree with itself."""
    shop.info()
    clock, generation, index = Clock(), *_generation(shop)
    with exclusive(shop.releases):
        _sweep(shop)
        data = dataset(_log(shop))
        facts = _facts(data, generation, seed)
        report(f"log: {facts.pages:,} pages, {facts.behaviours:,} behaviours, {facts.users:,} users, {clock.seconds:.1f} s")
        if data.log.pages.dropped:
            report(f"log: {data.log.pages.dropped:,} pages left out, which were sorted, not ranked, or ranked with other features")
        few = [len(data.clicked(data.pages(part))) for part in range(3)]
        if any(has < needs for has, needs in zip(few, MIN_CLICKED, strict=True)):
            parts = ("to learn preferences", "to learn ranking", "to judge")
            lacks = (f"{what} {has:,} (needed {needs})" for what, has, needs in zip(parts, few, MIN_CLICKED, strict=True) if has < needs)
            reason = f"too few pages with a click to learn from: {', '.join(lacks)} of the log's {facts.pages:,} pages, oldest to newest"
            decision = Decision(None, f"{reason}; the served network stays") if _served(shop) is not None else Decision("bm25", reason)
            return _ship_baseline(shop, facts, decision, [], clock, report)
        return _train(shop, data, index, facts, clock, report)


def _sweep(shop: Shop) -> None:
    """What a killed training left."""
    for folder in shop.releases.glob(f"{UNFINISHED}*"):
        shutil.rmtree(folder)


def _train(shop: Shop, data: Dataset, index: ForwardIndex, facts: ReleaseFacts, clock: Clock, report: Say) -> Outcome:
    report("loading TensorFlow")
    from offline import fit  # only when it is needed: it takes seconds

    fitted = fit.fit(data, index, facts.seed, report)
    facts = msgspec.structs.replace(facts, vocabulary=len(fitted.vocabulary))
    with tempfile.TemporaryDirectory(prefix=UNFINISHED, dir=shop.releases) as temporary:
        folder = Path(temporary)
        difference = fit.write(fitted, folder, facts)
        report(f"exported: SavedModel and ONNX agree to {difference:.1e}, {clock.seconds:.1f} s so far")
        comparisons, decision = _judge(shop, data, index, OnnxModel(folder / ASSETS, 0, facts), report)
        if decision.ship != "network":
            return _ship_baseline(shop, facts, decision, comparisons, clock, report)
        facts = _finished(facts, decision, comparisons, clock)
        number = ship(shop, facts, copied(folder))
    report(f"release {number} is current: strategy network, {decision.reason}; {facts.seconds:.0f} s in all")
    return Outcome(number, facts, comparisons)


def _ship_baseline(
    shop: Shop, facts: ReleaseFacts, decision: Decision, comparisons: list[Comparison], clock: Clock, report: Say
) -> Outcome:
    facts = _finished(facts, decision, comparisons, clock)
    if decision.ship is None:
        report(f"NOTHING WAS SHIPPED: {decision.reason}")
        return Outcome(None, facts, comparisons)
    facts = msgspec.structs.replace(facts, score_feature=SCORE_FEATURES[decision.ship], vocabulary=1)
    number = ship(shop, facts)
    report(f"THE NETWORK WAS NOT SHIPPED: release {number} is current with strategy {decision.ship}, because {decision.reason}")
    return Outcome(number, facts, comparisons)


def _finished(facts: ReleaseFacts, decision: Decision, comparisons: list[Comparison], clock: Clock) -> ReleaseFacts:
    metrics = {f"{c.metric} vs {c.other}": msgspec.to_builtins(c) for c in comparisons}
    return msgspec.structs.replace(
        facts, strategy=decision.ship or facts.strategy, reason=decision.reason, metrics=metrics, seconds=round(clock.seconds, 1)
    )


# ---- what is read ------------------------------------------------------------------------------------------------------------------


def _generation(shop: Shop) -> tuple[int, ForwardIndex]:
    current = Versions(shop.generations).current()
    if current is None:
        raise ConfigurationError(f"shop {shop.name!r} has no generation: run `aisle build` first")
    return current, load_index(Versions(shop.generations).folder(current) / "ranker")


def _log(shop: Shop) -> Log:
    reader = SqliteReader(shop.log_file)
    try:
        return read_log(reader, FEATURE_SCHEMA, len(FEATURES))
    finally:
        reader.close()


def _facts(data: Dataset, generation: int, seed: int) -> ReleaseFacts:
    times = np.concatenate([data.log.pages.ts_ms, data.log.behaviours.ts_ms])
    return ReleaseFacts(
        strategy="network",
        features=list(FEATURES),
        feature_schema=FEATURE_SCHEMA,
        code_version=code_version(),
        reason="",
        generation=generation,
        first_ms=int(times.min()) if len(times) else None,
        last_ms=int(times.max()) if len(times) else None,
        watermark={"0": data.log.watermark},
        pages=len(data.log.pages),
        behaviours=len(data.log.behaviours),
        users=data.log.users,
        seed=seed,
    )


# ---- the gate ----------------------------------------------------------------------------------------------------------------------


def _judge(shop: Shop, data: Dataset, index: ForwardIndex, model: Model, report: Say) -> tuple[list[Comparison], Decision]:
    """Compare on the clicked pages of the hold-out, corrected by examination as randomised pages before the hold-out show it."""
    log, pages = data.log.pages, data.clicked(data.pages(2))
    rows, indptr = item_rows(data, pages)
    examination = data.examination()
    held = Judged(indptr, data.gain[rows], examination[log.position[rows]], log.user[pages])
    random = log.randomised[pages]
    corrected = "corrected for position" if np.any(examination < 1) else "NOT corrected for position (too few randomised pages)"
    report(f"hold-out: {len(data.pages(2)):,} pages, {len(pages):,} with clicks, {random.sum():,} of them randomised; gains {corrected}")
    binding = Binding(index, model.vocabulary, model.property_vectors)
    ours, nobody = scores(model, binding, data, pages), scores(model, binding, data, pages, known=False)
    bm25, popular = log.features[rows, BM25], log.features[rows, POPULARITY_SCORE]
    clicks = gate.compare("click AUC", "popularity", held.auc(ours), held.auc(popular), held)
    ranking = gate.compare("nDCG@10", "bm25", held.ndcg(ours), held.ndcg(bm25), held)
    randomised = gate.compare("nDCG@10, randomised pages,", "bm25", np.where(random, held.ndcg(ours), np.nan), held.ndcg(bm25), held)
    popularity = gate.compare("nDCG@10", "popularity", held.ndcg(ours), held.ndcg(popular), held)
    personal = gate.compare("nDCG@10", "itself without a user", held.ndcg(ours), held.ndcg(nobody), held)
    served, served_wins = _against_served(shop, data, index, held, ours, pages)
    comparisons = [clicks, ranking, randomised, popularity, personal, *([served] if served else [])]
    for line in gate.table(comparisons):
        report(line)
    return comparisons, gate.decide(clicks, ranking, popularity.baseline, served, served_wins)


def _served(shop: Shop) -> Model | None:
    """The network that is served now, when there is one that this code can serve."""
    versions = Versions(shop.releases)
    current = versions.current()
    if current is None or current not in versions.complete():
        return None
    try:
        model = load(versions.folder(current), versions.manifest(current))
    except ConfigurationError:  # damaged, or of another code: training is how to get rid of it
        return None
    return model if model.strategy == "network" and model.facts.feature_schema == FEATURE_SCHEMA else None


def _against_served(
    shop: Shop, data: Dataset, index: ForwardIndex, held: Judged, ours: Array, pages: Array
) -> tuple[Comparison | None, bool]:
    """nDCG@10 against the network that is served now, by its own model; and whether that one is above BM25 on this hold-out."""
    if (model := _served(shop)) is None:
        return None, False
    theirs = held.ndcg(scores(model, Binding(index, model.vocabulary, model.property_vectors), data, pages))
    rows, _ = item_rows(data, pages)
    above = gate.compare("nDCG@10", "bm25", theirs, held.ndcg(data.log.pages.features[rows, BM25]), held)
    return gate.compare("nDCG@10", f"release {model.version}", held.ndcg(ours), theirs, held), above.low > 0


def _quiet(environment: "os._Environ[str]") -> None:
    """TensorFlow reads these when it is imported; it is chatty otherwise."""
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    environment.setdefault("CUDA_VISIBLE_DEVICES", "-1")


if __name__ == "__main__":
    _quiet(os.environ)
    sys.exit(run("python -m offline.train SHOP_ROOT", train))
