"""Search as users expect it, on the small shop of docs/your-shop.md: the same question asked in other ways has the same answer."""

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.shop_running import EXAMPLES, Running, import_guessed, running


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("quality")
    import_guessed(home, "mine", EXAMPLES / "feed.csv")
    with running(home, "mine") as opened:
        yield opened


def strict(shop: Running, query: str, **more: object) -> set[str]:
    """Titles of all products that match with every word."""
    return {item["summary"]["title"] for item in shop.all_items(query, **more) if item["strict"]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("usb-c cable", "usbc cable"),
        ("usb-c cable", "usb c cable"),
        ("t-shirt red", "tshirt red"),
        ("t-shirt red", "t shirt red"),
        ("splash-proof speaker", "splashproof speaker"),
        ("led bulb 10w", "led bulb 10 w"),
        ("led bulb 12w", "led bulb 12 w"),
        ("smart watch", "smartwatch"),
        ("creme brulee", "crème brûlée"),
        ("cafe noir", "Café Noir"),
        ("office chairs", "office chair"),
        ("bulbs", "bulb"),
        ("chair office red", "red office chair"),
        ("headphones wireless black", "black wireless headphones"),
        ("DESK LAMP", "desk lamp"),
    ],
)
def test_two_ways_to_type_the_same_thing_find_the_same_products(shop: Running, one: str, other: str) -> None:
    found = strict(shop, one, verbatim=True)
    assert found
    assert found == strict(shop, other, verbatim=True)


@pytest.mark.parametrize("typed", ["dc52c", "DC52C", "dc 52 c", "DC-52-C", "dc52 c", "camcorder dc52c"])
def test_a_model_number_is_found_in_parts(shop: Running, typed: str) -> None:
    assert shop.titles(typed)[0] == "Camcorder DC52C"
    assert strict(shop, typed) == {"Camcorder DC52C"}


def test_a_model_number_with_hyphens_is_found_without_its_beginning(shop: Running) -> None:
    (model,) = {i["summary"]["attributes"]["mpn"] for i in shop.all_items("wireless headphones red") if i["summary"]["title"] == "Wireless headphones red"}  # fmt: skip
    assert model == "WH-1000XM3"
    assert "Wireless headphones red" in strict(shop, "1000xm3")


def test_a_brand_alone_finds_its_products(shop: Running) -> None:
    brands = {item["summary"]["brand"] for item in shop.search("velomax", page_size=100)["items"]}
    assert brands == {"Velomax"}
    assert shop.search("velomax")["total"]["value"] == 18


# ---- filters, facets, sorts ----


def test_filters_hold_and_facets_are_what_filters_find(shop: Running) -> None:
    everything = shop.search("", facets=["brand", "color", "category", "price_cents"], page_size=100)
    assert everything["total"] == {"value": 100, "relation": "eq"}
    assert {f["name"] for f in everything["facets"]["category"]} >= {"Home", "Home > Lighting > Lamps"}
    for facet in everything["facets"]["brand"]:
        assert shop.search("", filters={"brand": [facet["value"]]})["total"]["value"] == facet["count"]
    for facet in everything["facets"]["color"]:
        assert shop.search("", filters={"attributes": {"color": [facet["value"]]}})["total"]["value"] == facet["count"]
    for facet in everything["facets"]["category"]:
        assert shop.search("", filters={"category": [int(facet["value"])]})["total"]["value"] == facet["count"]
    for facet in everything["facets"]["price_cents"]:
        low, _, high = facet["value"].partition("-")
        price = {"min": int(low), **({"max": int(high)} if high else {})}
        items = shop.all_items("", filters={"price_cents": price})
        assert len(items) == facet["count"]
        assert all(int(low) <= i["summary"]["price_cents"] <= (int(high) if high else 10**9) for i in items)


def test_facets_of_a_query_count_its_matches(shop: Running) -> None:
    answer = shop.search("chair", facets=["brand", "color"], page_size=100)
    matches = [i["summary"] for i in shop.all_items("chair")]
    assert {f["value"]: f["count"] for f in answer["facets"]["brand"]} == Counter(m["brand"] for m in matches)
    assert {f["value"]: f["count"] for f in answer["facets"]["color"]} == Counter(m["attributes"]["color"] for m in matches)


def test_a_facet_that_no_product_has_is_refused_with_those_that_there_are(shop: Running) -> None:
    response = shop.client.post("/search", json={"query": "lamp", "facets": ["colour"]})
    assert (response.status_code, response.json()["field"]) == (400, "facets")
    assert "did you mean 'color'" in response.json()["detail"]
    assert "color" in response.json()["accepted"]


@pytest.mark.parametrize("sort", ["relevance", "price_asc", "price_desc", "newest"])
def test_the_total_of_a_filter_or_of_one_word_is_the_same_in_every_order(shop: Running, sort: str) -> None:
    assert shop.search("", filters={"brand": ["Velomax"]}, sort=sort)["total"] == {"value": 18, "relation": "eq"}
    assert shop.search("chair", sort=sort)["total"] == shop.search("chair")["total"]


@pytest.mark.parametrize(("sort", "key", "sign"), [("price_asc", "price_cents", 1), ("price_desc", "price_cents", -1)])
def test_a_sort_holds_over_pages_and_repeats_nothing(shop: Running, sort: str, key: str, sign: int) -> None:
    page = shop.search("", sort=sort, page_size=7)
    items = list(page["items"])
    while page.get("cursor"):
        page = shop.search(cursor=page["cursor"])
        items += page["items"]
    values = [sign * item["summary"][key] for item in items]
    assert values == sorted(values)
    assert len({item["product_id"] for item in items}) == len(items) == 100
    by_number = [i["product_id"] for n in range(1, 16) for i in shop.search("", sort=sort, page_size=7, page=n)["items"]]
    assert by_number == [item["product_id"] for item in items]


def test_newest_comes_first(shop: Running) -> None:
    days = [shop.client.get(f"/products/{i['product_id']}").json()["created_ms"] for i in shop.all_items("", sort="newest")]
    assert days == sorted(days, reverse=True)


# ---- suggestions, relaxing, spelling ----


@pytest.mark.parametrize("typed", ["he", "la", "ch", "ve", "smart", "cr"])
def test_two_letters_are_enough_for_suggestions_that_start_with_them(shop: Running, typed: str) -> None:
    suggestions = shop.client.get("/suggest", params={"q": typed}).json()["suggestions"]
    assert suggestions
    assert shop.client.get("/suggest", params={"q": typed[:1]}).json()["suggestions"] == []


def test_a_query_without_an_exact_answer_is_relaxed_and_says_so(shop: Running) -> None:
    answer = shop.search("purple desk lamp zeppelin", verbatim=True)
    assert answer["items"]
    assert all(not item["strict"] for item in answer["items"])
    assert sum(tier["strict"] for tier in answer["tiers"]) == 0 < sum(tier["relaxed"] for tier in answer["tiers"])


def test_a_correction_is_shown_and_verbatim_searches_what_was_typed(shop: Running) -> None:
    answer = shop.search("wireles hedphones")
    assert answer["query"]["corrected"] == "wireless headphones"
    assert answer["items"][0]["summary"]["title"].startswith("Wireless headphones")
    typed = shop.search("wireles hedphones", verbatim=True)
    assert "corrected" not in typed["query"]
    assert typed["items"] == []


def test_a_word_that_the_catalogue_only_writes_apart_finds_its_parts(shop: Running) -> None:
    answer = shop.search("mousepad")
    assert "corrected" not in answer["query"]
    assert (answer["items"][0]["summary"]["title"], answer["items"][0]["strict"]) == ("Mouse pad", True)


@pytest.mark.parametrize("text", ["gift for dad", "nike shoes", "lego", "kindle", "ikea desk", "barbecue", "clamp", "dress red"])
def test_words_and_names_that_the_catalogue_lacks_are_not_changed(shop: Running, text: str) -> None:
    assert "corrected" not in shop.search(text)["query"]


def test_words_of_the_catalogue_are_never_changed(shop: Running) -> None:
    for item in shop.all_items(""):
        summary = item["summary"]
        for text in (summary["title"], summary["brand"], summary["attributes"].get("mpn", "")):
            if text:
                assert "corrected" not in shop.search(text)["query"], text


def test_a_product_is_first_for_its_own_title(shop: Running) -> None:
    missed = [i["summary"]["title"] for i in shop.all_items("") if shop.titles(i["summary"]["title"])[0] != i["summary"]["title"]]
    assert missed == []


# ---- explanations ----


def test_an_explanation_tells_terms_features_shares_and_versions(shop: Running) -> None:
    answer = shop.search("red desk lamp", explain=True, user_id="ann")
    first = answer["items"][0]
    why = first["explanation"]
    assert why["matched"]["title"] == ["red", "desk", "lamp"]
    assert set(why["shares"]) - {"rest"} == set(why["features"])
    assert sum(why["shares"].values()) == pytest.approx(first["score"], abs=1e-3)
    assert (why["release"], why["generation"], why["strategy"]) == (answer["release"], answer["generation"], "bm25")
    assert (first["tier"], first["strict"]) == ("medium", True)
    assert why["preferences"] == {}


def test_an_explanation_tells_what_stands_in_for_a_term(shop: Running) -> None:
    assert shop.search("mousepad", explain=True)["query"]["synonyms"] == {"mousepad": [["mous", "pad"]]}
    assert "synonyms" not in shop.search("mousepad")["query"]


def test_explanations_need_the_token(shop: Running) -> None:
    response = shop.client.post("/search", json={"query": "lamp", "explain": True}, headers={"authorization": ""})
    assert response.status_code == 401
