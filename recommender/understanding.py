"""The recommender's part of one generation, loaded: what a query means, and what products are made of."""

from pathlib import Path

import msgspec

from recommender import properties
from recommender.categories import BASELINE, Calibrated, CategoryModel, Measured, NaiveBayes
from recommender.compounds import Compounds, stand_ins
from recommender.fasttext_model import FastText
from recommender.properties import ProductProperties
from recommender.rewrite import Synonyms
from recommender.rewrite import query as rewritten
from recommender.spelling import Speller, Vocabulary, ordinary_words
from services.artifacts import Manifest
from services.contracts import Category, Term
from services.errors import ConfigurationError
from services.text import query_terms

FOLDER = "recommender"
PART = "part.json"
SPELLING = "spelling.tsv"
SYNONYMS = "synonyms.json"
COMPOUNDS = "compounds.json"
NO_COMPOUNDS = Compounds()


class CategoryFacts(msgspec.Struct, frozen=True):
    """The category model that ships, and why."""

    kind: str
    temperature: float
    names: dict[int, str]
    reason: str
    measured: dict[str, Measured] = {}
    """Top-1 per kind, on what `reason` says; empty for a catalogue of a few products."""
    examples: dict[str, int] = {}


class Part(msgspec.Struct, frozen=True, kw_only=True):
    """`part.json`: the manifest of the recommender's part."""

    language: str
    watermark: dict[str, int]
    """Position of the log up to which records were used."""
    categories: CategoryFacts | None
    """None: the catalogue has no categories, so the stage is off."""
    words: int = 0
    synonyms: int = 0
    searches: int = 0
    seconds: float = 0.0


class Understanding:
    """Everything is immutable after loading; calls may come from several threads."""

    def __init__(
        self,
        part: Part,
        speller: Speller,
        synonyms: Synonyms,
        categories: Calibrated | None,
        products: ProductProperties,
        compounds: Compounds = NO_COMPOUNDS,
    ) -> None:
        self.part, self.speller, self.products = part, speller, products
        self._synonyms, self._categories, self._compounds = synonyms, categories, compounds
        self.off = [] if categories else ["categories"]

    def terms(self, text: str) -> list[Term]:
        language = self.part.language
        asked = query_terms(text, language)
        return stand_ins(rewritten(asked, self._synonyms), asked, self._compounds, self.speller.counts, language)

    def categories(self, text: str) -> list[Category]:
        """At most three, likeliest first; [] when the catalogue has none."""
        if self._categories is None or self.part.categories is None:
            return []
        names = self.part.categories.names
        return [Category(id_, names[id_], round(probability, 4)) for id_, probability in self._categories.top(text)]


def load(folder: Path, manifest: Manifest) -> Understanding:
    """The part in a generation's folder. Raises ConfigurationError when it is not there."""
    own = folder / FOLDER
    try:
        part = msgspec.json.decode((own / PART).read_bytes(), type=Part)
        vocabulary = Vocabulary.loads((own / SPELLING).read_bytes())
        synonyms = msgspec.json.decode((own / SYNONYMS).read_bytes(), type=Synonyms)
        compounds = msgspec.json.decode((own / COMPOUNDS).read_bytes(), type=Compounds)
        model = _model(own, part)
    except (OSError, ValueError, msgspec.MsgspecError) as error:
        raise ConfigurationError(
            f"the recommender's part of generation {manifest.version} cannot be read ({error}): run `aisle build`"
        ) from None
    speller = Speller(vocabulary, part.language, synonyms, ordinary_words(part.language))
    return Understanding(part, speller, synonyms, model, properties.load(own), compounds)


def _model(own: Path, part: Part) -> Calibrated | None:
    if part.categories is None:
        return None
    model: CategoryModel = NaiveBayes.load(own, part.language) if part.categories.kind.startswith(BASELINE) else FastText.load(own)
    return Calibrated(model, part.categories.temperature)
