"""Which engine the product store has: chosen by one setting."""

from pathlib import Path

from planner.products.elastic import ElasticProducts
from planner.products.port import ProductStore
from planner.products.sqlite import SqliteProducts
from services.elastic import Indexes, indexes
from services.errors import AisleError, ConfigurationError
from services.shop import ShopInfo
from services.warm import Warmth

SETTING = "AISLE_PLANNER_PRODUCTS_URL"
STORE = Path("planner") / "products.sqlite"
"""Where the embedded store lies in a generation's folder."""
PAGE, QUICK_S = 10, 0.03


class Stores:
    """Opens the product stores of generations; connections are made once and kept. Raises ConfigurationError for a setting that is no address."""

    def __init__(self, url: str, info: ShopInfo) -> None:
        self.elastic: Indexes | None = indexes(url, SETTING, info, "products") if url else None
        self._warmth = Warmth("product store", QUICK_S)

    def open(self, folder: Path) -> ProductStore:
        """The store of generations/N. Raises ConfigurationError when it cannot be opened."""
        match self.elastic:
            case None:
                return _open_sqlite(folder)
            case made:
                store = ElasticProducts(made.cluster, made.open(int(folder.name), SETTING))
                self._warmth.bring(lambda number: store.summaries(range(PAGE * number, PAGE * (number + 1))))
                return store

    def close(self) -> None:
        if self.elastic is not None:
            self.elastic.cluster.close()


def _open_sqlite(folder: Path) -> ProductStore:
    try:
        return SqliteProducts(folder / STORE)
    except AisleError as error:
        raise ConfigurationError(f"generation {folder.name}: {error.detail}; run `aisle build`") from None
