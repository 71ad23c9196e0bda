"""Where the time goes, module by module, beside the report's figures. Pure.

From the waterfalls of answers (services/waterfall.py). The report: AIBench, BenchCouncil, arXiv 1908.08998; its load: 16 nodes, 100,000 products
of 32 fields, 1,000 users.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from loadgen.hdr import Distribution
from loadgen.seen import Seen
from loadgen.stats import Times, is_ai, times
from services.waterfall import OTHER, Interval, Waterfall, critical_path

PAPER_HARDWARE = "16 nodes, 100,000 products of 32 fields, 1,000 users; AIBench report, arXiv 1908.08998"
WHOLE = "whole search"
PAPER: dict[str, tuple[float | None, float | None, float | None]] = {
    WHOLE: (161.0, 392.0, 956.0),
    "recommender": (75.7, 209.4, 557.7),
}
"""Mean, p90, p99 in ms."""
PAPER_SAYS = {"searcher": "under 4", "ranker": "under 4", "inference": "30.8 (184 MB model), 125.7 (253 MB)"}

HOPS = {"analyse": "recommender", "preferences": "recommender", "retrieve": "searcher", "rank": "ranker"}
INSIDE = "recommender: "


class WhereRow(Struct, frozen=True, kw_only=True):
    """Mean, p90, p99 (ms) of one part, over the searches in which it ran; its share of the critical path of all."""

    part: str
    times: Times
    critical_share: float
    paper: str = ""


class TierHits(Struct, frozen=True):
    """How often a tier was searched, how often it gave a candidate, and how many items of pages came from it; shares."""

    tier: str
    searched: float
    gave: float
    shown: float


OUTSIDE = "client to planner and back"
"""What the client saw beyond what the planner measured: its network, its sockets, its own reading of the answer."""


class WhereTable:
    """Collects the waterfalls of answers."""

    def __init__(self) -> None:
        self._parts: defaultdict[str, Distribution] = defaultdict(Distribution)
        self._critical: defaultdict[str, float] = defaultdict(float)
        self._whole_ms = 0.0

    def add(self, waterfall: Waterfall, service_ms: float) -> None:
        """The waterfall of an answer and how long its client waited for it."""
        path = critical_path(waterfall)
        self._whole_ms += waterfall.total_ms
        for stage, ms in path.items():
            for part in _names(stage):
                self._critical[part] += ms
        for part, ms in _parts(waterfall, path).items():
            self._parts[part].add(ms)
        self._parts[OUTSIDE].add(max(0.0, service_ms - waterfall.total_ms))

    def rows(self, latencies: Distribution) -> list[WhereRow]:
        """Whole search as the client sees it, then every module's own time (its callees', network and queue apart), AI and the rest."""
        rows = [WhereRow(part=WHOLE, times=times(latencies), critical_share=1.0, paper=_paper(WHOLE))]
        shares = {part: self._critical[part] / self._whole_ms if self._whole_ms else 0.0 for part in self._parts}
        order = sorted(self._parts, key=_order)
        return rows + [WhereRow(part=p, times=times(self._parts[p]), critical_share=shares[p], paper=_paper(p)) for p in order]


def _parts(waterfall: Waterfall, path: Mapping[str, float]) -> dict[str, float]:
    """Milliseconds per part of one search: busy time, so that what overlaps counts in full; of time that no stage covers, as much as `path`
    (the critical one) has of it."""
    hops = {e.name.rpartition(".")[0] for e in waterfall.intervals}
    found: dict[str, float] = {}
    for stage, ms in path.items():
        for part in _names(stage) if stage.endswith(OTHER) else ():
            if part not in HOPS.values():
                _add(found, part, ms)
    for entry in waterfall.intervals:
        ms = entry.end - entry.start
        if entry.name in HOPS and entry.name in hops:
            _add(found, HOPS[entry.name], max(0.0, ms - _apart(waterfall.intervals, entry.name)))
        elif entry.name not in hops or entry.name.endswith((".net", ".queue")):
            for part in _names(entry.name):
                if part not in HOPS.values():
                    _add(found, part, ms)
    return found


def _names(stage: str) -> list[str]:
    """The parts that a stage's time belongs to."""
    hop, _, inner = stage.partition(".")
    if inner.endswith("net") or stage == "net":
        return ["network"]
    if stage == "queue" or inner == "queue":
        return ["queue"]
    names = ["AI stages" if is_ai(stage) else "other stages"]
    if hop in HOPS:
        names.append(HOPS[hop])
        if HOPS[hop] == "recommender" and inner:
            names.append(f"{INSIDE}{hop} {inner}")
        return names
    return [*names, "planner: " + ("product store" if stage == "fetch" else "own work" if stage == OTHER else stage)]


def _apart(intervals: Sequence[Interval], hop: str) -> float:
    """What of a hop is not its service's own: the network, and the wait for a place."""
    return sum(e.end - e.start for e in intervals if e.name in (f"{hop}.net", f"{hop}.queue"))


def _add(parts: dict[str, float], name: str, ms: float) -> None:
    parts[name] = parts.get(name, 0.0) + ms


_FIRST = ("recommender", INSIDE, "searcher", "ranker", "planner", "network", OUTSIDE, "queue", "AI", "other")


def _order(part: str) -> tuple[int, str]:
    if part.startswith(INSIDE):
        return 1, part
    return next((n for n, first in enumerate(_FIRST) if part.startswith(first)), len(_FIRST)), part


def _paper(part: str) -> str:
    if part in PAPER:
        return " / ".join(f"{ms:g}" for ms in PAPER[part])
    if part in PAPER_SAYS:
        return PAPER_SAYS[part]
    return PAPER_SAYS["inference"] if part.endswith("preferences inference") else ""


def tier_hits(seen: Iterable[Seen]) -> list[TierHits]:
    """Over first pages."""
    searched: dict[str, int] = {}
    gave: dict[str, int] = {}
    shown: dict[str, int] = {}
    pages, items = 0, 0
    for s in seen:
        if s.shown is None or s.page != 1:
            continue
        pages += 1
        for tier in s.shown.tiers:
            searched[tier.name] = searched.get(tier.name, 0) + tier.searched
            gave[tier.name] = gave.get(tier.name, 0) + (tier.strict + tier.relaxed > 0)
        for name in s.shown.item_tiers:
            items += 1
            shown[name] = shown.get(name, 0) + 1
    return [TierHits(t, searched[t] / pages, gave[t] / pages, shown.get(t, 0) / max(1, items)) for t in searched]
