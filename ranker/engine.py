"""The ranking index of each generation, when one is set; strategy `weights` over it."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

from ranker import weights
from ranker.pairs import Pair
from ranker.weights_elastic import SETTING, RankingIndex
from services.artifacts import Manifest, Served, Versions
from services.contracts import CANDIDATES, RankRequest
from services.elastic import Indexes, indexes
from services.models.port import Preferences
from services.shop import Shop
from services.warm import Warmth

QUICK_S = 0.03
LEAD = 100.0
"""What a full match and an exact title are ahead; no sum of BM25, popularity and preferences is expected to reach it."""


class Weights:
    """Scores by the ranking index of the generation that a request is pinned to. Raises ConfigurationError for a setting that is no address."""

    def __init__(self, url: str, shop: Shop) -> None:
        self.elastic: Indexes = indexes(url, SETTING, shop.info(), "ranking")
        self._warmth = Warmth("ranking index", QUICK_S)
        self._served: Served[RankingIndex] = Served(Versions(shop.generations), self._open, under="ranker/")

    def refresh(self) -> None:
        """Raises ConfigurationError when the index of the current generation is not there."""
        self._served.refresh()

    def score(self, request: RankRequest, pair: Pair, user: Preferences) -> npt.NDArray[np.float32]:
        """float32[n] of the candidates, on the scale of `LEAD`. Raises Unavailable, VersionGone."""
        _, index = self._served.get(pair.generation)
        numbers = request.candidates.numbers()
        if not len(numbers):
            return np.zeros(0, np.float32)
        known = pair.binding.columns[numbers[numbers < pair.binding.size]]
        liked = weights.preferences(pair.model.vocabulary, known, user.scores)
        question = weights.query(request.terms, request.categories, numbers.tolist(), liked)
        return index.scores(question, numbers)

    def ping(self) -> dict[str, object]:
        version, index = self._served.get()
        index.ping()
        return {"current": version, "index": self.elastic.name(version)}

    def close(self) -> None:
        self.elastic.cluster.close()

    def _open(self, folder: Path, manifest: Manifest) -> RankingIndex:
        index = RankingIndex(self.elastic.cluster, self.elastic.open(manifest.version, SETTING))
        some = np.arange(CANDIDATES, dtype=np.uint32)
        self._warmth.bring(lambda _: index.scores(weights.query([], [], some.tolist(), []), some))
        return index
