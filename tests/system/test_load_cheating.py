"""Servers that cheat on purpose: each way is found by a load over real HTTP, and named; an honest server passes."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from loadgen.run import Run
from tests.system.cheating_server import CHEATS
from tests.system.load_shop import broken, load, make_shop, server

NAMED = {
    "constant": "answers vary as the queries do",
    "user_cache": "answers of one user vary as the queries do",
    "drops": "every request is answered",
    "no_low_tier": "products of the low tier are found by title",
    "other_profile": "everybody is answered from their own profile",
    "repeats": "no product comes twice over pages",
    "old_generation": "products exist in the generation named",
    "no_filters": "constraints are met",
    "one_profile": "users are not all answered from one profile",
}
OPEN = ("--profile", "open", "--rate", "80", "--seconds", "6")


Outcome = tuple[int, str, Run]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """A load of each server, two at once: most of their time they wait."""
    folder = tmp_path_factory.mktemp("cheating")
    shop = make_shop(folder / "shops" / "little")

    def outcome(cheat: str) -> Outcome:
        with server("-m", "tests.system.cheating_server", str(shop.root), cheat) as url:
            patience = ("--timeout", "2") if cheat == "drops" else ()  # nobody else lets anybody wait on purpose
            return load(url, shop, folder / (cheat or "honest"), *OPEN, *patience)

    with ThreadPoolExecutor(2) as pool:
        return dict(zip(("", *CHEATS), pool.map(outcome, ("", *CHEATS)), strict=True))


def test_an_honest_server_is_valid_and_every_rule_about_answers_was_judged(outcomes: dict[str, Outcome]) -> None:
    code, said, run = outcomes[""]
    assert broken(run) == set(), said
    assert (code, run.verdict) == (0, "VALID")
    open_ = {f.rule for f in run.findings if f.state == "open"}
    assert open_ == {"answers are as good as when idle"}, "no world, no truth"
    assert "VALID" in said


@pytest.mark.parametrize("cheat", CHEATS)
def test_a_server_that_cheats_is_found_and_named(cheat: str, outcomes: dict[str, Outcome]) -> None:
    code, said, run = outcomes[cheat]
    assert NAMED[cheat] in broken(run), said
    assert code == 1
    assert f"broken: {NAMED[cheat]}" in said
