"""The settings of a world: every knob with default, range, unit and the reason for its default. Same settings, same bytes."""

import hashlib
import math
import re
import tomllib
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_type_hints

import msgspec
from msgspec import Meta, Struct

from services.errors import ConfigurationError

FORMAT = "world-3"
"""Changes whenever the same settings would give another world."""

DAY_MS = 86_400_000
PAGES_A_USER_AND_DAY = 20
"""At most, on average: nobody visits a shop much oftener (datagen.sessions.MAX_VISITS), so there would be fewer than asked for."""


def knob(help_: str, unit: str, reason: str, range_: str = "", **limits: Any) -> Meta:
    """The annotation of one knob. `range_`: where `limits`, or the choices of the type, do not say it."""
    return Meta(description=help_, extra={"unit": unit, "reason": reason, "range": range_}, **limits)


class WorldSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One world. `docs/world.md` has the formulas in which the knobs stand."""

    seed: Annotated[int, knob("everything random follows from it", "number", "any", ge=0, le=2**31)] = 1
    products: Annotated[int, knob("products", "products", "large enough for every leaf category to fill a page", ge=200, le=10**7)] = 10_000
    users: Annotated[int, knob("users", "users", "a demo that is made in a minute", ge=10, le=10**7)] = 2_000
    days: Annotated[int, knob("length of the history", "days", "two months: a training period and a week to test on", ge=2, le=730)] = 60
    end: Annotated[
        str,
        knob(
            "moment at which the history ends", "UTC", "fixed, so that a world is the same whenever it is made", "from 2000-01-01T00:00:00Z"
        ),
    ] = "2026-11-01T00:00:00Z"
    pages: Annotated[int, knob("result pages in the history, about", "pages", "20 for a user on average", ge=100, le=10**9)] = 40_000
    page_size: Annotated[int, knob("products on a page", "products", "the API's default", ge=1, le=100)] = 10

    new_products: Annotated[
        float, knob("share of products that appear during the history", "share", "a shop renews a few per cent a month", ge=0, le=1)
    ] = 0.1
    appeal_exponent: Annotated[
        float,
        knob(
            "s of the popularity law: product of rank r is wanted like r^-s",
            "exponent",
            "books at Amazon: sales ~ rank^-0.87 (Brynjolfsson, Hu, Smith, Management Science 2003)",
            ge=0,
            le=2,
        ),
    ] = 0.8
    appeal_quality: Annotated[
        float,
        knob(
            "how much log popularity follows quality",
            "log",
            "0.2 against 0.8: popularity says little of quality, so it misleads",
            ge=0,
            le=2,
        ),
    ] = 0.2
    intent_exponent: Annotated[
        float,
        knob(
            "s of the law of intents",
            "exponent",
            "queries follow a Zipf law (Xie and O'Hallaron, INFOCOM 2002); a little flatter than 1 within a category",
            ge=0,
            le=2,
        ),
    ] = 0.85
    intents: Annotated[
        float, knob("intents per product", "1/product", "head intents repeat, the tail is asked once or twice", gt=0, le=10)
    ] = 0.4

    preference_strength: Annotated[
        float, knob("factor on all that depends on the user", "factor", "1: a third of explained utility on a page", ge=0, le=4)
    ] = 1.0
    hidden_strength: Annotated[
        float,
        knob("factor on what no feature can see", "factor", "1: a fifth on top of what is explained, so nobody can be perfect", ge=0, le=4),
    ] = 1.0
    groups: Annotated[
        int, knob("groups of users with a taste in common", "groups", "more than a model sees at once, few enough to learn", ge=1, le=1000)
    ] = 12
    drift: Annotated[
        float, knob("how far a taste turns during the history", "radians", "0.4: the correlation of then and now is 0.92", ge=0, le=3.2)
    ] = 0.4
    trend: Annotated[
        float, knob("standard deviation of a category's change of demand", "log", "0.3: some categories gain or lose a third", ge=0, le=2)
    ] = 0.3
    new_words: Annotated[
        float,
        knob(
            "share of shoppers' own words that come into use during the history",
            "share",
            "fashion and technology rename things",
            ge=0,
            le=1,
        ),
    ] = 0.1
    cold_users: Annotated[
        float, knob("share of users who are never in the history", "share", "every shop has first visits", ge=0, le=1)
    ] = 0.05
    late_users: Annotated[
        float, knob("share of users who come during the history", "share", "a third of the customers of two months are new", ge=0, le=1)
    ] = 0.3
    anonymous: Annotated[float, knob("share of sessions without a user id", "share", "people who are not signed in", ge=0, le=1)] = 0.1

    typo_rate: Annotated[
        float,
        knob(
            "share of queries with a misspelling",
            "share",
            "more than 10 % of the queries of a search engine (Cucerzan and Brill, EMNLP 2004)",
            ge=0,
            le=1,
        ),
    ] = 0.1
    synonym_rate: Annotated[
        float,
        knob(
            "share of nouns said in words the catalogue does not use",
            "share",
            "people seldom choose the same word for a thing (Furnas et al., CACM 1987)",
            ge=0,
            le=1,
        ),
    ] = 0.15
    ambiguous_rate: Annotated[
        float, knob("share of nouns cut to a word that several categories share", "share", "'case', 'boots'", ge=0, le=1)
    ] = 0.06
    brand_queries: Annotated[float, knob("share of intents that are asked for by brand alone", "share", "navigation", ge=0, le=1)] = 0.05
    model_queries: Annotated[
        float, knob("share of intents that are one product, asked for by model number", "share", "known items", ge=0, le=1)
    ] = 0.04
    constraints: Annotated[
        tuple[float, ...],
        knob(
            "shares of intents with 0, 1, 2, 3 (and 4) constraints",
            "shares",
            "a noun and at most two words, mostly",
            "four or five of 0 or more, not all 0",
            min_length=4,
            max_length=5,
        ),
    ] = (0.35, 0.35, 0.22, 0.08)

    click_model: Annotated[
        Literal["position", "cascade", "trust"],
        knob(
            "how a page is read: docs/world.md, Behaviour",
            "name",
            "position: what click studies compare with; changes the log, not the truth",
        ),
    ] = "position"
    continuation: Annotated[
        float,
        knob("cascade: probability to look at the next product", "probability", "0.85: the tenth is looked at by a quarter", ge=0, le=1),
    ] = 0.85
    satisfaction: Annotated[
        float, knob("cascade: probability to be done after a click", "probability", "0.4: half of those who click look at more", ge=0, le=1)
    ] = 0.4
    trust_bias: Annotated[
        float,
        knob(
            "trust: probability of a click at the first place on what does not attract",
            "probability",
            "0.1, falling as 1/n: as in Agarwal et al.",
            ge=0,
            le=1,
        ),
    ] = 0.1
    examination: Annotated[
        float,
        knob(
            "eta: the n-th position is looked at with n^-eta",
            "exponent",
            "0.5 to 1 in studies of clicks (Joachims et al., WSDM 2017, takes 1)",
            ge=0,
            le=3,
        ),
    ] = 0.6
    exploration: Annotated[float, knob("share of result lists whose top is shuffled", "share", "what a shop can afford", ge=0, le=1)] = 0.05
    exploration_depth: Annotated[int, knob("how many are shuffled", "products", "two pages", ge=2, le=200)] = 20
    popularity_weight: Annotated[
        float, knob("weight of log clicks in the logging policy", "weight", "BM25 decides, popularity orders equals", ge=0, le=10)
    ] = 0.5

    @property
    def end_ms(self) -> int:
        return int(datetime.fromisoformat(self.end).timestamp() * 1000)

    @property
    def start_ms(self) -> int:
        return self.end_ms - self.days * DAY_MS

    def hash(self) -> str:
        """Identifies the world: format and every knob."""
        return hashlib.sha256(FORMAT.encode() + msgspec.json.encode(self, order="deterministic")).hexdigest()[:16]


def load(path: Path | None, **given: Any) -> WorldSettings:
    """Settings of a TOML file (None: defaults), with single knobs replaced. Raises ConfigurationError that names knob, value and range."""
    values: dict[str, Any] = {}
    if path is not None:
        try:
            values = tomllib.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ConfigurationError(f"settings file {path} does not exist") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"settings file {path} is not TOML: {error}") from None
    return parse(values | {name: value for name, value in given.items() if value is not None})


def parse(values: dict[str, Any]) -> WorldSettings:
    """Raises ConfigurationError that names knob, value and range."""
    try:
        settings = msgspec.convert(values, WorldSettings)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"world settings: {_advice(values, str(error))}") from None
    _check(settings)
    return settings


_KINDS = {int: "a whole number,", float: "a number,", str: "text in quotes:", tuple: "a list,"}


def _advice(values: dict[str, Any], error: str) -> str:
    """What would be right instead of the value that msgspec did not take."""
    if unknown := [name for name in values if name not in WorldSettings.__struct_fields__]:
        near = get_close_matches(unknown[0], WorldSettings.__struct_fields__, n=1, cutoff=0.5)
        return f"{unknown[0]!r} is not a knob; " + (f"did you mean {near[0]!r}?" if near else "docs/world.md has all of them")
    found = re.search(r"\$\.(\w+)", error)
    row = next(row for row in describe() if found and row["name"] == found[1])
    kind = _KINDS[type(getattr(WorldSettings(), row["name"]))]
    return f"{row['name']}={values[row['name']]!r} must be {kind} {row['range']} (unit: {row['unit']}, default: {row['default']})"


def _check(settings: WorldSettings) -> None:
    try:
        aware = datetime.fromisoformat(settings.end).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ConfigurationError(f"world settings: end={settings.end!r} must be a moment such as 2026-11-01T00:00:00Z") from None
    if "T" not in settings.end or aware.year < 2000 or datetime.fromisoformat(settings.end).tzinfo is None:
        raise ConfigurationError(
            f"world settings: end={settings.end!r} must be after 2000 and carry its time zone, as in 2026-11-01T00:00:00Z"
        )
    if not (min(settings.constraints) >= 0 and 0 < sum(settings.constraints) < math.inf):
        raise ConfigurationError(
            f"world settings: constraints={list(settings.constraints)} must be four or five numbers, none negative or infinite, and not all 0"
        )
    if settings.pages > (most := PAGES_A_USER_AND_DAY * settings.users * settings.days):
        raise ConfigurationError(
            f"world settings: pages={settings.pages} must be at most {most:,} for {settings.users} users in {settings.days} days: "
            f"{PAGES_A_USER_AND_DAY} each a day"
        )
    for one, other in (("synonym_rate", "ambiguous_rate"), ("brand_queries", "model_queries")):
        if (together := getattr(settings, one) + getattr(settings, other)) > 1:
            raise ConfigurationError(f"world settings: {one} and {other} are {together:g} together; shares of one whole must be 1 at most")


def to_toml(settings: WorldSettings) -> str:
    """The settings as a file that `load` reads, each with what it is for; the hash stands in a comment."""
    hints = get_type_hints(WorldSettings, include_extras=True)
    lines = [f"# World {settings.hash()} ({FORMAT})"]
    for name in WorldSettings.__struct_fields__:
        value = getattr(settings, name)
        text = f'"{value}"' if isinstance(value, str) else str(list(value) if isinstance(value, tuple) else value)
        lines.append(f"{name} = {text}  # {hints[name].__metadata__[0].description}")
    return "\n".join(lines) + "\n"


def describe() -> list[dict[str, str]]:
    """The table of knobs for the documentation: name, default, range, unit, help, reason."""
    hints = get_type_hints(WorldSettings, include_extras=True)
    rows = []
    for field in msgspec.structs.fields(WorldSettings):
        meta: Meta = hints[field.name].__metadata__[0]
        low = meta.ge if meta.ge is not None else f"above {meta.gt}"
        extra = meta.extra or {}
        span = f"{low} to {meta.le}" if meta.le is not None else extra["range"] or _choices(hints[field.name])
        rows.append(
            {
                "name": field.name,
                "default": str(field.default),
                "range": span,
                "unit": extra["unit"],
                "help": str(meta.description),
                "reason": extra["reason"],
            }
        )
    return rows


def _choices(hint: Any) -> str:
    """The values of a Literal; "" for other types."""
    return ", ".join(value for value in get_args(get_args(hint)[0]) if isinstance(value, str))
