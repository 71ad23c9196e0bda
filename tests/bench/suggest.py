"""`python -m tests.bench.suggest`: how long suggestions after two letters take, of the shop that runs (`aisle up`). Every pair of letters, one at a
time: what a shopper waits for, not what a load does. Exit code 1 when 99 of 100 do not come within 5 ms.
"""

import sys
import time
from itertools import product
from string import ascii_lowercase

import httpx
import numpy as np

from deploy.running import running_planner
from deploy.state import StateFile
from services.errors import ConfigurationError
from services.shop import home
from services.waterfall import parse

LIMIT_MS = 5.0


def main() -> int:
    _, address = running_planner(StateFile(home()))
    waited, served, found = [], [], 0
    with httpx.Client(base_url=address, timeout=10.0) as client:
        for letters in map("".join, product(ascii_lowercase, repeat=2)):
            began = time.perf_counter()
            response = client.get("/suggest", params={"q": letters})
            waited.append(1000 * (time.perf_counter() - began))
            found += bool(response.raise_for_status().json()["suggestions"])
            whole = parse(response.headers["server-timing"])
            assert whole is not None, response.headers
            served.append(whole.total_ms)
    print(f"{len(served)} pairs of letters, {found} with suggestions")
    for name, times in (("server", served), ("client", waited)):
        median, high = np.quantile(times, [0.5, 0.99])
        print(f"  {name}: {median:.2f} ms median, {high:.2f} ms p99, {max(times):.2f} ms at most")
    return int(np.quantile(served, 0.99) >= LIMIT_MS)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except ConfigurationError as error:
        sys.exit(f"bench: {error}")
