"""The users of a world: who they are, and what they like, which is planted, shared by groups and drifts. Any range of ids is made alone."""

from dataclasses import dataclass, fields
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from datagen import draws
from datagen.draws import Floats
from datagen.settings import DAY_MS, WorldSettings
from datagen.words import FEMALE, KIDS, MALE, UNISEX, Vocabulary
from services.catalogue import PRICE_LEVELS

FACTORS = 8
"""Dimensions of taste."""
WOMAN, MAN = 0, 1

GROUP, DEMOGRAPHIC, OWN = 0.65, 0.45, 0.61
"""Loadings of a taste on group, demography and the person; their squares sum to 1."""
SHARED, IDIOSYNCRATIC = 0.8, 0.6
"""Loadings of a liking (for a brand, say) on taste and on the person's own whim; squares sum to 1."""


@dataclass(frozen=True, slots=True)
class Users:
    """Columns of n users."""

    sex: npt.NDArray[np.int8]  # WOMAN or MAN
    age: npt.NDArray[np.int16]  # years
    purchasing_power: Floats  # standard normal
    group: npt.NDArray[np.int32]
    activity: Floats  # relative number of sessions; 0 for users who are never in the history
    first_ms: npt.NDArray[np.int64]  # first visit
    price_target: Floats  # price level that the user likes best, 0 to PRICE_LEVELS - 1 and a little beyond
    taste: Floats  # [n, FACTORS], at the start
    towards: Floats  # [n, FACTORS], what it turns towards

    def __len__(self) -> int:
        return len(self.sex)

    def table(self) -> pa.Table:
        """One column per array; `from_table` reads it back."""
        return pa.table({f.name: list(v) if (v := getattr(self, f.name)).ndim == 2 else v for f in fields(self)})

    @staticmethod
    def from_table(table: pa.Table) -> "Users":
        columns = {f.name: table[f.name].to_numpy() for f in fields(Users)}
        return Users(**columns | {n: np.stack(columns[n]) for n in ("taste", "towards")})


def make(settings: WorldSettings, ids: npt.NDArray[np.int64]) -> Users:
    """The users with these ids."""
    seed = settings.seed

    def u(column: str, index: npt.ArrayLike = 0) -> Floats:
        return draws.uniform(seed, f"user/{column}", ids, index)

    def normal(column: str) -> Floats:
        return draws.normal(seed, f"user/{column}", ids)

    sex = (u("sex") < 0.47).astype(np.int8)
    age = (18 + 62 * u("age") ** 1.3).astype(np.int16)
    group = (u("group") * settings.groups).astype(np.int32)
    prime = np.clip((age - 18) / 30.0, 0, 1) - 0.6  # incomes rise until about fifty
    power = (0.5 * prime / 0.35 + 0.87 * normal("purchasing power")).clip(-3, 3)
    active = np.exp(0.9 * normal("activity")) * (u("cold") >= settings.cold_users)
    late = u("late") < settings.late_users
    return Users(
        sex=sex,
        age=age,
        purchasing_power=power,
        group=group,
        activity=active,
        first_ms=np.where(late, settings.start_ms + u("first") * settings.days * DAY_MS, settings.start_ms).astype(np.int64),
        price_target=2.0 + 0.9 * power + 0.5 * normal("price"),
        taste=_tastes(seed, "taste", ids, sex, age, group),
        towards=_tastes(seed, "towards", ids, sex, age, group),
    )


def _tastes(
    seed: int, name: str, ids: npt.NDArray[np.int64], sex: npt.NDArray[np.int8], age: npt.NDArray[np.int16], group: npt.NDArray[np.int32]
) -> Floats:
    factors = np.arange(FACTORS)
    shared = draws.normal(seed, f"group/{name}", group[:, None], factors)
    by_sex, by_age = draws.normal(seed, "demography", np.array([[0], [1]]), factors)
    demographic = (np.where(sex == MAN, 1.0, -1.0)[:, None] * by_sex + ((age - 42) / 17.0)[:, None] * by_age) / np.sqrt(2)
    own = draws.normal(seed, f"user/{name}", ids[:, None], factors)
    return np.asarray(GROUP * shared + DEMOGRAPHIC * demographic + OWN * own)


@dataclass(frozen=True, slots=True)
class Liking:
    """What one user likes at one time: standard normal over the population; higher is more."""

    brand: Floats  # per brand code
    color: Floats
    style: Floats
    price: Floats  # per price level


class Tastes:
    """What users like and want, by code of the vocabulary. Pure functions of settings and users."""

    def __init__(self, settings: WorldSettings, words: Vocabulary, users: Users) -> None:
        self._settings, self._users = settings, users
        self._sizes = {"brand": len(words.brands), "color": len(words.colors), "style": len(words.styles)}
        self._vectors = {name: _directions(settings.seed, name, size) for name, size in self._sizes.items()}
        self._departments = np.array([leaf.department for leaf in words.leaves])
        self._count = len(words.departments)
        self._feminine = np.array([_lean(leaf.audience) for leaf in words.leaves])
        self._for_kids = np.array([KIDS in leaf.audience for leaf in words.leaves])
        self._leaf_weight = np.log([leaf.weight for leaf in words.leaves])

    def liking(self, user: int, ts_ms: int) -> Liking:
        """Likings of one user at a time, of every code."""
        parts = {name: self.of(name, user, np.arange(size), ts_ms) for name, size in self._sizes.items()}
        return Liking(**parts, price=self.price(user, np.arange(PRICE_LEVELS)))

    def of(self, name: str, users: npt.ArrayLike, codes: npt.ArrayLike, ts_ms: npt.ArrayLike) -> Floats:
        """float64 per (user, code, time), which broadcast: how much users like a brand, colour or style; 0 for code -1.

        A taste turns by `drift` radians in the course of the history, and on after it.
        """
        user, code = np.asarray(users, np.intp), np.asarray(codes, np.intp)
        angle = (self._settings.drift * (np.asarray(ts_ms, np.float64) - self._settings.start_ms) / (self._settings.days * DAY_MS))[
            ..., None
        ]
        taste = np.cos(angle) * self._users.taste[user] + np.sin(angle) * self._users.towards[user]
        known = np.maximum(code, 0)
        shared = np.einsum("...f,...f->...", self._vectors[name][known], taste)
        own = draws.normal(self._settings.seed, f"user/{name}", user, known)
        return np.asarray(np.where(code >= 0, SHARED * shared + IDIOSYNCRATIC * own, 0.0))

    def price(self, users: npt.ArrayLike, levels: npt.ArrayLike) -> Floats:
        """float64 per (user, price level), which broadcast."""
        distance = (np.asarray(levels, np.float64) - self._users.price_target[np.asarray(users, np.intp)]) / 1.5
        return np.asarray((1.1 - distance**2).clip(-2.5, None))

    def interest(self, users: npt.ArrayLike, ts_ms: npt.ArrayLike) -> Floats:
        """float64[..., leaves] per (user, time): relative demand for the categories."""
        seed, table, leaves = self._settings.seed, self._users, np.arange(len(self._departments))
        user = np.asarray(users, np.intp)[..., None]
        passed = (np.asarray(ts_ms, np.float64)[..., None] - self._settings.start_ms) / (self._settings.days * DAY_MS)
        log = (
            self._leaf_weight
            + 0.8 * draws.normal(seed, "group/department", table.group[user], np.arange(self._count))[..., self._departments]
            + 0.8 * draws.normal(seed, "user/department", user, np.arange(self._count))[..., self._departments]
            + 0.8 * draws.normal(seed, "user/leaf", user, leaves)
            + np.where(table.sex[user] == WOMAN, 0.8, -0.8) * self._feminine
            + np.where((table.age[user] >= 25) & (table.age[user] <= 45), 0.5, -0.5) * self._for_kids
            + self._trend * passed
        )
        return np.asarray(np.exp(log))

    @cached_property
    def _trend(self) -> Floats:
        return self._settings.trend * draws.normal(self._settings.seed, "leaf/trend", np.arange(len(self._departments)))


def audience_profiles_of(table: Users, users: npt.ArrayLike) -> npt.NDArray[np.intp]:
    """intp[n]: which row of `AUDIENCE_WEIGHTS` each of the users has."""
    row = np.asarray(users, np.intp)
    parents = (table.age[row] >= 25) & (table.age[row] <= 45)
    return np.where(table.sex[row] == WOMAN, 0, 2) + parents.astype(np.intp)


def _audience_weights() -> Floats:
    weights = np.ones((4, UNISEX + 2))
    for row, own, parent in ((0, FEMALE, False), (1, FEMALE, True), (2, MALE, False), (3, MALE, True)):
        weights[row, [FEMALE, MALE]] = 0.12  # presents
        weights[row, own] = 1.0
        weights[row, KIDS] = 1.0 if parent else 0.3
    return weights


AUDIENCE_WEIGHTS = _audience_weights()
"""float64[profiles, audiences + 1]: how willing a user is to look for things of each audience (last: of none)."""


def _directions(seed: int, name: str, count: int) -> Floats:
    vectors = draws.normal(seed, f"direction/{name}", np.arange(count)[:, None], np.arange(FACTORS))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _lean(audience: tuple[int, ...]) -> float:
    return float(FEMALE in audience) - float(MALE in audience)
