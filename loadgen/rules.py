"""What makes a load VALID: every rule with its value, its threshold and what to do when it is broken. Pure.

A rule is `kept`, `broken`, or `open` when the load had too little of what it looks at; only a broken one makes a load INVALID.
"""

import math
from collections.abc import Sequence
from typing import Literal

from msgspec import Struct

from loadgen.hdr import Z95

ANSWERED, DEGRADED = "every request is answered", "answers are not degraded"
ENOUGH, IN_TIME, AS_GOOD = "enough requests", "the generator is in time", "answers are as good as when idle"
State = Literal["kept", "broken", "open"]
EXAMPLES = 3


class Limits(Struct, frozen=True, kw_only=True):
    """Thresholds; settings of a load."""

    failed: float = 0.002
    """Share of requests without a good answer."""
    degraded: float = 0.01
    lag_p99_ms: float = 10.0
    claim: float = 0.99
    """The highest percentile that the load is to be quoted for."""
    quality_margin: float = 0.02
    """nDCG@10 may be so much lower than when idle, regret so much higher."""
    same_page: float = 0.10
    """Share of different queries, one after the other, that get the same page."""
    titles_missed: float = 0.40
    other_profile: float = 0.10
    one_profile: float = 0.90
    """Share of pairs of users with the same query who get the same page, though it is not everybody's."""


class Finding(Struct, frozen=True, kw_only=True):
    """One rule, applied."""

    rule: str
    state: State
    value: str
    threshold: str
    advice: str = ""
    examples: list[str] = []


def share_rule(
    rule: str, wrong: Sequence[str], looked: int, *, allowed: float = 0.0, least: int = 1, what: str, advice: str, spare: int = 0
) -> Finding:
    """At most a share `allowed` of what was looked at may be wrong (and `spare` more); with fewer than `least` looked at, the rule is open.

    `wrong`: one line for each wrong one, of which the first few are kept.
    """
    value = f"{len(wrong):,} of {looked:,} {what}" + (f" ({len(wrong) / looked:.1%})" if looked and allowed else "")
    threshold = f"at most {allowed:.1%}" if allowed else "none"
    if looked < least and not (wrong and not allowed):
        return Finding(rule=rule, state="open", value=value, threshold=f"{threshold}, of at least {least}")
    if len(wrong) <= allowed * looked + spare:
        return Finding(rule=rule, state="kept", value=value, threshold=threshold)
    return Finding(rule=rule, state="broken", value=value, threshold=threshold, advice=advice, examples=list(wrong[:EXAMPLES]))


def limit_rule(rule: str, value: float | None, limit: float, *, unit: str, advice: str, note: str = "") -> Finding:
    """A figure that may not be above its limit; None: it could not be measured."""
    threshold = f"at most {limit:,g} {unit}"
    if value is None:
        return Finding(rule=rule, state="open", value="not measured", threshold=threshold)
    said = f"{value:,.3g} {unit}{note}"
    broken = value > limit
    return Finding(rule=rule, state="broken" if broken else "kept", value=said, threshold=threshold, advice=advice if broken else "")


def verdict(findings: Sequence[Finding]) -> Literal["VALID", "INVALID"]:
    return "INVALID" if any(f.state == "broken" for f in findings) else "VALID"


def enough(count: int, claim: float, interval: tuple[float, float] | None) -> Finding:
    """Whether a percentile can be claimed: its 95 % interval by order statistics has to lie inside the sample."""
    rule, threshold = ENOUGH, f"an upper bound for p{100 * claim:g}"
    if interval is None:
        advice = f"about {least_searches(claim):,.0f} are enough: run longer, or claim a lower percentile (--claim {max(0.5, 1 - 10 * (1 - claim)):g})"
        return Finding(rule=rule, state="broken", value=f"{count:,} requests are too few", threshold=threshold, advice=advice)
    low, high = interval
    return Finding(rule=rule, state="kept", value=f"{count:,} requests: {low:,.1f} to {high:,.1f} ms", threshold=threshold)


def needed(share: float) -> float:
    """Searches of which the percentile has an upper bound, as `Distribution.interval_ms` finds it: n (1 - q) is larger than z sqrt(n q (1 - q)) + 1."""
    rest = 1 - share
    root = (Z95 * math.sqrt(share * rest) + math.sqrt(Z95**2 * share * rest + 4 * rest)) / (2 * rest)
    return root * root


def least_searches(share: float) -> float:
    """To plan for, so that so many come for sure."""
    return needed(share) + 4 * math.sqrt(needed(share))
