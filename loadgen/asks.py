"""What is asked in a load: a pool of queries that is drawn before it starts, and probes whose right answer is known. Pure and seeded.

Probes are ordinary searches mixed into the load, so that no server can tell them from the rest: exact titles of products of the low tier
and of products that the newest generation brought, the same query by different users, by nobody and by a user whom nobody knows, and
filters. Each is also asked once before the load, when the system is idle; the verdict compares (loadgen/rules.py).
"""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from msgspec import Struct

from services.contracts import Filters, PriceRange

Kind = Literal["plain", "misspelt", "rare", "empty", "title", "user", "nobody", "stranger", "filtered"]
"""plain, misspelt, rare (a title of the low tier), empty: the load's own. The others are probes."""


class Ask(Struct, frozen=True, omit_defaults=True):
    """One query of one user. `wanted`: the product that an exact title has to find. `probe` is its number, -1 for the load's own."""

    query: str
    user_id: str | None = None
    kind: Kind = "plain"
    intent: int = -1
    wanted: str | None = None
    filters: Filters | None = None
    probe: int = -1


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the load's queries; `misspelt` None: as the shoppers of the shop misspell."""

    misspelt: float | None = None
    rare: float = 0.05
    empty: float = 0.02
    probes: float = 0.15


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about the products of a shop: (id, title) of the low tier, of what the newest generation brought, and prices."""

    low: Sequence[tuple[str, str]]
    new: Sequence[tuple[str, str]]
    prices: Sequence[int]


@dataclass(frozen=True, slots=True)
class Pool:
    """Every chain's queries, by its number and how many it asked before."""

    asks: Sequence[Ask]
    probes: Sequence[Ask]
    share: float

    def ask(self, chain: int, number: int) -> Ask:
        """Query `number` (from 0) of a chain. Further queries of a chain are of its first user; of whoever probes, of the load."""
        if number == 0:
            return self._first(chain)
        first, further = self._first(chain), self.asks[(chain + number * 7919) % len(self.asks)]
        return Ask(further.query, first.user_id, further.kind, further.intent, further.wanted, further.filters)

    def probe(self, chain: int) -> Ask | None:
        """The probe with which a chain begins, if it does: evenly spread, the same for every number of processes."""
        turn = int((chain + 1) * self.share)
        return self.probes[(turn - 1) % len(self.probes)] if self.probes and turn > int(chain * self.share) else None

    def _first(self, chain: int) -> Ask:
        return self.probe(chain) or self.asks[chain % len(self.asks)]


def mixed(plain: Callable[[int], Ask], known: Known, mix: Mix, size: int, seed: int) -> list[Ask]:
    """`size` queries: those of `plain` with the shares of `mix` in the place of some."""
    return [instead(plain(number), known, mix, random.Random(f"{seed}:ask:{number}")) for number in range(size)]


def instead(ask: Ask, known: Known, mix: Mix, rng: random.Random) -> Ask:
    """The ask, or what the mix puts in its place."""
    u = rng.random()
    if u < mix.empty:
        return Ask("", ask.user_id, "empty")
    if u < mix.empty + mix.rare and known.low:
        product_id, title = rng.choice(known.low)
        return Ask(title, ask.user_id, "rare", wanted=product_id)
    if mix.misspelt is not None and rng.random() < mix.misspelt:
        return Ask(misspelt(ask.query, rng), ask.user_id, "misspelt", ask.intent)
    return ask


def misspelt(query: str, rng: random.Random) -> str:
    """Two neighbouring letters of the longest word change places (not its first)."""
    words = query.split()
    long = max(range(len(words)), key=lambda i: len(words[i]), default=-1)
    if long < 0 or len(words[long]) < 4:
        return query
    word, at = words[long], rng.randrange(1, len(words[long]) - 1)
    words[long] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return " ".join(words)


def probes(plain: Callable[[int], Ask], known: Known, seed: int, each: int = 40) -> list[Ask]:
    """`each` of every kind, in a fixed order that mixes them."""
    rng = random.Random(f"{seed}:probes")
    said = [a for a in (plain(-1 - n) for n in range(6 * each)) if a.user_id and a.query][:each]
    titles = rng.sample(known.low, min(each, len(known.low))) + rng.sample(known.new, min(each // 2, len(known.new)))
    found: list[Ask] = [Ask(title, None, "title", wanted=product_id) for product_id, title in titles]
    for number, ask in enumerate(said):
        found += [Ask(ask.query, ask.user_id, "user", ask.intent), Ask(ask.query, None, "nobody", ask.intent)]
        found += [Ask(ask.query, f"stranger-{seed}-{number}", "stranger", ask.intent)]
        found += [Ask(ask.query, said[number - 1].user_id, "user", ask.intent)]
        found += [Ask("", said[number - 1].user_id, "user")] if number % 2 else []
    for ask in said if known.prices else []:
        low, high = sorted(rng.sample(known.prices, 2)) if len(known.prices) > 1 else (0, known.prices[0])
        found.append(Ask(ask.query, None, "filtered", ask.intent, filters=Filters(price_cents=PriceRange(min=low, max=high))))
    rng.shuffle(found)
    return [Ask(a.query, a.user_id, a.kind, a.intent, a.wanted, a.filters, probe) for probe, a in enumerate(found)]
