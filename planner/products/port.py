"""What a product store of one generation can do."""

from collections.abc import Sequence
from typing import NamedTuple, Protocol


class Summary(NamedTuple):
    """A product on a page: `json` is ready to be put into an answer (fields: planner/products/summary.py)."""

    product_id: str
    json: bytes


class ProductStore(Protocol):
    """Calls block; they may come from many threads at once. Raise errors.Unavailable when the store cannot be read."""

    def summaries(self, product_nos: Sequence[int]) -> dict[int, Summary]:
        """Summaries by product_no; products that are not in this generation are left out."""

    def numbers(self, product_ids: Sequence[str]) -> dict[str, int]:
        """product_no by product_id; unknown ones are left out."""

    def product(self, product_id: str) -> bytes | None:
        """The whole product as JSON (contracts.ProductAnswer), None when there is none."""

    def ping(self) -> None: ...

    def close(self) -> None: ...
