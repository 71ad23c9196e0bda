"""Where the time goes: modules' own time, network and queue apart, what learns and what does not, beside the report's figures."""

import pytest

from loadgen.hdr import Distribution
from loadgen.seen import Seen, Shown
from loadgen.where import OUTSIDE, WhereRow, WhereTable, tier_hits
from services.contracts import TierCount
from services.waterfall import parse

# 20 ms: 1 in the queue, analyse 1..6 (2 of network, 1 of queue, 2 of categories), retrieve 6..12 and beside it preferences 6..14 with its
# inference, rank 14..18, fetch 18..19, and 1 that nothing covers
HEADER = ", ".join(
    f"{name};dur={dur};start={start}"
    for name, start, dur in [
        ("queue", 0, 1),
        ("analyse", 1, 5),
        ("analyse.net", 1, 2),
        ("analyse.queue", 2, 1),
        ("analyse.categories", 4, 2),
        ("retrieve", 6, 6),
        ("retrieve.net", 6, 1),
        ("retrieve.high", 7, 5),
        ("preferences", 6, 8),
        ("preferences.net", 6, 1),
        ("preferences.graph", 7, 3),
        ("preferences.inference", 10, 4),
        ("rank", 14, 4),
        ("rank.net", 14, 1),
        ("rank.inference", 15, 3),
        ("fetch", 18, 1),
        ("total", 0, 20),
    ]
)


@pytest.fixture
def rows() -> dict[str, WhereRow]:
    table, latencies = WhereTable(), Distribution()
    waterfall = parse(HEADER)
    assert waterfall
    for service_ms in (21.0, 23.0):
        latencies.add(service_ms + 1)
        table.add(waterfall, service_ms)
    return {row.part: row for row in table.rows(latencies)}


def test_the_whole_search_is_what_clients_saw_beside_the_reports_figures(rows: dict[str, WhereRow]) -> None:
    assert next(iter(rows)) == "whole search"
    assert rows["whole search"].times.mean_ms == pytest.approx(23)
    assert rows["whole search"].paper == "161 / 392 / 956"
    assert rows["recommender"].paper == "75.7 / 209.4 / 557.7"
    assert rows["searcher"].paper == rows["ranker"].paper == "under 4"
    assert rows["recommender: preferences inference"].paper.startswith("30.8")


def test_a_modules_time_is_its_own_network_and_queue_are_apart(rows: dict[str, WhereRow]) -> None:
    means = {part: row.times.mean_ms for part, row in rows.items()}
    assert means["recommender"] == pytest.approx(5 - 2 - 1 + 8 - 1)
    assert means["searcher"] == pytest.approx(5)
    assert means["ranker"] == pytest.approx(3)
    assert means["network"] == pytest.approx(2 + 1 + 1 + 1)
    assert means["queue"] == pytest.approx(1 + 1)
    assert means[OUTSIDE] == pytest.approx(2), "what the client saw beyond the planner's 20 ms"
    assert means["planner: product store"] == pytest.approx(1)
    assert means["planner: own work"] == pytest.approx(1)


def test_learned_stages_as_busy_time_and_as_share_of_the_critical_path(rows: dict[str, WhereRow]) -> None:
    assert rows["AI stages"].times.mean_ms == pytest.approx(2 + 4 + 3)
    assert rows["AI stages"].critical_share == pytest.approx(9 / 20)
    assert rows["searcher"].critical_share == 0, "hidden behind the preferences"
    apart = ("AI stages", "other stages", "network", "queue")
    assert sum(rows[part].critical_share for part in apart) == pytest.approx(1)
    modules = ("recommender", "searcher", "ranker", "network", "queue", "planner: product store", "planner: own work")
    assert sum(rows[part].critical_share for part in modules) == pytest.approx(1)


def test_hits_of_tiers_are_counted_over_first_pages() -> None:
    def page(number: int, high: int, low: int, items: list[str]) -> Seen:
        tiers = [TierCount("high", True, high, 0), TierCount("low", low > 0, low, 0)]
        shown = Shown([f"p{n}" for n in range(len(items))], 9, "eq", 1, tiers=tiers, item_tiers=items)
        return Seen(request="first", at_s=0, chain=0, page=number, latency_ms=1, service_ms=1, shown=shown)

    found = {t.tier: t for t in tier_hits([page(1, 3, 0, ["high"] * 2), page(1, 0, 5, ["low", "high"]), page(2, 9, 9, ["low"] * 9)])}
    assert (found["high"].searched, found["high"].gave, found["high"].shown) == (1, 0.5, 0.75)
    assert (found["low"].searched, found["low"].gave, found["low"].shown) == (0.5, 0.5, 0.25)
