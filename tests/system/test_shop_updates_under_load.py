"""A shop is updated while shoppers search: no search fails, products change, and a page that was open before can be turned after."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.shop_running import EXAMPLES, Running, aisle, import_guessed, running

SEARCHERS = 4


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    home = tmp_path_factory.mktemp("updates")
    import_guessed(home, "mine", EXAMPLES / "feed.csv")
    with running(home, "mine") as opened:
        yield opened


class Load:
    """Shoppers who search and turn pages as fast as they can; everything that is not a whole answer is kept."""

    def __init__(self, url: str) -> None:
        self.url, self.answers, self.wrong = url, 0, list[str]()
        self.generations: set[int] = set()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._shop, args=(n,)) for n in range(SEARCHERS)]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _shop(self, number: int) -> None:
        queries = ["chair", "red lamp", "headphones", "", "bike helmet"]
        with httpx.Client(base_url=self.url, timeout=30.0, headers={"x-deadline-ms": "20000"}) as client:
            step = number
            while not self._stop.is_set():
                step += 1
                page = self._ask(client, {"query": queries[step % len(queries)]})
                seen = [i["product_id"] for i in page.get("items", [])]
                if page.get("cursor"):
                    page = self._ask(client, {"cursor": page["cursor"]})
                    seen += [i["product_id"] for i in page.get("items", [])]
                if len(set(seen)) != len(seen):
                    self.wrong.append(f"repeated: {seen}")

    def _ask(self, client: httpx.Client, body: dict[str, object]) -> dict[str, object]:
        try:
            response = client.post("/search", json=body)
        except httpx.HTTPError as error:
            self.wrong.append(repr(error))
            return {}
        answer: dict[str, object] = response.json()
        if response.status_code != 200 or answer.get("degraded"):
            self.wrong.append(f"{response.status_code} {response.text[:300]}")
            return {}
        self.answers += 1
        self.generations.add(int(str(answer["generation"])))
        return answer


def wait_for(shop: Running, generation: int) -> None:
    give_up = time.monotonic() + 60
    while shop.search("chair")["generation"] < generation:
        assert time.monotonic() < give_up, f"generation {generation} is not served"
        time.sleep(0.05)


def test_updates_do_not_disturb_searches_nor_open_pages(shop: Running, tmp_path: Path) -> None:
    opened = shop.search("", page_size=5, sort="price_asc")
    first = [i["product_id"] for i in opened["items"]]
    following = [i["product_id"] for i in shop.search(cursor=opened["cursor"])["items"]]
    gone = tmp_path / "gone.txt"
    gone.write_text(f"{following[0]}\n")
    with Load(str(shop.client.base_url)) as load:
        aisle(shop.home, "import", "--shop", "mine", "--catalog", EXAMPLES / "changed.csv", "--upsert", "--delete", gone)
        wait_for(shop, 2)
        changed = shop.search("dimmable desk lamp red")["items"][0]["summary"]
        aisle(shop.home, "import", "--shop", "mine", "--delete", EXAMPLES / "gone.txt")
        wait_for(shop, 3)
        aisle(shop.home, "build", "--shop", "mine")
        wait_for(shop, 4)
    assert load.wrong == []
    assert load.answers > 100
    assert {1, 2, 3, 4} <= load.generations
    assert (changed["title"], changed["price_cents"]) == ("Desk lamp red, dimmable", 2490)
    assert shop.titles("standing desk oak")[0] == "Standing desk oak"
    assert shop.client.get(f"/products/{following[0]}").status_code == 404
    turned = shop.search(cursor=opened["cursor"])  # its generation is gone by now
    ids = [i["product_id"] for i in turned["items"]]
    assert turned["generation"] == 4
    deleted = {following[0], *(EXAMPLES / "gone.txt").read_text().split()}
    left = [product for product in following if product not in deleted]
    assert not deleted & set(ids)
    assert ids[: len(left)] == left
    assert not set(ids) & set(first)
