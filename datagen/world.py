"""A world that was made, opened: users, intents, wording and truth. `loadgen` may import it; services and trainers may not."""

from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from datagen import settings as world_settings
from datagen.draws import Floats
from datagen.intents import Intents
from datagen.products import Products, product_id
from datagen.settings import WorldSettings
from datagen.users import AUDIENCE_WEIGHTS, Tastes, Users, audience_profiles_of
from datagen.wording import Speaker, Wording
from datagen.words import Vocabulary, vocabulary
from services.catalogue import price_levels
from services.errors import ConfigurationError
from services.shop import Shop

SETTINGS_FILE, PRODUCTS_FILE, USERS_FILE, INTENTS_FILE, QUERIES_FILE = (
    "settings.toml",
    "products.parquet",
    "users.parquet",
    "intents.parquet",
    "queries.parquet",
)

TAIL = 0.3
"""Share of what is asked that counts as the long tail."""


class World:
    """Everything about a world. `items`, `users`, `intents` are tables; rows are product, user and intent numbers."""

    def __init__(self, settings: WorldSettings, words: Vocabulary, items: Products, users: Users, intents: Intents) -> None:
        self.settings, self.words = settings, words
        self.items, self.users, self.intents = items, users, intents
        self.tastes = Tastes(settings, words, users)
        self.speaker = Speaker(settings, words, items, intents)
        self.price_level = price_levels(items.price_cents, items.category)
        self.appeal: Floats = (items.appeal - items.appeal.mean()) / max(float(items.appeal.std()), 1e-9)
        families = np.array([leaf.family for leaf in words.leaves])
        self.near: npt.NDArray[np.bool_] = (families[:, None] == families[None, :]) & (families != "")[:, None]
        """bool[leaves, leaves]: categories that can stand in for each other."""
        self._by_category = np.argsort(intents.category, kind="stable")
        self._starts = np.searchsorted(intents.category[self._by_category], np.arange(len(words.leaves) + 1))

    def user_id(self, user: int) -> str:
        """The shop's id of a user."""
        return f"u{user:07d}"

    def user_no(self, user_id: str) -> int:
        """-1 for a user that the world does not have."""
        number = int(user_id[1:]) if user_id[:1] == "u" and user_id[1:].isdigit() else -1
        return number if number < len(self.users) else -1

    def product_id(self, product_no: int) -> str:
        return product_id(product_no)

    def draw_user(self, u: float) -> int:
        """A visitor of today, from a uniform number: the more active the likelier; who was never here before is as likely as the average."""
        return int(min(np.searchsorted(self._visitors, u * self._visitors[-1], side="right"), len(self.users) - 1))

    @cached_property
    def _visitors(self) -> Floats:
        active = self.users.activity > 0
        usual = float(self.users.activity[active].mean()) if active.any() else 1.0
        return np.cumsum(np.where(active, self.users.activity, usual))

    def draw_popular(self, u: float) -> int:
        """A product as likely as it is popular, from a uniform number."""
        return int(min(np.searchsorted(self._popular, u * self._popular[-1], side="right"), len(self.items) - 1))

    @cached_property
    def _popular(self) -> Floats:
        return np.cumsum(np.exp(self.items.appeal))

    def product_no(self, product_id: str) -> int:
        """-1 for a product that the world does not have."""
        number = int(product_id[1:]) if product_id[:1] == "p" and product_id[1:].isdigit() else -1
        return number if number < len(self.items) else -1

    def draw_intents(self, users: npt.ArrayLike, interest: Floats, u: Floats, v: Floats) -> npt.NDArray[np.intp]:
        """intp[n]: an intent for each of n users whose interest in the categories is `interest` float64[n, leaves]; u, v uniform [n]."""
        cumulative = np.cumsum(interest * self._has_intents, axis=1)
        category = np.minimum((cumulative <= (u * cumulative[:, -1])[:, None]).sum(axis=1), len(self._starts) - 2)
        profiles, found = audience_profiles_of(self.users, users), np.zeros(len(u), np.intp)
        for profile in np.unique(profiles):
            rows = np.flatnonzero(profiles == profile)
            weights = self._intent_weights[profile]
            low, high = weights[self._starts[category[rows]]], weights[self._starts[category[rows] + 1]]
            place = np.searchsorted(weights, low + v[rows] * (high - low), side="right") - 1
            found[rows] = self._by_category[place.clip(self._starts[category[rows]], self._starts[category[rows] + 1] - 1)]
        return found

    @cached_property
    def _intent_weights(self) -> Floats:
        """float64[profiles, intents + 1]: cumulative weights of the intents, sorted by category, for each kind of user."""
        weight = self.intents.weight[self._by_category] * AUDIENCE_WEIGHTS[:, self.intents.audience[self._by_category]]
        return np.concatenate([np.zeros((len(weight), 1)), np.cumsum(weight, axis=1)], axis=1)

    @cached_property
    def _has_intents(self) -> npt.NDArray[np.bool_]:
        return np.diff(self._starts) > 0

    @cached_property
    def demand(self) -> Floats:
        """float64[intents]: probability of each intent in the middle of the history, over (up to 2,000) active users; all, where none is."""
        middle = (self.settings.start_ms + self.settings.end_ms) // 2
        activity = self.users.activity if self.users.activity.any() else np.ones(len(self.users))
        active = np.flatnonzero(activity > 0)[:2000]
        interest = self.tastes.interest(active, middle) * self._has_intents
        asked = activity[active, None] * interest / interest.sum(axis=1, keepdims=True)
        profiles, audience, category = audience_profiles_of(self.users, active), self.intents.audience, self.intents.category
        total = np.zeros(len(self.intents))
        for profile, weights in enumerate(AUDIENCE_WEIGHTS):
            weight = self.intents.weight * weights[audience]
            per_category = np.bincount(category, weight, interest.shape[1])
            share = asked[profiles == profile].sum(axis=0) / np.where(per_category > 0, per_category, 1.0)
            total += weight * share[category]
        return np.asarray(total / total.sum())

    @cached_property
    def in_tail(self) -> npt.NDArray[np.bool_]:
        """bool[intents]: the rarest intents, which together are TAIL of what is asked."""
        order = np.argsort(self.demand, kind="stable")
        tail = np.zeros(len(self.intents), np.bool_)
        tail[order[np.cumsum(self.demand[order]) <= TAIL]] = True
        return tail

    def category_distribution(self, intent: int, wording: Wording) -> dict[int, float]:
        """The true probability of each leaf, given what was said (right spelling): phrase and constraints, over all intents that are said so."""
        if wording.phrase == "":
            return {int(self.intents.category[intent]): 1.0} if self.intents.brand[intent] < 0 else self._share(self._same(intent), None)
        return self._share(self._same(intent), (wording.form, wording.phrase))

    def _same(self, intent: int) -> npt.NDArray[np.intp]:
        names = ("kind", "audience", "brand", "color", "material", "feature", "spec", "size", "cap")
        equal = np.ones(len(self.intents), np.bool_)
        for name in names:
            column = getattr(self.intents, name)
            equal &= column == column[intent]
        return np.flatnonzero(equal)

    def _share(self, rows: npt.NDArray[np.intp], said: tuple[int, str] | None) -> dict[int, float]:
        mass = np.bincount(self.intents.category[rows], self.demand[rows], len(self.words.leaves))
        if said is not None:
            mass = mass * np.array([self._chances[leaf].get(said, 0.0) for leaf in range(len(mass))])
        return {int(leaf): float(mass[leaf] / mass.sum()) for leaf in np.flatnonzero(mass)}

    @cached_property
    def _chances(self) -> list[dict[tuple[int, str], float]]:
        return [self.speaker.phrase_chances(leaf) for leaf in range(len(self.words.leaves))]


def open_world(root: Path) -> World:
    """The world of the shop at `root`. Raises ConfigurationError for a shop without one."""
    shop = Shop(root)
    if not (shop.world / SETTINGS_FILE).is_file():
        raise ConfigurationError(f"shop {shop.name!r} has no world, only generated shops have one: make one with `aisle data`")
    return open_folder(shop.world)


def open_folder(folder: Path) -> World:
    """The world in a folder. Raises ConfigurationError when its files are not complete."""
    try:
        settings = world_settings.load(folder / SETTINGS_FILE)
        items = Products.from_table(pq.read_table(folder / PRODUCTS_FILE))
        users = Users.from_table(pq.read_table(folder / USERS_FILE))
        intents = Intents.from_table(pq.read_table(folder / INTENTS_FILE))
    except (OSError, KeyError, pa.ArrowException) as error:
        raise ConfigurationError(f"the world in {folder} is damaged ({error}); remove it and make it again") from None
    return World(settings, vocabulary(), items, users, intents)
