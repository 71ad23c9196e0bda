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

from services.catalogue import COLOR
from services.contracts import Filters, PriceRange
from services.text import fold

Kind = Literal["plain", "misspelt", "rare", "empty", "title", "user", "nobody", "stranger", "filtered"]
"""plain, misspelt, rare (a title of the low tier), empty: the load's own. The others are probes."""


class Ask(Struct, frozen=True, omit_defaults=True):
    """One query of one user. `wanted`: the product that an exact title has to find. `probe` is its number, -1 for the load's own; `right`:
    the right spelling of a query that a shopper of the world misspelt."""

    query: str
    user_id: str | None = None
    kind: Kind = "plain"
    intent: int = -1
    wanted: str | None = None
    filters: Filters | None = None
    probe: int = -1
    right: str | None = None


@dataclass(frozen=True, slots=True)
class Product:
    """What an answer about a product can be judged by. `categories`: its own and those above it; "" and (): not known."""

    title: str
    price_cents: int
    tier: int  # index into catalogue.TIERS
    brand: str = ""
    categories: tuple[int, ...] = ()
    color: str = ""


@dataclass(frozen=True, slots=True)
class Mix:
    """Shares of the load's queries; `misspelt` None: as the shoppers of the shop misspell."""

    misspelt: float | None = None
    rare: float = 0.05
    empty: float = 0.02
    probes: float = 0.15


@dataclass(frozen=True, slots=True)
class Known:
    """What is known about the products of a shop: (id, title) of the low tier and of what the newest generation brought, and products."""

    low: Sequence[tuple[str, str]]
    new: Sequence[tuple[str, str]]
    products: Sequence[Product]


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
        return Ask(further.query, first.user_id, further.kind, further.intent, further.wanted)

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
    if mix.misspelt is None:
        return ask
    right = ask.right or ask.query
    if 0 <= u - mix.empty - mix.rare < mix.misspelt:
        return Ask(misspelt(right, rng), ask.user_id, "misspelt", ask.intent)
    return Ask(right, ask.user_id, ask.kind, ask.intent)


def misspelt(query: str, rng: random.Random) -> str:
    """Two different neighbouring letters of the longest word change places (not its first); a query without such letters stays."""
    words = query.split()
    for word in sorted(words, key=len, reverse=True):
        places = [at for at in range(1, len(word) - 1) if word[at] != word[at + 1]]
        if places:
            at = rng.choice(places)
            words[words.index(word)] = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
            break
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
    for number, ask in enumerate(said if known.products else []):
        filters = as_of(rng.choice(known.products), number % KINDS, rng.choice(known.products).price_cents)
        found.append(Ask(ask.query if number // KINDS % 2 else "", None, "filtered", ask.intent, filters=filters))
    rng.shuffle(found)
    return [Ask(a.query, a.user_id, a.kind, a.intent, a.wanted, a.filters, probe) for probe, a in enumerate(found)]


KINDS = 5
"""Ways to filter: by price, brand, category, colour, and by all of them."""


def as_of(product: Product, kind: int, price_cents: int) -> Filters:
    """Filters that the product passes: by price (up or down to another one), and as `kind` says by what else is known of it."""
    low, high = sorted((product.price_cents, price_cents))
    everything = kind == KINDS - 1
    brand = [product.brand] if product.brand and (everything or kind == 1) else None
    category = [product.categories[-1 if everything else 0]] if product.categories and (everything or kind == 2) else None
    attributes = {COLOR: [product.color]} if product.color and (everything or kind == 3) else None
    price = PriceRange(min=low, max=high) if everything or not (brand or category or attributes) else None
    return Filters(brand=brand, category=category, price_cents=price, attributes=attributes)


def breaks(product: Product, filters: Filters) -> str | None:
    """The filter that the product does not pass, as words; brands and colours compare folded, as the shop does it. None: it passes all."""
    price, of_color = filters.price_cents, (filters.attributes or {}).get(COLOR)
    if price and not (price.min or 0) <= product.price_cents <= (price.max if price.max is not None else product.price_cents):
        return f"price {product.price_cents}, asked for {price.min} to {price.max} cents"
    if filters.brand and fold(product.brand) not in map(fold, filters.brand):
        return f"brand {product.brand!r}, asked for {filters.brand}"
    if filters.category and set(filters.category).isdisjoint(product.categories):
        return f"category {list(product.categories)}, asked for {filters.category}"
    if of_color and fold(product.color) not in map(fold, of_color):
        return f"{COLOR} {product.color!r}, asked for {of_color}"
    return None
