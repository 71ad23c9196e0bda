"""The report of a load, printed from its run alone: `aisle load show` prints the same again."""

import datetime

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from loadgen.run import Requests, Run
from loadgen.stats import Share, StageReport
from loadgen.where import PAPER_HARDWARE

TWO_DIGITS = "Locust keeps percentiles in two significant digits and counts everything (warm-up, probes, events); ours are HDR histograms (three digits) of the measured part."


def show(run: Run, console: Console) -> None:
    """Everything a reader needs to trust the run or not; the verdict comes last."""
    console.print(_head(run))
    console.print(_requests(run))
    console.print(_clocks(run))
    console.print(_where(run))
    console.print(_stages(run.stages))
    console.print(_tail(run))
    if run.resources:
        console.print(_resources(run))
    if run.wish.profile in ("ramp", "spike", "soak"):
        console.print(_seconds(run))
    if run.shoppers:
        g = run.shoppers
        console.print(
            f"to {g.pages:,} shoppers, by the world's truth: nDCG@10 {g.ndcg:.3f} (of grades {g.ndcg_grade:.3f}), "
            f"regret {g.regret:.2f} clicks a page, {g.conversion:.3f} purchases a page"
        )
    console.print(_rules(run))
    for failure in run.failures:
        console.print(f"[red]failed[/] {failure.count:,} x {failure.kind}: {escape(failure.reason)}")
    verdict(run, console)


def verdict(run: Run, console: Console) -> None:
    for finding in run.findings:
        if finding.state == "broken":
            console.print(f"[red]broken[/]: {finding.rule}: {escape(finding.value)} ({finding.threshold}). {finding.advice}")
            for example in finding.examples:
                console.print(f"          e.g. {escape(example)}")
    broken = sum(f.state == "broken" for f in run.findings)
    open_ = [f.rule for f in run.findings if f.state == "open"]
    if open_:
        console.print(f"not judged: {'; '.join(open_)}")
    t, claim = run.total.latency, run.wish.limits.claim
    quoted = f"p99 {t.p99_ms:,.1f}" if claim >= 0.99 else f"p90 {t.p90_ms:,.1f}" if claim >= 0.9 else f"p50 {t.p50_ms:,.1f}"
    what = f"{run.total.count:,} searches at {run.total.per_second:,.1f}/s, {quoted} ms"
    early = ", interrupted" if run.interrupted else ""
    if run.ok:
        console.print(f"[green]VALID[/]: {what}{early}")
    else:
        console.print(f"[red]INVALID[/]: {broken} rule{'s' if broken != 1 else ''} broken{early}; {what} do not count")


def _head(run: Run) -> str:
    w, m = run.wish, run.machine
    when = datetime.datetime.fromtimestamp(run.started_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    rate = f"{w.rate:g} requests/s" + (f" to {w.top:g}" if w.profile in ("ramp", "spike") else "")
    how = f"{rate}, {w.arrivals}" if w.open else f"{run.users:,} shoppers, think time {w.think_s:g} s (exponential)"
    pinned = f"; {m.pinned}" if m.pinned else ""
    lines = (
        f"[bold]{w.profile}[/] load of shop {run.shop!r}: {how}, {run.seconds:.0f} s after {w.warm_up_s:g} s warm-up, seed {w.seed}; {when}",
        f"code {run.code_version}; {m.cpu}, {m.cores} cores, load average {m.load_average[0]:.1f} before, {m.load_average[1]:.1f} after{pinned}",
    )
    return "\n".join(lines)


def _requests(run: Run) -> Table:
    title = "latency from the moment a request was meant to be sent, ms; service time (from the sending) beside it"
    table = _table(title, "requests", "count", "per s", "mean", "p50", "p90", "p99", "p99, 95 %", "max", "service p50", "p99", "failed")
    for row in [*run.requests, run.total]:
        table.add_row(*_row(row))
    return table


def _row(row: Requests) -> list[str]:
    t, s = row.latency, row.service
    numbers = [f"{ms:,.1f}" for ms in (t.mean_ms, t.p50_ms, t.p90_ms, t.p99_ms)]
    interval = f"{row.p99_interval_ms[0]:,.1f}-{row.p99_interval_ms[1]:,.1f}" if row.p99_interval_ms else "too few"
    more = [interval, f"{t.max_ms:,.1f}", f"{s.p50_ms:,.1f}", f"{s.p99_ms:,.1f}", f"{row.failed:,}"]
    return [row.kind, f"{row.count:,}", f"{row.per_second:,.1f}", *numbers, *more]


def _clocks(run: Run) -> str:
    g, c = run.generator, run.calibration
    lines = [
        f"generator: {g.processes} process{'es' if g.processes > 1 else ''}, lag p50 {g.lag.p50_ms:.2f}, p99 {g.lag.p99_ms:.2f}, "
        f"max {g.lag.max_ms:.1f} ms; {g.per_core_s:,.0f} requests a second and core"
        + (f"; {g.left_alone:,} page turns had no page to turn and asked anew" if g.left_alone else "")
    ]
    if c:
        lines.append(
            f"alone, against a server that does nothing: small answers {c.small_per_core_s:,.0f} a second and core (lag p99 "
            f"{c.small_lag_p99_ms:.2f} ms at {c.rate:,.0f}/s), answers of {c.page_bytes:,} bytes, parsed and checked, {c.page_per_core_s:,.0f} "
            f"(lag p99 {c.page_lag_p99_ms:.2f} ms)"
        )
    else:
        lines.append("alone, against a server that does nothing: not measured (`aisle load calibrate`)")
    if run.locust:
        lines.append(
            "Locust's own: " + ", ".join(f"{name} {ms:,.0f} ms" for name, ms in run.locust.items()) + f"; ours p50 "
            f"{run.total.latency.p50_ms:,.1f}, p99 {run.total.latency.p99_ms:,.1f} ms. {TWO_DIGITS}"
        )
    return "\n".join(lines)


def _where(run: Run) -> Table:
    title = f"where the time goes, ms; the report's figures are from {PAPER_HARDWARE}"
    table = _table(title, "part", "mean", "p90", "p99", "critical path", "the report: mean / p90 / p99")
    for row in run.where:
        t = row.times
        share = f"{row.critical_share:.1%}" if row.critical_share else ""
        table.add_row(row.part, f"{t.mean_ms:,.2f}", f"{t.p90_ms:,.2f}", f"{t.p99_ms:,.2f}", share, row.paper)
    return table


def _stages(report: StageReport) -> Table:
    title = f"stages of {report.requests:,} searches (Server-Timing)"
    table = _table(title, "stage", "of requests", "busy mean", "p50", "p99 ms", "critical path", "")
    for row in report.rows:
        numbers = [f"{ms:,.2f}" for ms in (row.busy.mean_ms, row.busy.p50_ms, row.busy.p99_ms)] if row.busy.count else ["", "", ""]
        of_requests = f"{row.requests:.0%}" if row.busy.count else ""
        table.add_row(row.stage, of_requests, *numbers, f"{row.critical_share:.1%}", "learned" if row.ai else "")
    return table


def _tail(run: Run) -> str:
    tiers = ", ".join(f"{t.tier} {t.searched:.0%} / {t.gave:.0%} / {t.shown:.0%}" for t in run.tiers)
    lines = [
        f"\nlearned stages: {_share(run.stages.ai)}; all others: {_share(run.stages.other)}",
        f"generation {_list(run.generations)}, release {_list(run.releases)}",
    ]
    if run.graded_of > 1:
        lines.append(f"graded: the answers of one chain of requests in {run.graded_of} (every request is counted)")
    if tiers:
        lines.append(f"tiers (searched / gave candidates / share of the items of first pages): {tiers}")
    if run.degraded:
        lines.append("degraded answers: " + ", ".join(f"{reason} {count:,}" for reason, count in run.degraded.items()))
    return "\n".join(lines)


def _resources(run: Run) -> Table:
    table = _table("processes of the system", "process", "cores mean", "max", "MB first", "last", "max")
    for name in dict.fromkeys(s.process for s in run.resources):
        own = [s for s in run.resources if s.process == name]
        cpu, rss = [s.cpu for s in own], [s.rss_mb for s in own]
        table.add_row(name, f"{sum(cpu) / len(cpu):.2f}", f"{max(cpu):.2f}", f"{rss[0]:,.0f}", f"{rss[-1]:,.0f}", f"{max(rss):,.0f}")
    return table


def _seconds(run: Run) -> Table:
    """Every second of a short load, every so many of a long one."""
    step = max(1, len(run.seconds_seen) // 40)
    table = _table(f"every {step} s", "second", "meant", "good", "refused", "failed", "p50", "p99 ms", "MB of all")
    for row in run.seconds_seen[::step]:
        memory = sum(s.rss_mb for s in run.resources if int(s.at_s) == row.at_s)
        numbers = [f"{n:,}" for n in (row.meant, row.good, row.refused, row.failed)]
        table.add_row(str(row.at_s), *numbers, f"{row.p50_ms:,.1f}", f"{row.p99_ms:,.1f}", f"{memory:,.0f}" if memory else "")
    return table


def _rules(run: Run) -> Table:
    table = _table("rules", "rule", "state", "value", "threshold")
    colours = {"kept": "green", "broken": "red", "open": "yellow"}
    for f in run.findings:
        table.add_row(f.rule, f"[{colours[f.state]}]{f.state}[/]", escape(f.value), f.threshold)
    for column in table.columns:
        column.justify = "left"
    return table


def _table(title: str, first: str, *rest: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(first, no_wrap=True)
    for name in rest:
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    return table


def _share(share: Share) -> str:
    return f"busy {share.busy_ms:.2f} ms a search, {share.critical_share:.1%} of the critical path"


def _list(numbers: list[int]) -> str:
    return ", ".join(map(str, numbers)) or "none"
