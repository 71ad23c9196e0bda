"""Whether answers are as good under load as when the system is idle: the same queries, graded by the world's truth, in pairs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datagen import truth
from datagen.world import World, open_world
from loadgen.asks import Ask
from loadgen.grading import Graded, Grader, Page
from loadgen.rules import Finding
from loadgen.run import Quality
from loadgen.seen import Seen, Shown
from services.shop import Shop

AT = 10
GRADED = 2_000
"""Pages of shoppers that are graded, about, evenly over the load."""
RULE = "answers are as good as when idle"


def measure(root: Path, records: Sequence[Seen]) -> Quality | None:
    """nDCG@10 and regret of probes, idle and (mean of its answers) under load; None in a shop without a world."""
    if not Shop(root).world.is_dir():
        return None
    idle: dict[int, tuple[Ask, Shown]] = {}
    load: dict[int, list[Shown]] = {}
    for s in records:
        if s.ask and s.shown and s.page == 1 and s.ask.probe >= 0 and s.ask.intent >= 0 and not s.ask.filters:
            if s.idle:
                idle[s.ask.probe] = (s.ask, s.shown)
            else:
                load.setdefault(s.ask.probe, []).append(s.shown)
    pairs = [(ask, shown, load[probe]) for probe, (ask, shown) in idle.items() if probe in load]
    if not pairs:
        return None
    world = open_world(root)
    rows = np.array([(*_score(world, a, i), *np.mean([_score(world, a, s) for s in under], axis=0)) for a, i, under in pairs])
    ndcg_idle, regret_idle, ndcg_load, regret_load = rows.mean(axis=0).tolist()
    return Quality(queries=len(pairs), ndcg_idle=ndcg_idle, ndcg_load=ndcg_load, regret_idle=regret_idle, regret_load=regret_load)


def shoppers(root: Path, records: Sequence[Seen]) -> Graded | None:
    """What the first pages of signed-in shoppers were worth to them (who is not signed in is known to nobody but herself). None without any."""
    if not Shop(root).world.is_dir():
        return None
    world = open_world(root)
    pages = [
        Page(user, s.ask.intent, [world.product_no(id_) for id_ in s.shown.ids[:AT]], world.settings.end_ms)
        for s in records
        if s.ask and s.shown and s.request == "first" and not s.idle and s.ask.probe < 0 <= s.ask.intent and not s.ask.filters
        if (user := world.user_no(s.ask.user_id or "")) >= 0
    ]
    return Grader(world).grade(pages[:: max(1, len(pages) // GRADED)])


def _score(world: World, ask: Ask, shown: Shown) -> tuple[float, float]:
    """nDCG@10 of a page (gain 2^grade - 1, against the best ten of the whole catalogue), and mean relevance lost against them."""
    rows = np.array([world.product_no(id_) for id_ in shown.ids[:AT]], np.intp)
    everything = np.arange(len(world.items))
    best = np.sort(truth.grade(world, ask.intent, everything))[::-1][:AT]
    mine = truth.grade(world, ask.intent, rows) if len(rows) else np.zeros(0, np.int8)
    ideal = _dcg(best)
    regret = float(truth.GAINS[best].mean() - truth.GAINS[mine].sum() / AT)
    return (_dcg(mine) / ideal if ideal else 1.0), regret


def _dcg(grades: np.ndarray) -> float:
    gains = 2.0 ** grades.astype(np.float64) - 1
    return float((gains / np.log2(np.arange(2, len(gains) + 2))).sum())


def rule(quality: Quality | None, margin: float) -> Finding:
    threshold = f"nDCG@10 not lower, regret not higher, by more than {margin:g}"
    if quality is None:
        return Finding(rule=RULE, state="open", value="no truth to compare with, or no probe came twice", threshold=threshold)
    q = quality
    value = (
        f"nDCG@10 {q.ndcg_load:.3f} (idle {q.ndcg_idle:.3f}), regret {q.regret_load:.3f} (idle {q.regret_idle:.3f}), {q.queries} queries"
    )
    if q.ndcg_load >= q.ndcg_idle - margin and q.regret_load <= q.regret_idle + margin:
        return Finding(rule=RULE, state="kept", value=value, threshold=threshold)
    advice = "under load the system answers worse than when idle: look at the degraded answers and at what is left out to be in time"
    return Finding(rule=RULE, state="broken", value=value, threshold=threshold, advice=advice)
