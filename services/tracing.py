"""Traces of sampled requests over OTLP, made from what `Server-Timing` says of them: a span for the request, one for each of its stages.

Off without an endpoint: nothing of OpenTelemetry is imported then, and a request costs a comparison. Whether a request is sampled is decided
once, where it enters, and travels in `traceparent`. Spans carry route templates, statuses and stage names: no text and no id of a user.
"""

import secrets
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from services.errors import ConfigurationError
from services.timing import Timing

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import SpanProcessor

ENDPOINT, SHARE = "AISLE_OTLP_ENDPOINT", "AISLE_TRACE_SHARE"
DEFAULT_SHARE = 0.05
ENGINE_STAGES = frozenset(
    {"facets", "fetch", "graph", "encode", "inference", "log", "project"}
    | {f"{tier}{level}" for tier in ("high", "medium", "low") for level in ("", "_floor", "_any")}
)
"""Stages that are calls of an engine, in this process or beyond the network: their spans are of kind CLIENT."""


class Tracer:
    """Hands finished requests to an exporter, in the background; what it cannot keep up with is dropped."""

    def __init__(self, service: str, share: float, processor: "SpanProcessor") -> None:
        from opentelemetry.sdk.resources import Resource

        self._share, self._processor = share, processor
        self._resource = Resource.create({"service.name": f"aisle-{service}"})

    def samples(self, traceparent: str) -> bool:
        """What the caller decided; chance for one who did not."""
        if traceparent:
            return sampled(traceparent)
        return secrets.randbelow(1_000_000) < self._share * 1_000_000

    def record(self, name: str, status: int, parent: str, own: str, timing: Timing) -> None:
        """One request: `parent` is the traceparent it came with (or ""), `own` the one its calls were made with."""
        from opentelemetry.trace import SpanKind, Status, StatusCode

        arrived_ns = time.time_ns() - int((time.perf_counter() - timing.arrival) * 1e9)
        trace_id, span_id = _ids(own)
        above = _ids(parent)[1] if parent else None
        method, _, route = name.partition(" ")
        attributes = {"http.request.method": method, "http.route": route, "http.response.status_code": status}
        failed = Status(StatusCode.ERROR) if status >= 500 else Status()
        self._end(name, trace_id, (span_id, above), (arrived_ns, time.time_ns()), SpanKind.SERVER, attributes, failed)
        for stage, dur_ms, start_ms in timing.entries:
            if "." in stage:  # the callee's own span
                continue
            started = arrived_ns + int(start_ms * 1e6)
            kind = SpanKind.CLIENT if stage in ENGINE_STAGES else SpanKind.INTERNAL
            ids = (int(secrets.token_hex(8), 16), span_id)
            self._end(stage, trace_id, ids, (started, started + int(dur_ms * 1e6)), kind, {}, Status())

    def close(self) -> None:
        """Sends what waits."""
        self._processor.shutdown()

    def _end(
        self, name: str, trace_id: int, ids: tuple[int, int | None], times_ns: tuple[int, int], kind: Any, attributes: Any, status: Any
    ) -> None:
        from opentelemetry.sdk.trace import ReadableSpan
        from opentelemetry.trace import SpanContext, TraceFlags

        def context(span_id: int, *, remote: bool) -> SpanContext:
            return SpanContext(trace_id, span_id, is_remote=remote, trace_flags=TraceFlags(TraceFlags.SAMPLED))

        own, above = ids
        self._processor.on_end(
            ReadableSpan(
                name,
                context(own, remote=False),
                parent=None if above is None else context(above, remote=kind.name == "SERVER"),
                resource=self._resource,
                attributes=attributes,
                kind=kind,
                start_time=times_ns[0],
                end_time=times_ns[1],
                status=status,
            )
        )


def from_environment(service: str, environment: Mapping[str, str]) -> Tracer | None:
    """A tracer when AISLE_OTLP_ENDPOINT (http://HOST:4318) is set. Raises ConfigurationError for what is no address or no share, or when
    OpenTelemetry is not installed."""
    endpoint = environment.get(ENDPOINT, "")
    if not endpoint:
        return None
    if not endpoint.startswith(("http://", "https://")):
        raise ConfigurationError(f"{ENDPOINT}={endpoint!r} is no address such as http://127.0.0.1:4318 (OTLP over HTTP)")
    share = _share(environment.get(SHARE, str(DEFAULT_SHARE)))
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise ConfigurationError(f"{ENDPOINT} is set, but OpenTelemetry is not installed ({error}): pip install 'aisle[traces]'") from None
    exporter = OTLPSpanExporter(endpoint=endpoint.rstrip("/") + "/v1/traces", timeout=5)
    return Tracer(service, share, BatchSpanProcessor(exporter, schedule_delay_millis=1000))


def sampled(traceparent: str) -> bool:
    return traceparent.endswith("-01")


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise ConfigurationError(f"{SHARE}={text!r}: a share of requests is a number from 0 to 1")
    return share


def _ids(traceparent: str) -> tuple[int, int]:
    """Trace and span of a traceparent that `services.calls.child_trace` made or accepted."""
    _, trace, span, _ = traceparent.split("-")
    return int(trace, 16), int(span, 16)
