"""The rules about answers: what breaks each, and that answers of an honest system, recorded and replayed, never do."""

import gzip
import random
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from loadgen.asks import Ask, Product
from loadgen.judge import Case, judge
from loadgen.rules import Finding, Limits, enough, limit_rule, share_rule, verdict
from loadgen.seen import Seen, Shown
from loadgen.shelf import Shelf
from services.contracts import Filters, PriceRange

RECORDED = Path(__file__).with_name("loadgen_recorded.json.gz")
BRANDS, COLORS = ("Acmé", "umbra"), ("Red", "green", "blue")
PRODUCTS = {f"p{n}": Product(f"title {n}", 100 * n, n % 3, BRANDS[n % 2], (n % 4, 10 + n % 4), COLORS[n % 3]) for n in range(60)}
SHELF = Shelf(generations={1: PRODUCTS, 2: None})


def page(number: int, ids: Sequence[str], ask: Ask | None = None, **more: object) -> Seen:
    """A good answer to query `number`."""
    shown = Shown(list(ids), len(ids), "eq", 1, 1, terms=(ask or Ask(f"word{number}")).query.split())
    fields = {"request": "first", "at_s": float(number), "chain": number, "page": 1, "latency_ms": 5.0, "service_ms": 4.0}
    return Seen(**{**fields, "ask": ask or Ask(f"word{number}", f"u{number % 3}"), "shown": shown, **more})  # type: ignore[arg-type]


def ids(start: int, count: int = 10) -> list[str]:
    return [f"p{(start + n) % 60}" for n in range(count)]


def good(count: int = 60) -> list[Seen]:
    return [page(n, ids(n)) for n in range(count)]


def broken(seen: Sequence[Seen], shelf: Shelf = SHELF) -> dict[str, Finding]:
    return {f.rule: f for f in judge(Case(seen, shelf)) if f.state == "broken"}


def test_good_answers_break_nothing() -> None:
    assert broken(good()) == {}


def test_one_failure_in_sixty_may_be_and_one_in_a_hundred_may_not() -> None:
    failed = page(99, [], failure="status 503", status=503, shown=None)
    assert broken([*good(), failed]) == {}
    [finding] = broken([*good(400), *[failed] * 4]).values()
    assert finding.rule == "every request is answered"
    assert "status 503" in finding.examples[0]
    assert finding.advice


def test_a_product_that_the_generation_does_not_have_is_one_too_many() -> None:
    assert set(broken([*good(), page(70, ["p1", "made-up"])])) == {"products exist in the generation named"}


def test_a_generation_that_does_not_exist_is_found() -> None:
    gone = page(70, ["p1"])
    gone = msgspec.structs.replace(gone, shown=msgspec.structs.replace(gone.shown, generation=2))
    assert "products exist in the generation named" in broken([*good(), gone])


def test_another_generations_prices_are_found() -> None:
    old = page(70, ["p1", "p2"])
    old = msgspec.structs.replace(old, shown=msgspec.structs.replace(old.shown, prices=[100, 201]))
    [finding] = broken([*good(), old]).values()
    assert finding.rule == "summaries are those of the generation named"
    assert "p2 costs 201" in finding.examples[0]


@pytest.mark.parametrize(
    ("filters", "passes", "breaks"),
    [
        (Filters(price_cents=PriceRange(min=None, max=500)), "p5", "p6"),
        (Filters(price_cents=PriceRange(min=500)), "p5", "p4"),
        (Filters(brand=["ACME"]), "p4", "p5"),
        (Filters(category=[13]), "p3", "p4"),
        (Filters(category=[0, 1]), "p5", "p6"),
        (Filters(attributes={"color": ["red", "BLUE"]}), "p2", "p4"),
        (Filters(brand=["umbra"], attributes={"color": ["green"]}), "p1", "p4"),
    ],
)
def test_a_filter_that_is_not_kept_is_found(filters: Filters, passes: str, breaks: str) -> None:
    ask = Ask("cheap", filters=filters)
    assert broken([*good(), page(70, [passes], ask)]) == {}
    [finding] = broken([*good(), page(70, [passes, breaks], ask)]).values()
    assert finding.rule == "constraints are met"
    assert finding.examples[0].startswith(f"{breaks}: ")


def test_a_filter_that_leaves_nothing_of_what_passes_it_is_found() -> None:
    nothing = page(70, [], Ask("", filters=Filters(brand=["umbra"])))
    [finding] = broken([*good(), nothing]).values()
    assert finding.rule == "constraints are met"
    assert "nothing found" in finding.examples[0]
    assert broken([*good(), page(70, [], Ask("", filters=Filters(brand=["unheard of"])))]) == {}
    assert broken([*good(), page(70, [], Ask("words that none of them has", filters=Filters(brand=["umbra"])))]) == {}


def test_a_constant_is_found() -> None:
    assert "answers vary as the queries do" in broken([page(n, ids(0)) for n in range(60)])


def test_a_cache_by_user_is_found_though_neighbours_differ() -> None:
    found = broken([page(n, ids(n % 3 * 10)) for n in range(90)])
    assert "answers of one user vary as the queries do" in found
    assert "answers vary as the queries do" not in found


def test_equal_pages_of_queries_that_share_a_word_are_no_constant() -> None:
    assert broken([page(n, ids(0), Ask(f"shoe word{n}", "u1")) for n in range(60)]) == {}


def test_a_repeated_product_on_a_later_page_is_found() -> None:
    ask = Ask("shoe")
    pages = [page(70, ids(0), ask), page(70, ids(9), ask, request="next", page=2, at_s=71.0)]
    assert set(broken([*good(), *pages])) == {"no product comes twice over pages"}


def test_a_new_query_of_the_same_shopper_may_show_the_same_products() -> None:
    rows = [page(70, ids(0), Ask("shoe")), page(70, ids(5), Ask("shoe laces"), at_s=71.0)]
    assert broken([*good(), *rows]) == {}


def test_titles_that_do_not_find_their_product_are_found_when_they_are_many() -> None:
    def titles(missed: int) -> list[Seen]:
        return [page(100 + n, ids(n), Ask(f"title{n}", kind="title", wanted="p59" if n < missed else f"p{n}")) for n in range(40)]

    assert "products of the low tier are found by title" in broken([*good(), *titles(25)])
    assert broken([*good(), *titles(10)]) == {}


def profiles(answer_of: dict[str, int]) -> list[Seen]:
    """The same queries by u1, by nobody, by a stranger: idle and three times under load."""
    rows = []
    for time in range(4):
        for query in range(10):
            for who, kind in (("u1", "user"), (None, "nobody"), ("stranger-1", "stranger")):
                start = query + answer_of[kind if time else "idle " + kind]
                ask = Ask(f"q{query}", who, kind, probe=query)  # type: ignore[arg-type]
                rows.append(page(100 * time + query, ids(start), ask, idle=time == 0))
    return rows


HONEST = {"idle user": 3, "user": 3, "idle nobody": 0, "nobody": 0, "idle stranger": 0, "stranger": 0}


def test_a_user_who_gets_another_answer_than_when_idle_is_found() -> None:
    rule = "everybody is answered from their own profile"
    assert broken(profiles(HONEST)) == {}
    assert rule in broken(profiles({**HONEST, "user": 7}))
    assert rule in broken(profiles({**HONEST, "stranger": 3})), "a stranger has somebody's profile"


def test_one_profile_for_all_users_is_found() -> None:
    def asked(same: bool) -> list[Seen]:
        """25 queries, each by two users and by nobody."""
        starts = {None: 0, "u1": 3, "u2": 3 if same else 6}
        return [
            page(n, ids(n + start), Ask(f"q{n}", who, "user" if who else "nobody", probe=n))
            for n in range(25)
            for who, start in starts.items()
        ]

    assert broken(asked(same=False)) == {}
    assert set(broken(asked(same=True))) == {"users are not all answered from one profile"}


def test_a_user_who_did_something_may_get_another_answer() -> None:
    act = Seen(request="events", at_s=0.5, chain=1, page=1, latency_ms=1, service_ms=1, status=202, actor="u1")
    assert broken([act, *profiles({**HONEST, "user": 7})]) == {}


def test_too_many_degraded_answers_are_found_and_warm_up_is_not_judged() -> None:
    late = [msgspec.structs.replace(s, shown=msgspec.structs.replace(s.shown, degraded=["preferences"])) for s in good(10)]
    assert set(broken([*good(), *late])) == {"answers are not degraded"}
    case = Case([*late, *(msgspec.structs.replace(s, at_s=s.at_s + 100) for s in good())], SHELF, warm_up_s=50)
    assert verdict(judge(case)) == "VALID"


# ---- the arithmetic of rules ----


def test_a_rule_with_too_little_to_look_at_is_open_and_breaks_nothing() -> None:
    finding = share_rule("r", ["x"] * 3, 5, allowed=0.1, least=20, what="are", advice="a")
    assert finding.state == "open"
    assert verdict([finding]) == "VALID"


def test_a_rule_that_allows_nothing_needs_only_one_case() -> None:
    assert share_rule("r", ["x"], 1, what="are", advice="a").state == "broken"


@pytest.mark.parametrize(("value", "state"), [(None, "open"), (3.0, "kept"), (10.0, "kept"), (10.1, "broken")])
def test_a_limit_is_kept_up_to_its_value(value: float | None, state: str) -> None:
    finding = limit_rule("r", value, 10.0, unit="ms", advice="a")
    assert finding.state == state
    assert bool(finding.advice) == (state == "broken")


def test_a_percentile_needs_enough_requests() -> None:
    assert enough(50, 0.99, None).state == "broken"
    assert "--claim 0.9" in enough(50, 0.99, None).advice
    assert enough(5000, 0.99, (8.0, 12.0)).state == "kept"


# ---- recorded answers of the real system ----


def recorded() -> tuple[list[Seen], Shelf]:
    """Answers of the demo world (generated products), recorded by a load, and the part of the shelf that they name."""
    data = msgspec.json.decode(gzip.decompress(RECORDED.read_bytes()))
    seen = msgspec.convert(data["seen"], list[Seen])
    shelf = {int(n): {id_: Product("", *known) for id_, *known in rows} for n, rows in data["shelf"].items()}
    return seen, Shelf(generations=dict(shelf))


def replay(seen: Sequence[Seen], seed: int) -> list[Seen]:
    """As another load might have seen it: chains drawn with replacement and renumbered, at other moments."""
    rng = random.Random(seed)
    chains: dict[int, list[Seen]] = {}
    for s in seen:
        if not s.idle:
            chains.setdefault(s.chain, []).append(s)
    found = [s for s in seen if s.idle]
    for number in range(len(chains)):
        shift = rng.uniform(0, 30)
        found += [msgspec.structs.replace(s, chain=number, at_s=s.at_s + shift) for s in rng.choice(list(chains.values()))]
    return found


def test_an_honest_system_is_valid_in_a_hundred_replays_of_its_recorded_answers() -> None:
    seen, shelf = recorded()
    assert len(seen) > 500
    for seed in range(100):
        case = Case(replay(seen, seed), shelf, Limits())
        assert [f for f in judge(case) if f.state == "broken"] == [], f"seed {seed}"


def test_the_recorded_answers_leave_no_rule_open() -> None:
    seen, shelf = recorded()
    for name in ("brand", "category", "price_cents", "attributes"):
        assert any(s.ask and s.ask.filters and getattr(s.ask.filters, name) for s in seen), name
    assert [f.rule for f in judge(Case(seen, shelf)) if f.state == "open"] == []
