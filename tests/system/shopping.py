"""A little load: searches with clicks from a thread of the test's own, about twenty a second."""

import random
import threading
from types import TracebackType
from typing import Any

import httpx

EVERY_S = 0.04


class Shopping:
    """`with Shopping(url): ...` searches until the end of the block; an answer that is no success ends it, and is raised there."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, headers={"x-deadline-ms": "10000"}, timeout=15)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._failure: Exception | None = None
        self.searches = 0

    def __enter__(self) -> "Shopping":
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._stop.set()
        self._thread.join(20)
        self._http.close()
        if self._failure and error is None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._shop()
        except Exception as error:  # handed to the test's own thread
            self._failure = error

    def _shop(self) -> None:
        decide = random.Random(1)
        words = [w for item in self.search(page_size=50)["items"] for w in item["summary"]["title"].split() if w.isalpha()]
        while not self._stop.wait(EVERY_S):
            user = f"u{decide.randrange(40)}"
            query = " ".join(decide.sample(words, decide.choice((1, 2, 3))))
            answer = self.search(query=query, user_id=user, facets=["brand"])
            if answer["items"] and decide.random() < 0.5:
                self.click(answer, decide.choice(answer["items"]), user)

    def search(self, **request: Any) -> dict[str, Any]:
        response = self._http.post("/search", json=request)
        response.raise_for_status()
        self.searches += 1
        answer: dict[str, Any] = response.json()
        return answer

    def click(self, answer: dict[str, Any], item: dict[str, Any], user: str) -> None:
        attributes = {"object": {"object_id": item["product_id"]}, "position": {"ordinal": item["position"]}}
        event = {"action_name": "click", "query_id": answer["query_id"], "user_id": user, "event_attributes": attributes}
        self._http.post("/events", json=[event]).raise_for_status()
