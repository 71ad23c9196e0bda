"""Which arm of each experiment a shopper is in: a salted hash, so the same on every replica and in every session. Pure."""

import hashlib
from collections.abc import Mapping, Sequence

import msgspec

from services.errors import ConfigurationError

Experiments = Mapping[str, Sequence[str]]


def assign(experiments: Experiments, unit: str | None, salt: str) -> dict[str, str]:
    """{experiment: arm} of a unit (user key, else client id); arms have equal shares, experiments are independent. No unit: {}."""
    if unit is None or not experiments:
        return {}
    return {name: arms[_bucket(f"{salt}:{name}:{unit}") % len(arms)] for name, arms in experiments.items()}


def parse(text: str) -> dict[str, list[str]]:
    """The setting, a JSON object {name: [arm, ...]}. Raises ConfigurationError."""
    try:
        experiments = msgspec.json.decode(text or "{}", type=dict[str, list[str]])
    except msgspec.MsgspecError as error:
        raise ConfigurationError(f'AISLE_PLANNER_EXPERIMENTS: {error}; expected JSON such as {{"button": ["old", "new"]}}') from None
    for name, arms in experiments.items():
        if len(set(arms)) < 2 or len(set(arms)) != len(arms):
            raise ConfigurationError(f"AISLE_PLANNER_EXPERIMENTS: experiment {name!r} needs two or more arms with different names")
    return experiments


def _bucket(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
