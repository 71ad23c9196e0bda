"""`python -m loadgen --url URL --shop-root FOLDER`: one headless load; becomes Locust, whose exit code is that of the load."""

import argparse
import os
import sys
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m loadgen", description="One load against a running system; other options go to Locust.")
    parser.add_argument("--url", required=True)
    parser.add_argument("--shop-root", required=True, type=Path)
    parser.add_argument("--results", type=Path, default=None)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--think", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    known, more = parser.parse_known_args()
    argv = [sys.executable, "-m", "locust", "-f", str(Path(__file__).with_name("locustfile.py")), "--headless", "--only-summary"]
    argv += [
        "--host",
        known.url,
        "--shop-root",
        str(known.shop_root),
        "--users",
        str(known.users),
        "--spawn-rate",
        str(max(1, known.users // 2)),
    ]
    argv += ["--run-time", f"{known.seconds}s", "--stop-timeout", "5s", "--loglevel", "WARNING"]
    argv += ["--think", str(known.think), "--seed", str(known.seed)]
    argv += ["--results", str(known.results)] if known.results else []
    print(f"{known.users:,} shoppers for {known.seconds} s against {known.url}", flush=True)
    os.execv(argv[0], [*argv, *more])


if __name__ == "__main__":
    main()
