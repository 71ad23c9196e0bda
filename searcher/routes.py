"""The searcher's routes: /retrieve and /suggest."""

from functools import partial

from searcher.plan import Level
from searcher.retrieve import Part, retrieve
from services.app import Service
from services.artifacts import Served
from services.calls import Call
from services.catalogue import TIERS
from services.contracts import RetrieveAnswer, RetrieveRequest, SuggestAnswer, SuggestRequest
from services.errors import Unavailable
from services.telemetry import Telemetry
from services.timing import Stage, Timing


class Searches:
    """Times and counts the searches of one request: stages `high`, `medium`, `low`; relaxed ones `high_floor`, `high_any`, ...; `facets`."""

    def __init__(self, telemetry: Telemetry, timing: Timing) -> None:
        self._telemetry, self._timing = telemetry, timing

    def search(self, tier: str, level: Level) -> Stage:
        self._telemetry.count("aisle_tier_searches_total", tier, "strict" if level.strict else "relaxed")
        return self._timing.stage(tier if level.strict else f"{tier}_{level.name}")

    def stage(self, name: str) -> Stage:
        return self._timing.stage(name)


class Routes:
    """Handlers over the served generations."""

    def __init__(self, service: Service, served: Served[Part]) -> None:
        self._service, self._served = service, served
        service.post("/retrieve", RetrieveRequest, RetrieveAnswer, self.retrieve, summary="Candidates from the popularity tiers")
        service.get("/suggest", SuggestRequest, SuggestAnswer, self.suggest, summary="Completions of what was typed so far")
        service.check("generation", self._generation)
        for tier in TIERS:
            service.telemetry.count("aisle_degraded_total", f"tier:{tier}", amount=0)
            for mode in ("strict", "relaxed"):
                service.telemetry.count("aisle_tier_searches_total", tier, mode, amount=0)
                service.telemetry.count("aisle_tier_hits_total", tier, mode, amount=0)
            service.check(f"tier:{tier}", partial(self._tier, tier))

    async def retrieve(self, request: RetrieveRequest, call: Call) -> RetrieveAnswer:
        generation, part = self._part(request.generation)
        answer = await call.run(retrieve, part, generation, request, Searches(self._service.telemetry, call.timing))
        for found in answer.tiers:
            for mode, hits in (("strict", found.strict), ("relaxed", found.relaxed)):
                if hits:
                    self._service.telemetry.count("aisle_tier_hits_total", found.name, mode, amount=hits)
        for tier in answer.unavailable:
            self._service.telemetry.count("aisle_degraded_total", f"tier:{tier}")
        return answer

    async def suggest(self, request: SuggestRequest, call: Call) -> SuggestAnswer:
        generation, part = self._part(request.generation)
        return SuggestAnswer(generation, part.suggester.suggest(request.q, request.limit))

    def _part(self, generation: int | None) -> tuple[int, Part]:
        if self._served.current is None:
            raise Unavailable("no generation is served yet; run `aisle build`")
        return self._served.get(generation)

    def _generation(self) -> dict[str, object]:
        current, _ = self._part(None)
        return {"current": current, "served": self._served.loaded}

    def _tier(self, tier: str) -> dict[str, object]:
        return {"products": self._part(None)[1].index(tier).ping()}
