"""`python -m offline.baseline SHOP_ROOT`: a release of strategy `bm25` for a shop without logs. No network, no TensorFlow."""

import sys

from offline.locks import exclusive
from offline.progress import run, say
from offline.releases import code_version, ship
from services.artifacts import Versions
from services.features import FEATURE_SCHEMA, FEATURES
from services.models.port import ReleaseFacts
from services.shop import Shop


def make(shop: Shop) -> int:
    """Number of the release that is served now."""
    shop.info()
    facts = ReleaseFacts(
        strategy="bm25",
        score_feature="bm25",
        features=list(FEATURES),
        feature_schema=FEATURE_SCHEMA,
        code_version=code_version(),
        reason="the shop has no logs to learn from",
        generation=Versions(shop.generations).current(),
    )
    with exclusive(shop.releases):
        number = ship(shop, facts)
    say(f"release {number} is current: strategy bm25, because {facts.reason}")
    return number


if __name__ == "__main__":
    sys.exit(run("python -m offline.baseline SHOP_ROOT", make))
