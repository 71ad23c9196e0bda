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
from datagen.users import Tastes, Users, audience_weight
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

    def draw_intent(self, user: int, interest: Floats, rng: np.random.Generator) -> int:
        """An intent of a user whose interest in the categories is `interest`."""
        cumulative = np.cumsum(interest * self._has_intents)
        category = int(np.searchsorted(cumulative, rng.random() * cumulative[-1], side="right"))
        rows = self._by_category[self._starts[category] : self._starts[category + 1]]
        weight = np.cumsum(self.intents.weight[rows] * audience_weight(self.users, user)[self.intents.audience[rows]])
        return int(rows[min(np.searchsorted(weight, rng.random() * weight[-1], side="right"), len(rows) - 1)])

    @cached_property
    def _has_intents(self) -> npt.NDArray[np.bool_]:
        return np.diff(self._starts) > 0

    @cached_property
    def demand(self) -> Floats:
        """float64[intents]: probability of each intent in the middle of the history, over active users."""
        middle = (self.settings.start_ms + self.settings.end_ms) // 2
        total = np.zeros(len(self.intents))
        audiences = self.intents.audience
        for user in np.flatnonzero(self.users.activity > 0)[:2000]:
            interest = self.tastes.interest(int(user), middle) * self._has_intents
            weight = self.intents.weight * audience_weight(self.users, int(user))[audiences]
            per_category = np.bincount(self.intents.category, weight, len(interest))
            share = np.divide(interest / interest.sum(), per_category, out=np.zeros_like(interest), where=per_category > 0)
            total += self.users.activity[user] * weight * share[self.intents.category]
        return np.asarray(total / total.sum())

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
