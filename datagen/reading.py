"""How pages are read: what is looked at, clicked, put in the cart and bought. Pure NumPy, n pages of L places at once.

Three models of examination, chosen by the setting `click_model`. They change what the log says, never the truth:
- position: a place is looked at with n^-examination, whatever stands above it (Craswell et al., WSDM 2008)
- cascade: from the top down, on to the next with `continuation`, after a click only when not satisfied (Chapelle and Zhang, WWW 2009)
- trust: position, and what is looked at near the top is clicked although it does not attract (Agarwal et al., WWW 2019)
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from datagen.draws import Floats
from datagen.settings import WorldSettings
from datagen.truth import CART, PURCHASE, attraction, examination, sigmoid

Flags = npt.NDArray[np.bool_]

TURN, TURN_AFTER_CLICK = 0.35, 0.15
"""Probability of turning the page when nothing was clicked on it, and when something was (not after a purchase)."""
PER_PLACE, PER_PAGE = 7, 2
"""Uniform numbers that reading takes: for each place (looked at or clicked, satisfied, cart, purchase, three times), for each page."""


class Readings(NamedTuple):
    """What came of n pages: [n, L] per place, [n] per page. Times are seconds after the page was shown, meant where the flag is set."""

    clicked: Flags
    carted: Flags
    bought: Flags
    clicked_s: Floats
    carted_s: Floats
    bought_s: Floats
    turn: Flags  # [n], wants the next page
    seconds: Floats  # [n], until then


def read(settings: WorldSettings, total: Floats, quality: Floats, shown: Flags, already: Flags, u: Floats, v: Floats) -> Readings:
    """Read pages with the utilities `total` and `quality` float64[n, L]; `shown` bool[n, L]: false where a page has ended; `already` bool[n]:
    something was clicked on an earlier page; u uniform [n, L, PER_PLACE], v uniform [n, PER_PAGE]."""
    clicked: Flags = _clicks(settings, total, u[..., 0], u[..., 1]) & shown
    carted = clicked & (u[..., 2] < sigmoid(total + quality + CART))
    bought = carted & (u[..., 3] < sigmoid(total + quality + PURCHASE))
    done = np.cumsum(bought, axis=1) - bought > 0  # who has bought reads no further
    clicked, carted, bought = (np.asarray(did & ~done, np.bool_) for did in (clicked, carted, bought))
    looking, product_page = 2.0 + 6.0 * u[..., 4], 5.0 + 40.0 * u[..., 5]  # on the product's own page, where its quality shows
    before = np.cumsum(clicked * (looking + product_page), axis=1)
    carted_s = 1.0 + before
    clicked_s = carted_s - product_page
    bought_s = carted_s + 20.0 + 60.0 * u[..., 6]
    last = np.maximum.reduce([clicked * clicked_s, carted * carted_s, bought * bought_s]).max(axis=1, initial=0.0)
    chance = np.where(bought.any(axis=1), 0.0, np.where(already | clicked.any(axis=1), TURN_AFTER_CLICK, TURN))
    seconds = np.where(last > 0, last, 2.0) + 4.0 + 8.0 * v[:, 0]
    return Readings(clicked, carted, bought, clicked_s, carted_s, bought_s, v[:, 1] < chance, seconds)


def _clicks(settings: WorldSettings, total: Floats, u: Floats, satisfied: Floats) -> Flags:
    attracts, places = attraction(total), np.arange(1, total.shape[1] + 1)
    if settings.click_model == "cascade":
        return _cascade(settings, u < attracts, satisfied)
    looked = examination(settings.examination, places)
    if settings.click_model == "trust":
        attracts = attracts + (1.0 - attracts) * settings.trust_bias / places
    return np.asarray(u < looked * attracts)


def _cascade(settings: WorldSettings, attracted: Flags, u: Floats) -> Flags:
    """u decides on both: whether a click satisfied, else whether the next place is looked at."""
    goes_on = np.where(attracted, (1.0 - settings.satisfaction) * settings.continuation, settings.continuation) > u
    looked = np.cumprod(np.concatenate([np.ones((len(u), 1)), goes_on[:, :-1]], axis=1), axis=1).astype(np.bool_)
    return np.asarray(attracted & looked)


def looked_at(settings: WorldSettings, places: int) -> Floats:
    """float64[places]: probability that a place is looked at; for the cascade, when nothing above it is clicked."""
    if settings.click_model == "cascade":
        return np.asarray(settings.continuation ** np.arange(places, dtype=np.float64))
    return examination(settings.examination, np.arange(1, places + 1))
