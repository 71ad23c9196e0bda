"""Which candidates are on a page and which are left for the next one. Pure; rows are row numbers of candidates in retrieval order."""

import numpy as np
import numpy.typing as npt

from services.errors import InvalidRequest

Rows = npt.NDArray[np.intp]


def split(order: npt.NDArray[np.integer], first: int, size: int) -> tuple[Rows, Rows]:
    """The rows of the page that starts at rank `first` (best first), and those below it in retrieval order (what the cursor carries)."""
    ranked = order.astype(np.intp)
    return ranked[first : first + size], np.sort(ranked[first + size :])


def last_page(candidates: int, page_size: int) -> int:
    return max(1, -(-candidates // page_size))


def check_page(page: int, page_size: int, candidates: int) -> None:
    """Raises InvalidRequest for a page that starts after the last candidate (page 1 of nothing is a page)."""
    last = last_page(candidates, page_size)
    if page > last:
        raise InvalidRequest(
            f"page {page} (of {page_size} products each) is past the {candidates} best products, which is as far as pages go; the last page is {last}",
            field="page",
            accepted=f"1 to {last} (filters bring other products to the front)",
        )
