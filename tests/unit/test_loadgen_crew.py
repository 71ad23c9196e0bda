"""The process of a load at its end: nobody begins what nobody would wait for."""

import argparse
import time
from typing import cast

import gevent
import pytest

from loadgen.asks import Known, Pool
from loadgen.cast import Cast
from loadgen.crew import Crew, GoneHome, ShopperLoop
from loadgen.options import OPTIONS, wish
from loadgen.schedules import thinking


def test_a_shopper_whose_thinking_ends_in_the_moment_the_load_does_goes_home() -> None:
    settings = {option.name: option.default for option in OPTIONS} | {"load_profile": "closed", "think": 0.02}
    asked_for = wish(argparse.Namespace(**settings))
    nobody = cast(Cast, lambda number: None)
    ending = Crew(asked_for, Pool([], [], 0.0), nobody, cast(Known, None))
    seconds = next(thinking(asked_for.think_s, asked_for.seed, 0))

    shopper = gevent.spawn(ShopperLoop(ending, 0).think)
    gevent.sleep(0)  # thinks by now
    gevent.spawn_later(seconds / 2, ending.stopping.set)
    time.sleep(2 * seconds)  # both times are up when gevent looks again
    with pytest.raises(GoneHome):
        shopper.get(timeout=5)
