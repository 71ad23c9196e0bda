"""Whether answers are as good under load as when the system is idle: the same queries, graded by the world's truth, in pairs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from datagen.world import open_world
from loadgen.asks import Ask
from loadgen.grading import AT, MEASURES, Graded, Grader, Page
from loadgen.rules import AS_GOOD, Finding
from loadgen.run import Quality
from loadgen.seen import Seen, Shown
from services.shop import Shop

GRADED = 2_000
"""Pages of shoppers that are graded, about, evenly over the load."""
LEAST = 20
"""Queries the rule needs: of fewer, one whose user has just clicked decides."""


def measure(root: Path, records: Sequence[Seen]) -> Quality | None:
    """nDCG@10 and regret of the probes of users, idle and (mean of their answers) under load; None in a shop without a world."""
    if not Shop(root).world.is_dir():
        return None
    idle: dict[int, tuple[Ask, Shown]] = {}
    load: dict[int, list[Shown]] = {}
    for s in records:
        if s.ask and s.shown and s.page == 1 and s.ask.probe >= 0 and s.ask.intent >= 0 and s.ask.kind == "user":
            if s.idle:
                idle[s.ask.probe] = (s.ask, s.shown)
            else:
                load.setdefault(s.ask.probe, []).append(s.shown)
    pairs = [(ask, shown, load[probe]) for probe, (ask, shown) in idle.items() if probe in load]
    if not pairs:
        return None
    grader = Grader(open_world(root))
    rows = np.array([_scores(grader, ask, [shown, *under]) for ask, shown, under in pairs])
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


def _scores(grader: Grader, ask: Ask, answers: Sequence[Shown]) -> list[float]:
    """nDCG@10 and regret of the first answer, then the means of the others (loadgen/grading.py says what they are)."""
    world = grader.world
    user, now = max(0, world.user_no(ask.user_id or "")), world.settings.end_ms
    best = grader.best(Page(user, ask.intent, [], now))
    pages = [Page(user, ask.intent, [world.product_no(id_) for id_ in shown.ids[:AT]], now) for shown in answers]
    measured = np.array([grader.measure(page, best) for page in pages])[:, [MEASURES.index("ndcg"), MEASURES.index("regret")]]
    return [*measured[0].tolist(), *measured[1:].mean(axis=0).tolist()]


def rule(quality: Quality | None, margin: float) -> Finding:
    threshold = f"nDCG@10 not lower, regret not higher, by more than {margin:g}"
    if quality is None or quality.queries < LEAST:
        value = f"{quality.queries} queries of {LEAST}" if quality else "no truth to compare with, or no probe came twice"
        return Finding(rule=AS_GOOD, state="open", value=value, threshold=threshold)
    q = quality
    value = (
        f"nDCG@10 {q.ndcg_load:.3f} (idle {q.ndcg_idle:.3f}), regret {q.regret_load:.3f} (idle {q.regret_idle:.3f}), {q.queries} queries"
    )
    if q.ndcg_load >= q.ndcg_idle - margin and q.regret_load <= q.regret_idle + margin:
        return Finding(rule=AS_GOOD, state="kept", value=value, threshold=threshold)
    advice = "under load the system answers worse than when idle: look at the degraded answers and at what is left out to be in time"
    return Finding(rule=AS_GOOD, state="broken", value=value, threshold=threshold, advice=advice)
