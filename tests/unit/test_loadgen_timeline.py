"""A load second by second and in blocks; what is kept of it to be graded."""

from pathlib import Path
from typing import Any

import pytest

from loadgen.asks import Ask
from loadgen.seen import BAD_KEPT, Seen, SeenFile
from loadgen.timeline import MAX_REASONS, count


def search(at_s: float, latency_ms: float = 10.0, chain: int = 0, **more: Any) -> Seen:
    fields: dict[str, Any] = {"request": "first", "page": 1, "service_ms": latency_ms, "ask": Ask("q")}
    return Seen(at_s=at_s, latency_ms=latency_ms, chain=chain, **fields | more)


def refused(at_s: float) -> Seen:
    return search(at_s, 1.0, status=503, failure="status 503")


def test_a_second_tells_what_came_in_time_too_late_was_refused_and_failed() -> None:
    rows = [search(0.1), search(0.9, 600.0), refused(0.5), search(0.6, status=0, failure="no answer"), search(2.0, 30.0)]
    first, second = count(rows, warm_up_s=1.0, good_ms=500).seconds()
    assert (first.at_s, first.meant, first.good, first.refused, first.failed) == (0, 4, 1, 1, 2)
    assert (first.p50_ms, second.p99_ms) == (305, 30)
    assert (second.at_s, second.meant, second.good) == (2, 1, 1)


def test_the_measured_part_is_counted_by_kind_without_warm_up_and_idle_probes() -> None:
    rows = [search(0.5), search(1.5), refused(1.6), search(2.0, wrong=["an item without a title"]), search(9.0, idle=True)]
    rows += [search(2.5, request="events"), search(2.6, request="next")]
    counted = count(rows, warm_up_s=1.0)
    assert counted.counts == {"first": 3, "events": 1, "next": 1}
    assert counted.failed == {"first": 2}
    assert counted.unanswered == {("first", "status 503"): 1}
    assert counted.searches == 4


def test_reasons_that_differ_without_end_are_counted_together() -> None:
    counted = count([search(1.0, failure=f"reason {n}", status=0) for n in range(3 * MAX_REASONS)], 0.0)
    assert len(counted.reasons) == MAX_REASONS + 1
    assert counted.reasons["first", "other reasons"] == 2 * MAX_REASONS


def test_blocks_are_of_five_seconds_of_the_measured_part_and_whole() -> None:
    blocks = count([search(0.5 + n / 10) for n in range(140)], warm_up_s=0.5).blocks(length_s=14.0)
    assert [(b.at_s, b.count, b.per_second) for b in blocks] == [(0.5, 50, 10), (5.5, 50, 10)]
    assert blocks[0].p50_ms == pytest.approx(10)


# ---- what is kept to be graded ----


def chains(number: int) -> list[Seen]:
    return [search(chain + page / 10, chain=chain, page=page) for chain in range(number) for page in (1, 2)]


def test_a_load_that_is_short_enough_is_kept_whole(tmp_path: Path) -> None:
    file = SeenFile(tmp_path / "loads" / "answers", limit=200)
    file.write(chains(100))
    assert (list(file.read()), file.every) == (chains(100), 1)
    assert (tmp_path / "loads" / "answers").is_file()


def test_of_a_longer_load_so_many_whole_chains_are_kept_that_it_fits_and_evenly() -> None:
    file = SeenFile(None, limit=200)
    for row in chains(5000):
        file.write([row])
    kept = list(file.read())
    assert 80 <= len(kept) <= 200
    assert file.every == 64
    assert kept == [row for row in chains(5000) if row.chain in {s.chain for s in kept}], "whole chains"
    assert all(10 <= sum(1000 * n <= row.chain < 1000 * (n + 1) for row in kept) <= 60 for n in range(5)), "of every part of the load"


def test_what_is_wrong_and_what_was_asked_while_idle_is_kept_whatever_its_chain() -> None:
    file = SeenFile(None, limit=100)
    bad = [refused(n) for n in range(3, 4000, 400)]
    file.write([search(0.0, chain=-n, idle=True) for n in range(1, 30)])
    file.write([*chains(2000), *bad])
    kept = list(file.read())
    assert sum(s.idle for s in kept) == 29
    assert [s for s in kept if not s.good] == bad


def test_of_what_is_wrong_without_end_only_so_much_is_kept() -> None:
    file = SeenFile(None, limit=100)
    file.write(search(n / 10, chain=n, status=0, failure="no answer") for n in range(3 * BAD_KEPT))
    assert BAD_KEPT <= len(list(file.read())) <= BAD_KEPT + 100
