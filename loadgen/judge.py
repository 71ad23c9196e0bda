"""Grades what a load saw, after it: every rule about answers. Pure: the shop's files come in as a shelf."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from loadgen.asks import Ask, breaks
from loadgen.rules import ANSWERED, DEGRADED, Finding, Limits, share_rule
from loadgen.seen import Seen, Shown
from loadgen.shelf import Shelf
from loadgen.timeline import Timeline, count

PRICE_TOLERANCE_CENTS = 0


@dataclass
class Case:
    """The records of a load that are graded, and views of them that several rules share. `warm_up_s`: what was sent before is not measured;
    `counted`: every request, those included whose records were not kept (None: all were)."""

    seen: Sequence[Seen]
    shelf: Shelf
    limits: Limits = field(default_factory=Limits)
    warm_up_s: float = 0.0
    counted: Timeline | None = None

    @cached_property
    def measured(self) -> list[Seen]:
        return [s for s in self.seen if not s.idle and s.at_s >= self.warm_up_s]

    @cached_property
    def answers(self) -> list[tuple[Seen, Ask, Shown]]:
        """Pages that came, idle ones and warm-up included, in the order of time."""
        rows = [(s, s.ask, s.shown) for s in self.seen if s.ask is not None and s.shown is not None]
        return sorted(rows, key=lambda row: (not row[0].idle, row[0].at_s))

    @cached_property
    def firsts(self) -> list[tuple[Seen, Ask, Shown]]:
        return [row for row in self.answers if row[0].page == 1]


def judge(case: Case) -> list[Finding]:
    """All rules about answers."""
    return [
        answered(case),
        schema(case),
        existing(case),
        as_stored(case),
        constraints(case),
        varied(case),
        varied_by_user(case),
        pages(case),
        low_tier(case),
        own_profile(case),
        one_profile(case),
        degraded(case),
    ]


def answered(case: Case) -> Finding:
    counted = case.counted or count(case.seen, case.warm_up_s)
    wrong = [f"{request}: {reason}" for request, reason in counted.unanswered.elements()]
    advice = "look at `aisle logs`; when it says overloaded, lower the rate (`aisle load peak` finds the highest)"
    looked = counted.counts.total()
    return share_rule(ANSWERED, wrong, looked, allowed=case.limits.failed, spare=1, what="requests failed", advice=advice)


def schema(case: Case) -> Finding:
    wrong = [text for s in case.seen for text in s.wrong if not text.startswith("page")]
    looked = sum(s.status != 0 for s in case.seen)
    return share_rule(
        "answers fit the contract", wrong, looked, what="answers do not", advice="the server does not keep services/contracts.py"
    )


def existing(case: Case) -> Finding:
    looked, wrong = 0, []
    for _, _, shown in case.answers:
        generation = case.shelf.generation(shown.generation)
        if generation is None:
            wrong.append(f"generation {shown.generation} is named, which does not exist")
            continue
        looked += len(shown.ids)
        wrong += [f"{id_} is not in generation {shown.generation}" for id_ in shown.ids if id_ not in generation]
    advice = "the server shows products of another generation than it names, or made-up ones"
    return share_rule("products exist in the generation named", wrong, looked, what="do not", advice=advice)


def as_stored(case: Case) -> Finding:
    looked, wrong = 0, []
    for _, _, shown in case.answers:
        generation = case.shelf.generation(shown.generation) or {}
        for id_, price in zip(shown.ids, shown.prices, strict=False):
            if id_ in generation:
                looked += 1
                if abs(generation[id_].price_cents - price) > PRICE_TOLERANCE_CENTS:
                    wrong.append(f"{id_} costs {price}, in generation {shown.generation} {generation[id_].price_cents} cents")
    advice = "the summaries are not those of the generation that the answer names: an old generation is being served"
    return share_rule("summaries are those of the generation named", wrong, looked, what="prices differ (a sample)", advice=advice)


def constraints(case: Case) -> Finding:
    looked, wrong = 0, []
    for _, ask, shown in case.answers:
        generation = case.shelf.generation(shown.generation)
        if ask.filters is None or generation is None:
            continue
        looked += max(1, len(shown.ids))
        wrong += [f"{id_}: {why}" for id_ in shown.ids if id_ in generation and (why := breaks(generation[id_], ask.filters))]
        if not (shown.ids or ask.query or shown.degraded) and any(breaks(p, ask.filters) is None for p in generation.values()):
            wrong.append(f"nothing found, though there are products with {ask.filters}")
    advice = "the server ignores filters, or filters away what passes them"
    return share_rule("constraints are met", wrong, looked, what="products (or empty pages) break a filter", advice=advice)


def varied(case: Case) -> Finding:
    return _varied(
        case, "answers vary as the queries do", by_user=False, advice="the server answers with a constant, or from a broken cache"
    )


def varied_by_user(case: Case) -> Finding:
    advice = "the server caches answers by user, whatever the query"
    return _varied(case, "answers of one user vary as the queries do", by_user=True, advice=advice)


def _varied(case: Case, rule: str, *, by_user: bool, advice: str) -> Finding:
    """Of neighbours in time whose queries share no word and both found something: how many got the same page."""
    last: dict[str, tuple[Ask, Shown]] = {}
    looked, wrong = 0, []
    for _, ask, shown in case.firsts:
        key = ask.user_id if by_user else ""
        if key is None or not shown.ids or not ask.query:
            continue
        before, last[key] = last.get(key), (ask, shown)
        if before and unrelated(ask, shown, *before):
            looked += 1
            if shown.ids == before[1].ids:
                wrong.append(f"{before[0].query!r} and {ask.query!r} got the same page" + (f" (user {key})" if key else ""))
    return share_rule(
        rule, wrong, looked, allowed=case.limits.same_page, least=20, what="pairs of queries got the same page", advice=advice
    )


def unrelated(ask: Ask, shown: Shown, other_ask: Ask, other: Shown) -> bool:
    """No word in common, as typed and as understood, and no filter."""
    if ask.filters or other_ask.filters:
        return False
    words = {*ask.query.lower().split(), *shown.terms}
    return words.isdisjoint({*other_ask.query.lower().split(), *other.terms})


def pages(case: Case) -> Finding:
    """No product twice on the pages of one query."""
    looked, wrong = 0, [text for s in case.seen for text in s.wrong if text.startswith("page")]
    shown_by_query: dict[tuple[bool, int, str], set[str]] = {}
    for seen, ask, shown in case.answers:
        key = (seen.idle, seen.chain, ask.query)
        if seen.page == 1:
            shown_by_query[key] = set()
        elif (earlier := shown_by_query.get(key)) is not None:
            looked += 1
            if again := earlier.intersection(shown.ids):
                wrong.append(f"page {seen.page} of {ask.query!r}: {sorted(again)[0]} was shown before")
        shown_by_query.setdefault(key, set()).update(shown.ids)
    advice = "the server forgets what earlier pages showed"
    return share_rule("no product comes twice over pages", wrong, looked, what="page turns repeat something", advice=advice)


def low_tier(case: Case) -> Finding:
    """Exact titles of products of the low tier, and of new ones, find these products on the first page."""
    looked, wrong = 0, []
    for seen, ask, shown in case.firsts:
        if ask.wanted is None or seen.idle or shown.degraded:
            continue
        looked += 1
        if ask.wanted not in shown.ids:
            wrong.append(f"{ask.query!r} does not find {ask.wanted}")
    advice = "the low tier is not searched, or new products are missing from the index"
    limit = case.limits.titles_missed
    return share_rule(
        "products of the low tier are found by title", wrong, looked, allowed=limit, least=20, what="exact titles miss", advice=advice
    )


def own_profile(case: Case) -> Finding:
    """The same query of the same user gets the same answer; one whom nobody knows gets what nobody gets; else profiles are mixed up."""
    reference: dict[tuple[str, str | None, int, int | None], list[str]] = {}
    users_matter, looked, wrong = False, 0, []
    for seen, ask, shown in _comparable(case):
        versions = (shown.generation, shown.release)
        nobody = reference.get((ask.query, None, *versions))
        if ask.kind == "user" and nobody is not None:
            users_matter |= nobody != shown.ids
        key = (ask.query, None if ask.kind == "stranger" else ask.user_id, *versions)
        expected = reference.setdefault(key, shown.ids)
        if not seen.idle:
            looked += 1
            if expected != shown.ids:
                wrong.append(
                    f"{ask.kind} {ask.user_id or ''} asking {ask.query!r}: {len({*expected} - {*shown.ids})} other products than before"
                )
    rule, advice = "everybody is answered from their own profile", "users' profiles are mixed up between requests"
    if not users_matter and not wrong:
        return Finding(rule=rule, state="open", value="no answer depends on who asks", threshold=f"at most {case.limits.other_profile:.1%}")
    allowed = case.limits.other_profile
    return share_rule(rule, wrong, looked, allowed=allowed, least=20, what="probes answered differently", advice=advice)


def one_profile(case: Case) -> Finding:
    """Two users who ask the same are answered alike only now and then, where what they get is not what nobody gets."""
    answers: dict[tuple[str, int, int | None], dict[str | None, list[str]]] = {}
    for _, ask, shown in _comparable(case):
        if ask.kind != "stranger":
            answers.setdefault((ask.query, shown.generation, shown.release), {}).setdefault(ask.user_id, shown.ids)
    looked, wrong = 0, []
    for (query, _, _), by_user in answers.items():
        everybodys = by_user.pop(None, None)
        for (a, page_a), (b, page_b) in itertools.combinations(by_user.items(), 2):
            if everybodys is not None and not everybodys == page_a == page_b:
                looked += 1
                if page_a == page_b:
                    wrong.append(f"{a} and {b} asking {query!r} get the same page, and nobody another one")
    rule, allowed = "users are not all answered from one profile", case.limits.one_profile
    advice = "signed-in users get what one profile, not their own, would make of it"
    return share_rule(rule, wrong, looked, allowed=allowed, least=20, what="pairs of users get the same", advice=advice)


def _comparable(case: Case) -> Iterator[tuple[Seen, Ask, Shown]]:
    """Probes about profiles, not degraded, of users who did nothing in this load."""
    active = {s.actor for s in case.seen if s.actor}
    for seen, ask, shown in case.firsts:
        if ask.kind in ("user", "nobody", "stranger") and not shown.degraded and ask.user_id not in active:
            yield seen, ask, shown


def degraded(case: Case) -> Finding:
    wrong = [", ".join(s.shown.degraded) for s in case.measured if s.shown and s.shown.degraded]
    looked = sum(s.shown is not None for s in case.measured)
    advice = "parts of the path were left out to be in time: lower the rate, or raise the deadline"
    return share_rule(DEGRADED, wrong, looked, allowed=case.limits.degraded, spare=1, what="answers are", advice=advice)
