"""`make bench`: CPU milliseconds per search of the running path, of its bare floor, and of five bare hops, interleaved in one run.

The system and the floor work on copies of a shop, so that the shop itself is neither written to nor slowed down. Exit code 1 when the
system costs more above its floor than twice the hops, when an answer was degraded or failed, or when Elasticsearch counted other calls for the
system than for its floor.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx
import msgspec
from rich.console import Console
from rich.table import Table

from deploy.layout import PROJECT
from deploy.preflight import check_not_running, require_shop
from deploy.state import StateFile
from loadgen.stats import StageTable
from services.artifacts import Versions
from services.catalogue import Catalogue
from services.errors import ConfigurationError
from services.shop import Shop, home
from services.waterfall import parse
from tests.bench import costs, real
from tests.bench.client import Answers, ask_all
from tests.bench.floor import Floor
from tests.bench.hops import Hops
from tests.bench.measure import Series, Verdict, cpu_seconds, per_search_ms, spread
from tests.bench.real import Clusters, Traffic
from tests.bench.workload import asks, copy_home
from tests.system.stack import Stack

CONCURRENCY = 8
WARM_SEARCHES = 3_000
WARM_CALLS = 3
"""How often each kind of call is made for all searches before it is measured."""
SAME = 0.02
"""Share by which the calls of system and floor may differ."""
SERVERS = ("planner", "recommender", "searcher", "ranker")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("--shop", default="demo")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--searches", type=int, default=600, help="per round and contender")
    parser.add_argument("--concurrency", type=int, default=CONCURRENCY)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--engines", choices=("embedded", "real"), default="embedded", help="real: also writes docs/costs.md")
    options = parser.parse_args()
    try:
        shop = require_shop(options.shop, home())
        check_not_running(StateFile(home()))
        if Versions(shop.generations).current() is None or Versions(shop.releases).current() is None:
            raise ConfigurationError(f"shop {shop.name!r} is not complete yet: `aisle up --shop {shop.name}` makes what is missing")
    except ConfigurationError as error:
        sys.exit(f"bench: {error}")
    with tempfile.TemporaryDirectory(prefix="aisle-bench-") as folder:
        return Bench(options, shop, Path(folder)).run()


class Bench:
    def __init__(self, options: argparse.Namespace, shop: Shop, folder: Path) -> None:
        self._options, self._shop, self._folder = options, shop, folder
        self._console = Console(highlight=False, width=120)
        self._asks = asks(shop, options.searches, options.seed)
        self._bodies = [msgspec.json.encode({"query": a.query, "user_id": a.user_id}) for a in self._asks]
        self._stages = StageTable()
        self._wrong: list[str] = []
        self._engines: dict[str, int] = {}
        self._clusters = Clusters(None)
        self._personal = 0
        self._traffic: dict[str, dict[str, Traffic]] = {"system": {}, "floor": {}}

    def run(self) -> int:
        for name in ("system", "floor"):
            copy_home(home(), self._shop.name, self._folder / name)
        self._say(
            f"{len(self._asks)} searches a round by {len({a.user_id for a in self._asks})} users, {self._options.concurrency} at once; starting"
        )
        with Stack.start(self._folder / "system", self._shop.name, engines=self._options.engines, limit_s=1800) as stack:
            run = stack.state.read()
            self._engines, self._clusters = real.pids(run), Clusters(run)
            floor = Floor(self._folder / "floor", self._shop.name, run.engine_settings if run else None)
            try:
                series = self._compare(stack, floor)
                return self._conclude(series, self._calls(floor))
            finally:
                floor.close()
                self._clusters.close()

    def _compare(self, stack: Stack, floor: Floor) -> dict[str, Series]:
        url = f"{stack.url}/search"
        pids = {name: stack.service(name).process.pid for name in SERVERS} | self._engines  # type: ignore[union-attr]
        answered = ask_all(url, self._bodies, self._options.concurrency)  # warm, and tells how large answers are
        sizes = floor.sizes(self._asks[:50])
        answer_bytes = answered.bytes // len(self._bodies)
        request_bytes = sum(map(len, self._bodies)) // len(self._bodies)
        sizes = msgspec.structs.replace(sizes, search=(request_bytes, answer_bytes))
        self._say("bytes of request and answer: " + ", ".join(f"{k} {a:,} {b:,}" for k, (a, b) in msgspec.structs.asdict(sizes).items()))
        hops = Hops(sizes)
        try:
            wait_until_ready(hops.ready_urls)
            filler = [hops.body] * len(self._bodies)
            ask_all(f"{hops.url}/search", filler, self._options.concurrency)
            contenders: dict[str, Callable[[], dict[str, float]]] = {
                "system": lambda: self._counted("system", lambda: self._served(url, self._bodies, pids)),
                "floor": lambda: self._counted("floor", lambda: self._floor(floor)),
                "hops": lambda: self._served(f"{hops.url}/search", filler, hops.pids),
            }
            self._warm(url, floor)
            series = self._rounds(contenders)
            self._look_at_stages(ask_all(url, self._bodies, 1))
        finally:
            hops.close()
        return series

    def _warm(self, url: str, floor: Floor) -> None:
        """A JVM compiles what it does for some thousand searches, and the compiler's time would be counted as theirs."""
        if self._options.engines == "real":
            for _ in range(-(-WARM_SEARCHES // len(self._bodies))):
                self._look(ask_all(url, self._bodies, self._options.concurrency))
                floor.run(self._asks)

    def _rounds(self, contenders: dict[str, Callable[[], dict[str, float]]]) -> dict[str, Series]:
        series: dict[str, list[dict[str, float]]] = {name: [] for name in contenders}
        for number in range(1, self._options.rounds + 1):
            for name, contender in contenders.items():
                series[name].append(contender())
            totals = ", ".join(f"{name} {sum(s[-1].values()):.2f}" for name, s in series.items())
            self._say(f"round {number} of {self._options.rounds}: {totals} ms CPU a search")
        return {name: Series(rounds) for name, rounds in series.items()}

    def _served(self, url: str, bodies: Sequence[bytes], pids: dict[str, int]) -> dict[str, float]:
        before = cpu_seconds(pids)
        answers = ask_all(url, bodies, self._options.concurrency)
        after = cpu_seconds(pids)
        self._look(answers)
        return per_search_ms(before, after, len(bodies))

    def _counted(self, name: str, contender: Callable[[], dict[str, float]]) -> dict[str, float]:
        """With what Elasticsearch itself counts meanwhile."""
        before = self._clusters.traffic()
        found = contender()
        for cluster, traffic in real.between(before, self._clusters.traffic()).items():
            self._traffic[name][cluster] = self._traffic[name].get(cluster, Traffic()) + traffic
        return found

    def _floor(self, floor: Floor) -> dict[str, float]:
        before = cpu_seconds(self._engines)
        done = floor.run(self._asks)
        self._personal += done.personal
        engines = per_search_ms(before, cpu_seconds(self._engines), done.count)
        return {"one process": done.cpu_s * 1000 / done.count, **engines}

    def _calls(self, floor: Floor) -> dict[str, tuple[float, float]]:
        """Of each kind of call: CPU milliseconds of who asks, and of the engine that answers (nothing else that it does is counted: what
        leads up to a call asks other engines)."""
        found = {}
        for kind, (engine, _) in costs.KINDS.items() if self._options.engines == "real" else ():
            pid = {engine: self._engines[real.ENGINE + engine]}
            for _ in range(WARM_CALLS + 1):
                before = cpu_seconds(pid)
                done = floor.run(self._asks, kind)
                server_ms = per_search_ms(before, cpu_seconds(pid), done.count)[engine]
            found[kind] = (done.cpu_s * 1000 / done.count, server_ms)
        return found

    def _look_at_stages(self, answers: Answers) -> None:
        for header in answers.timings:
            if waterfall := parse(header):
                self._stages.add(waterfall)

    def _look(self, answers: Answers) -> None:
        self._wrong += [f"{count} answers without {reason}" for reason, count in answers.degraded.items()]
        self._wrong += [f"{count} x {reason}" for reason, count in answers.failures.items()]

    def _conclude(self, series: dict[str, Series], calls: dict[str, tuple[float, float]]) -> int:
        table = Table(
            title="CPU ms a search, medians over the rounds", title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
        )
        for heading in ("", "process", "median", "rounds"):
            table.add_column(heading, justify="left" if heading in ("", "process") else "right")
        for name, one in series.items():
            for process in one.processes if len(one.processes) > 1 else []:
                table.add_row("", process, f"{one.median_of(process):.2f}", spread([r[process] for r in one.rounds]))
            table.add_row(name, "all", f"{one.median:.2f}", spread(one.totals))
        self._console.print(table)
        self._console.print(self._stage_table())
        verdict = Verdict(*(series[name].median for name in ("system", "floor", "hops")))
        self._wrong += self._unlike()
        if self._options.engines == "real" and verdict.system < verdict.floor:
            self._wrong.append("the system cost less than its floor: the engines were not warm, or the machine was busy")
        for wrong in self._wrong:
            self._say(f"INVALID: {wrong}")
        self._say(str(verdict))
        if self._options.engines == "real":
            self._write_costs(series, verdict, calls)
        return 0 if verdict.ok and not self._wrong else 1

    def _unlike(self) -> list[str]:
        """What the floor did otherwise than the system."""
        system, floor = self._traffic["system"], self._traffic["floor"]
        releases = Versions(self._shop.releases)
        network = releases.manifest(releases.current() or 0).fact("strategy", str) == "network"
        strangers = ["the floor found no behaviours of any user, and so never asked the model"] if network and not self._personal else []
        return strangers + [
            f"cluster {name} answered {system[name].calls:,} calls of the system and {floor[name].calls:,} of its floor, for the same searches"
            for name in system
            if abs(system[name].calls - floor[name].calls) > SAME * floor[name].calls
        ]

    def _write_costs(self, series: dict[str, Series], verdict: Verdict, calls: dict[str, tuple[float, float]]) -> None:
        searches = self._options.rounds * len(self._asks)
        products = Catalogue(Versions(self._shop.generations).folder(Versions(self._shop.generations).current() or 0))
        facts = [
            f"{len(products):,} products; {self._options.rounds} rounds of the same {len(self._asks)} searches, {self._options.concurrency} at once: "
            "what their users and pages need is in memory after the first round, in the system and in the floor",
            "keep-alive, no compression, no `_source`, no stored `_id`; the floor makes the same calls one after the other from one process",
        ]
        traffic = costs.traffic_table(self._traffic["system"], self._traffic["floor"], searches)
        self._say("\n".join(traffic))
        self._say("\n".join(costs.calls_table(calls)))
        if self._wrong:
            self._say("docs/costs.md is not written")
            return
        costs.write(real.COSTS, costs.page(series, verdict, facts, [*traffic, "", *costs.calls_table(calls)]))
        self._say(f"written: {real.COSTS.relative_to(PROJECT)}")

    def _stage_table(self) -> Table:
        report = self._stages.report()
        title = "stages of the system, ms (Server-Timing, one search at a time: then what a stage takes is nearly what it computes)"
        table = Table(title=title, title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("stage", "of searches", "mean", "p50", "p99", "critical path"):
            table.add_column(heading, justify="left" if heading == "stage" else "right")
        for row in report.rows:
            b = row.busy
            numbers = [f"{row.requests:.0%}", *(f"{ms:.2f}" for ms in (b.mean_ms, b.p50_ms, b.p99_ms))] if b.count else [""] * 4
            table.add_row(row.stage, *numbers, f"{row.critical_share:.1%}")
        return table

    def _say(self, line: str) -> None:
        self._console.print(line, markup=False, soft_wrap=True)


def wait_until_ready(urls: list[str], limit_s: float = 30.0) -> None:
    give_up = time.monotonic() + limit_s
    with httpx.Client(timeout=1.0) as client:
        for url in urls:
            while not _answers(client, url):
                if time.monotonic() > give_up:
                    raise TimeoutError(f"{url} is not ready after {limit_s:.0f} s")
                time.sleep(0.05)


def _answers(client: httpx.Client, url: str) -> bool:
    try:
        return client.get(url).status_code == 200
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    sys.exit(main())
