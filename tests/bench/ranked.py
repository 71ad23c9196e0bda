"""Understanding and ranking of a shop's current generation and release in this process, for a user of whom nothing is known."""

import numpy as np
import numpy.typing as npt

from ranker.app import load_index
from ranker.pairs import Pair
from ranker.routes import rank
from recommender.understanding import load as load_understanding
from services.artifacts import Versions
from services.contracts import Candidates, Category, RankRequest, RetrieveRequest, Term
from services.features import Binding
from services.models.onnx import load as load_onnx
from services.shop import Shop
from services.timing import Timing


class Ranker:
    def __init__(self, shop: Shop) -> None:
        generations, releases = Versions(shop.generations), Versions(shop.releases)
        generation, release = generations.current() or 0, releases.current() or 0
        folder, manifest = generations.folder(generation), generations.manifest(generation)
        model, index = load_onnx(releases.folder(release), releases.manifest(release)), load_index(folder, manifest)
        self._understanding = load_understanding(folder, manifest)
        self.pair = Pair(generation, index, release, model, Binding(index, model.vocabulary, model.property_vectors))

    def understood(self, text: str) -> tuple[list[Term], list[Category]]:
        return self._understanding.terms(text), self._understanding.categories(text)

    def page(self, request: RetrieveRequest, candidates: Candidates, size: int) -> npt.NDArray[np.uint32]:
        """The first product numbers."""
        ranked = rank(RankRequest(request.terms, request.categories, candidates), self.pair, 0, Timing())
        return candidates.numbers()[np.frombuffer(ranked.order, np.uint16)[:size].astype(np.intp)]
