"""Text becomes terms once, here, for catalogue and query alike; engines index the terms with a whitespace analyser.

A term is a folded (NFKC, lower case, no accents), stemmed word. A compound ("wh-1000xm4", "t-shirt") is kept whole, joined:
its parts are indexed beside it, and a query that types the parts apart finds it as well as one that joins them.
"""

import re
import unicodedata
from dataclasses import dataclass
from functools import cache, lru_cache

import Stemmer

ANALYZER_VERSION = "1"
"""Changes whenever the same text would give other terms; indexes, dictionaries and models carry it."""

LANGUAGES = {"en": "english", "de": "german", "fr": "french", "es": "spanish", "it": "italian", "nl": "dutch", "pt": "portuguese"}
"""Catalogue language (ISO 639-1) -> name of its Snowball stemmer."""

MAX_QUERY_CHARS = 256
MAX_QUERY_TERMS = 32
MAX_TERM_CHARS = 64

_STOP_WORDS = {
    "en": frozenset(["a", "an", "and", "at", "by", "for", "from", "in", "is", "of", "on", "or", "the", "to", "with"]),
    "de": frozenset(
        ["am", "an", "auf", "aus", "bei", "das", "der", "die", "ein", "eine", "fur", "im", "in", "mit", "und", "von", "zu", "zum", "zur"]
    ),
    "fr": frozenset(["a", "au", "aux", "avec", "de", "des", "du", "en", "et", "la", "le", "les", "ou", "par", "pour", "sur", "un", "une"]),
}
_COMPOUND = re.compile(r"[^\W_]+(?:[-./&+'’][^\W_]+)*")
_SEPARATOR = re.compile(r"[-./&+'’]")
_DECIMAL = re.compile(r"\d+(?:\.\d+)+")
_APOSTROPHE = re.compile(r"['’]")


@dataclass(frozen=True, slots=True)
class QueryTerm:
    """One term that a query asks for; `parts` are the terms of a compound typed with separators (may stand in for it, all of them)."""

    text: str
    parts: tuple[str, ...] = ()
    surface: str = ""
    """The folded, unstemmed word, as spelling and suggestions see it."""


def fold(text: str) -> str:
    """Unicode compatibility form, lower case, without accents: what two spellings of one word have in common."""
    if text.isascii():  # nearly everything that builders fold; the same answer in a tenth of the time
        return text.lower()
    plain = unicodedata.normalize("NFKD", text).casefold()  # in this order: mathematical capitals become letters, then lower case
    decomposed = unicodedata.normalize("NFKD", plain)
    return unicodedata.normalize("NFC", "".join(c for c in decomposed if not unicodedata.combining(c)))


def words(text: str) -> list[str]:
    """The folded words of a text in order, compounds joined; not stemmed (spelling works on these)."""
    return [_joined(token) for token in _COMPOUND.findall(fold(text))]


def surface_words(text: str) -> list[str]:
    """The words of a text as they are written, lower case, compounds and accents kept: what a person is shown."""
    return _COMPOUND.findall(text.casefold())


def index_terms(text: str, language: str) -> list[str]:
    """Every term under which a catalogue text can be found, in order; of a compound the whole and then its parts."""
    terms: list[str] = []
    for token in _COMPOUND.findall(fold(text)):
        terms += _token_terms(token, language)
    return terms


def query_terms(text: str, language: str, limit: int = MAX_QUERY_TERMS) -> list[QueryTerm]:
    """The distinct terms of a query in order, at most `limit`; stop words count only when nothing else is left."""
    tokens = _COMPOUND.findall(fold(text[:MAX_QUERY_CHARS]))
    stop = _STOP_WORDS.get(language, frozenset())
    kept = [t for t in tokens if t not in stop] or tokens
    terms: dict[str, QueryTerm] = {}
    for token in kept:
        word = _joined(token)
        term, *parts = _token_terms(token, language)
        terms.setdefault(term, QueryTerm(term, tuple(parts), word))
    return list(terms.values())[:limit]


def stop_words(language: str) -> frozenset[str]:
    """Words that a query may contain without asking for them."""
    return _STOP_WORDS.get(language, frozenset())


@lru_cache(maxsize=262_144)
def stem(word: str, language: str) -> str:
    """Snowball stem of a folded word; a word with a digit (model number, size) stays as it is."""
    word = word[:MAX_TERM_CHARS]
    if len(word) < 3 or not word.isalpha():
        return word
    return str(_stemmer(language).stemWord(word))


@lru_cache(maxsize=131_072)
def _token_terms(token: str, language: str) -> tuple[str, ...]:
    """A folded token's term, then those of the parts of a compound. Remembered: texts repeat their words."""
    return (stem(_joined(token), language), *(stem(part, language) for part in _parts(token)))


@cache
def _stemmer(language: str) -> Stemmer.Stemmer:
    if language not in LANGUAGES:
        raise ValueError(f"language {language!r} is not one of {', '.join(LANGUAGES)}")
    return Stemmer.Stemmer(LANGUAGES[language])


def _joined(token: str) -> str:
    return token if token.isalnum() or _DECIMAL.fullmatch(token) else _SEPARATOR.sub("", token)


def _parts(token: str) -> list[str]:
    if _DECIMAL.fullmatch(token):
        return []
    parts = _SEPARATOR.split(_APOSTROPHE.sub("", token))
    return parts if len(parts) > 1 else []
