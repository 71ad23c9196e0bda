"""What happens to events and to users who want to be forgotten: first the log, then the user graph."""

import asyncio
from collections import Counter
from collections.abc import Callable

import msgspec

from planner.events import Arrival, UbiEvent, behaviours, outcome, product_ids, to_records
from planner.pages import PageQueue
from planner.pending import Pending
from planner.products.cache import CachedProducts
from planner.projection import Projection
from services.artifacts import Served
from services.calls import Call
from services.contracts import EVENT_KINDS, EventRecord, EventsAnswer, ForgetAnswer
from services.eventlog.port import PARTITION, EventLogWriter, NewRecord
from services.telemetry import Telemetry

_encode = msgspec.json.Encoder().encode


class Intake:
    """`arrival` gives the clock, the user hash and new ids of one request; `wait_ms` is how long the user graph is waited for."""

    def __init__(
        self,
        writer: EventLogWriter,
        products: Served[CachedProducts],
        projection: Projection,
        pending: Pending,
        pages: PageQueue,
        telemetry: Telemetry,
        *,
        arrival: Callable[[], Arrival],
        wait_ms: float,
    ) -> None:
        self._writer, self._products, self._projection, self._pending = writer, products, projection, pending
        self._pages, self._telemetry, self._arrival, self._wait_ms = pages, telemetry, arrival, wait_ms
        for what in (*EVENT_KINDS, "other", "unknown_product"):
            telemetry.count("aisle_events_total", what, amount=0)

    async def events(self, events: list[UbiEvent], call: Call) -> EventsAnswer:
        """All of them are on disk when this returns, or none and it raises (InvalidRequest, Unavailable, Overloaded)."""
        _, store = self._products.get()
        ids = product_ids(events)
        known = await call.run(store.numbers, ids) if ids else {}
        records = to_records(events, known, self._arrival())
        with call.timing.stage("log"):
            offset = await asyncio.wrap_future(self._writer.append([NewRecord("event", r.ts_ms, r.user, _encode(r)) for r in records]))
        self._count(records, offset)
        for user, of_user in behaviours(records).items():
            self._pending.add(user, offset, of_user)
        projected = await self._projection.up_to(offset, call, self._wait_ms)
        unknown = sum(r.product_id is not None and r.product_no is None for r in records)
        return EventsAnswer(len(records), {PARTITION: offset}, projected, [r.event_id for r in records], unknown)

    async def forget(self, user: str, call: Call) -> ForgetAnswer:
        """Remove a user's records (keyed hash) from the log and from what waits, and ask the user graph to follow."""
        self._pages.forget(user)
        self._pending.forget(user)
        with call.timing.stage("log"):
            offset = await asyncio.wrap_future(self._writer.forget(user))
        self._telemetry.set("aisle_log_offset", offset, "written")
        return ForgetAnswer({PARTITION: offset}, await self._projection.up_to(offset, call, self._wait_ms))

    def _count(self, records: list[EventRecord], offset: int) -> None:
        for what, count in Counter(outcome(r) for r in records).items():
            self._telemetry.count("aisle_events_total", what, amount=count)
        for record in records:
            if record.kind == "click" and record.position:
                self._telemetry.observe("aisle_click_position", record.position)
        self._telemetry.set("aisle_log_offset", offset, "written")
