"""Traces: nothing without an endpoint, one decision for a whole trace, nothing of the user in it."""

import subprocess
import sys
import time

import pytest

from deploy.layout import PROJECT
from services.calls import child_trace
from services.errors import ConfigurationError
from services.timing import Timing
from services.tracing import Tracer, from_environment, sampled
from tests.otlp import Receiver

KNOWN = "00-" + "ab" * 16 + "-" + "cd" * 8 + "-01"


def tracer(url: str, share: str = "1") -> Tracer:
    made = from_environment("ranker", {"AISLE_OTLP_ENDPOINT": url, "AISLE_TRACE_SHARE": share})
    assert made
    return made


def test_without_an_endpoint_there_is_no_tracer_and_opentelemetrys_sdk_is_not_even_imported() -> None:
    program = """
import sys
from services.app import Service
from services.settings import ServiceSettings
from services.tracing import from_environment
assert from_environment("planner", {}) is None
Service("planner", ServiceSettings(), description="").asgi()
print([m for m in sys.modules if m.startswith(("opentelemetry.sdk", "opentelemetry.exporter"))])
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, timeout=60)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"AISLE_OTLP_ENDPOINT": "jaeger:4318"}, "no address"),
        ({"AISLE_OTLP_ENDPOINT": "http://jaeger:4318", "AISLE_TRACE_SHARE": "5 %"}, "from 0 to 1"),
        ({"AISLE_OTLP_ENDPOINT": "http://jaeger:4318", "AISLE_TRACE_SHARE": "2"}, "from 0 to 1"),
    ],
)
def test_a_wrong_setting_stops_the_start_in_one_line(variables: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said):
        from_environment("planner", variables)


def test_the_caller_decides_and_chance_only_where_nobody_did() -> None:
    never = tracer("http://127.0.0.1:1", share="0")
    assert never.samples(KNOWN)
    assert not never.samples(KNOWN[:-1] + "0")
    assert not never.samples("")
    assert tracer("http://127.0.0.1:1", share="1").samples("")


def test_a_trace_goes_on_below_its_caller_and_a_malformed_one_begins_anew() -> None:
    assert child_trace(KNOWN).split("-")[1] == "ab" * 16
    assert sampled(child_trace(KNOWN))
    assert child_trace(KNOWN) != KNOWN
    for malformed in ("", "nonsense", "00-xyz-cd-01", KNOWN.upper()):
        assert sampled(child_trace(malformed, sampled=True))
        assert not sampled(child_trace(malformed))
        assert len(child_trace(malformed).split("-")[1]) == 32


def test_a_request_is_a_span_with_its_stages_below_it() -> None:
    timing = Timing()
    with timing.stage("features"):
        time.sleep(0.002)
    timing.add("inference", timing.arrival + 0.002, timing.arrival + 0.003)
    timing.join("other", "spell;dur=1.0;start=0.0, total;dur=1.0;start=0.0", timing.arrival, timing.arrival + 0.002)
    own = child_trace(KNOWN)
    with Receiver() as receiver:
        made = tracer(receiver.url)
        made.record("POST /rank", 503, KNOWN, own, timing)
        made.close()
    by_name = {span.name: span for span in receiver.spans}
    request = by_name.pop("POST /rank")
    assert (request.service, request.trace, request.id, request.parent) == ("aisle-ranker", "ab" * 16, own.split("-")[2], "cd" * 8)
    assert request.attributes == {"http.request.method": "POST", "http.route": "/rank", "http.response.status_code": "503"}
    assert by_name.keys() == {"features", "inference"}, "stages of callees are their own spans"
    assert {span.parent for span in by_name.values()} == {request.id}
    assert by_name["inference"].kind == 3, "a call of an engine is of kind CLIENT"
    assert by_name["inference"].end_ns - by_name["inference"].start_ns == pytest.approx(1e6, rel=0.01)
    assert request.start_ns <= by_name["features"].start_ns <= by_name["features"].end_ns <= request.end_ns
