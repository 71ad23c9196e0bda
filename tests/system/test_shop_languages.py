"""German and French shops: stems, compounds and accents of the language, on samples made for this."""

from collections.abc import Iterator

import pytest

from tests.shop_running import EXAMPLES, Running, import_guessed, running


@pytest.fixture(scope="module", params=["de", "fr"])
def shop(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Running]]:
    language: str = request.param
    home = tmp_path_factory.mktemp(language)
    import_guessed(home, language, EXAMPLES / f"feed-{language}.csv", "--language", language)
    with running(home, language) as opened:
        yield language, opened


SEARCHES = {
    "de": [
        ("kopfhorer", {"Kopfhörer schwarz", "Kopfhörer weiß"}),
        ("Kopfhörer", {"Kopfhörer schwarz", "Kopfhörer weiß"}),
        ("stuhl", {"Bürostuhl grau", "Esszimmerstühle im Set"}),
        ("stühle", {"Bürostuhl grau", "Esszimmerstühle im Set"}),
        ("lampen", {"Schreibtischlampe rot", "Stehlampe"}),
        ("kopfhörer in weiss", {"Kopfhörer weiß"}),
        ("schuhe für damen", {"Laufschuhe Damen"}),
        ("tasse", {"Kaffeetassen"}),
    ],
    "fr": [
        ("ecouteur blanc", {"Écouteurs blancs"}),
        ("chaise", {"Chaise de bureau grise", "Chaises de salle à manger"}),
        ("chaises", {"Chaise de bureau grise", "Chaises de salle à manger"}),
        ("lampe rouge", {"Lampe de bureau rouge"}),
        ("creme brulee", {"Crème brûlée: moules"}),
        ("chaussure pour la course", {"Chaussures de course"}),
    ],
}


def test_words_are_found_in_every_form(shop: tuple[str, Running]) -> None:
    language, opened = shop
    wrong = {}
    for query, expected in SEARCHES[language]:
        found = {item["summary"]["title"] for item in opened.all_items(query, verbatim=True) if item["strict"]}
        if found != expected:
            wrong[query] = found
    assert wrong == {}


def test_categories_of_the_shop_are_predicted(shop: tuple[str, Running]) -> None:
    language, opened = shop
    answer = opened.search("stuhl" if language == "de" else "chaise")
    assert answer["off"] == []
    assert opened.search("", facets=["category"])["facets"]["category"]
