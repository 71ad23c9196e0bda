"""What can be suggested for a catalogue: category names, brands and the phrases that titles share. Pure; used by the builder."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator

from searcher.suggest import Weighted
from services.catalogue import Categories, Product
from services.contracts import Suggestion
from services.text import fold, index_terms, stop_words, surface_words

MAX_PHRASE_WORDS = 3
MAX_PHRASES = 20_000
MAX_COUNTED = 1_000_000
"""Distinct phrases held while counting; past it, those seen once so far are forgotten."""
MIN_PRODUCTS = 2
MAX_TEXT_CHARS = 60


class SuggestionBuilder:
    """Feed it every product with its popularity, then take `entries`."""

    def __init__(self, categories: Categories, language: str) -> None:
        self._categories, self._language, self._stop_words = categories, language, stop_words(language)
        self._category_weight: dict[int, float] = defaultdict(float)
        self._brands: dict[str, Counter[str]] = defaultdict(Counter)
        self._brand_weight: dict[str, float] = defaultdict(float)
        self._phrase_products: Counter[str] = Counter()
        self._phrase_weight: dict[str, float] = defaultdict(float)

    def add(self, product: Product, popularity: float) -> None:
        """`popularity` > 0: a product counts as much as it is wanted."""
        for category_id in self._categories.ancestors(product.category_id):
            self._category_weight[category_id] += popularity
        if brand := fold(product.brand).strip():
            self._brands[brand][product.brand] += 1
            self._brand_weight[brand] += popularity
        for phrase in set(self._phrases(surface_words(product.title))):
            self._phrase_products[phrase] += 1
            self._phrase_weight[phrase] += popularity
        if len(self._phrase_products) > MAX_COUNTED:
            self._forget_rare()

    def entries(self) -> list[Weighted]:
        """Best first; texts with the same terms ("hat", "Hats") stand once, as a category before a brand before the heaviest phrase."""
        found = [*self._named_categories(), *self._named_brands(), *self._shared_phrases()]
        once: dict[str, Weighted] = {}
        for entry in found:
            once.setdefault(" ".join(index_terms(entry.suggestion.text, self._language)), entry)
        return sorted(once.values(), key=lambda e: (-e.weight, e.suggestion.text))

    def _named_categories(self) -> Iterator[Weighted]:
        for category_id, weight in self._category_weight.items():
            yield Weighted(Suggestion(self._categories.name(category_id), "category", category_id), weight)

    def _named_brands(self) -> Iterator[Weighted]:
        for brand, weight in self._brand_weight.items():
            yield Weighted(Suggestion(self._brands[brand].most_common(1)[0][0], "brand"), weight)

    def _shared_phrases(self) -> Iterator[Weighted]:
        shared = [p for p, products in self._phrase_products.items() if products >= MIN_PRODUCTS]
        shared.sort(key=lambda p: (-self._phrase_weight[p], p))
        for phrase in shared[:MAX_PHRASES]:
            yield Weighted(Suggestion(phrase, "phrase"), self._phrase_weight[phrase])

    def _phrases(self, words: list[str]) -> Iterable[str]:
        stop = [fold(word) in self._stop_words for word in words]
        for start in range(len(words)):
            for end in range(start + 1, min(start + MAX_PHRASE_WORDS, len(words)) + 1):
                if stop[start] or stop[end - 1] or (end == start + 1 and words[start].isdigit()):
                    continue
                phrase = " ".join(words[start:end])
                if 2 < len(phrase) <= MAX_TEXT_CHARS:
                    yield phrase

    def _forget_rare(self) -> None:
        for phrase in [p for p, products in self._phrase_products.items() if products < MIN_PRODUCTS]:
            del self._phrase_products[phrase], self._phrase_weight[phrase]
