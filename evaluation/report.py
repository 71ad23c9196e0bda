"""Results and comparisons for people: lines for a terminal, a page of HTML with both first pages side by side. Pure."""

from collections.abc import Iterator
from html import escape

from evaluation.compare import Comparison, Difference
from evaluation.result import QueryResult, Result

MAX_NAMED = 6


def lines(result: Result) -> Iterator[str]:
    good = len(result.queries) - len(result.without_good)
    yield f"{result.name}: {len(result.queries)} queries of {result.judgments}, {result.pairs:,} judgments"
    yield "  " + "   ".join(f"{name} {_value(value)}" for name, value in result.means.items())
    if result.without_good:
        yield f"  {len(result.without_good)} queries have no good product: nDCG, MRR and recall are means over the other {good}"
    waited = result.latency_ms
    yield f"  zero-result rate {result.zero_results:.1%}; first page {waited['median']:.1f} ms median, {waited['p90']:.1f} ms p90, one at a time"
    yield from (f"  note: {note}" for note in result.notes)


def comparison_lines(comparison: Comparison) -> Iterator[str]:
    yield f"{comparison.ours} minus {comparison.other}, paired bootstrap over queries ({comparison.resamples:,} resamples, 95 %):"
    for d in comparison.differences:
        yield (
            f"  {d.measure:18} {d.ours:.3f} against {d.other:.3f}  {d.difference:+.4f} [{d.low:+.4f}, {d.high:+.4f}]"
            f"  {len(d.wins)} wins, {len(d.losses)} losses, {d.ties} ties: {_verdict(d)}"
        )
    first = comparison.differences[0] if comparison.differences else None
    if first:
        for word, queries in (("won", first.wins), ("lost", first.losses)):
            if queries:
                more = f" and {len(queries) - MAX_NAMED} more" if len(queries) > MAX_NAMED else ""
                yield f"  {first.measure} {word}: {', '.join(repr(q) for q in queries[:MAX_NAMED])}{more}"
    for name, queries in ((comparison.ours, comparison.only_ours), (comparison.other, comparison.only_other)):
        if queries:
            yield f"  {len(queries)} queries only in {name}: left out"


def _verdict(d: Difference) -> str:
    if d.low > 0:
        return "better"
    return "worse" if d.high < 0 else "no difference beyond chance"


def _value(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


STYLE = """
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:76rem;padding:0 1rem;color:#1b1b1b}
table{border-collapse:collapse;margin:1rem 0}td,th{padding:.25rem .7rem;text-align:right;border-bottom:1px solid #ddd}td:first-child,th:first-child{text-align:left}
.pages{display:grid;grid-template-columns:1fr 1fr;gap:1.5rem}ol{padding-left:1.6rem;margin:.3rem 0}li{margin:.15rem 0}
.g{display:inline-block;min-width:1.4em;text-align:center;border-radius:3px;margin-right:.4em;background:#ddd}
.g0{background:#f3b0a8}.g1{background:#fbe3a6}.g2{background:#d5e8a8}.g3{background:#9ed6a0}.relaxed{color:#777}
summary{cursor:pointer;padding:.3rem 0}.won{color:#11732b}.lost{color:#a3201c}h3{margin:.2rem 0;font-size:1em}
"""


def html(ours: Result, other: Result, comparison: Comparison) -> str:
    """A page of its own, no script, no address of anybody: the table, then every query, largest changes first."""
    title = f"{escape(ours.name)} against {escape(other.name)}"
    rows = "".join(
        f"<tr><td>{escape(d.measure)}</td><td>{d.ours:.3f}</td><td>{d.other:.3f}</td><td>{d.difference:+.4f}</td>"
        f"<td>[{d.low:+.4f}, {d.high:+.4f}]</td><td>{len(d.wins)} / {len(d.losses)} / {d.ties}</td></tr>"
        for d in comparison.differences
    )
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8><title>{title}</title><style>{STYLE}</style><h1>{title}</h1>"
        f"<p>{escape(ours.judgments)}: {len(ours.queries)} queries, {ours.pairs:,} judgments. Paired bootstrap over queries, 95 %.</p>"
        "<table><tr><th>measure</th><th>ours</th><th>other</th><th>difference</th><th>interval</th><th>won / lost / same</th></tr>"
        f"{rows}</table><p><span class=g>-</span> not judged, <span class='g g0'>0</span> bad ... <span class='g g3'>3</span> good; "
        "grey: only some of the words occur.</p>" + "".join(_query(q, ours, other) for q in _by_change(ours, other)) + "</html>\n"
    )


def _by_change(ours: Result, other: Result) -> list[str]:
    return sorted((q for q in ours.queries if q in other.queries), key=lambda q: (-abs(_change(q, ours, other)), q))


def _change(query: str, ours: Result, other: Result) -> float:
    name = next(iter(ours.means))
    return ours.queries[query].measures.get(name, 0.0) - other.queries[query].measures.get(name, 0.0)


def _query(query: str, ours: Result, other: Result) -> str:
    change = _change(query, ours, other)
    kind = "won" if change > 0 else "lost" if change < 0 else ""
    opened = " open" if change else ""
    return (
        f"<details{opened}><summary><b>{escape(query)}</b> <span class={kind or 'same'}>{change:+.3f}</span></summary>"
        f"<div class=pages>{_page(ours.name, ours.queries[query])}{_page(other.name, other.queries[query])}</div></details>"
    )


def _page(name: str, result: QueryResult) -> str:
    items = "".join(
        f"<li{'' if shown.strict else ' class=relaxed'}><span class='g g{'' if grade is None else min(grade, 3)}'>"
        f"{'-' if grade is None else grade}</span>{escape(shown.title)}</li>"
        for shown, grade in zip(result.shown, result.grades, strict=True)
    )
    values = ", ".join(f"{escape(m)} {v:.3f}" for m, v in result.measures.items())
    corrected = f"; corrected to <i>{escape(result.corrected)}</i>" if result.corrected else ""
    return (
        f"<section><h3>{escape(name)}</h3><small>{values}; {result.found} found{corrected}</small><ol>{items or 'nothing'}</ol></section>"
    )
