"""Whom a cluster's client asks, and for how long."""

import socket
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from services.elastic import Cluster, ElasticError, shown
from services.timing import Deadline, last_resort


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://elastic:secret@tier-high:9200", "http://tier-high:9200"),
        ("http://elastic:p@ss@tier-high:9200", "http://tier-high:9200"),
        ("http://tier-high:9200", "http://tier-high:9200"),
        ("elastic:secret@tier-high", "tier-high"),
    ],
)
def test_an_address_is_shown_without_its_password(url: str, expected: str) -> None:
    assert shown(url) == expected


def test_errors_do_not_tell_the_password() -> None:
    with pytest.raises(ElasticError) as refused:
        Cluster("http://elastic:secret@127.0.0.1:1").call("GET", "/")
    assert "secret" not in str(refused.value)
    with pytest.raises(ElasticError) as wrong:
        Cluster("elastic:secret@nowhere")
    assert "secret" not in str(wrong.value)


def test_a_host_that_nobody_knows_is_waited_for_no_longer_than_a_part_of_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose engine has lost its network: the look-up of its name takes as long as the resolver likes."""
    given_up = threading.Event()

    def never(*args: object, **kwargs: object) -> object:
        given_up.wait(20)
        raise socket.gaierror("nobody knows it")

    cluster = Cluster("http://tier-low.invalid:9200")
    monkeypatch.setattr(socket, "getaddrinfo", never)
    try:
        for _ in range(3):  # more often than its breaker takes, and one after the other
            started = time.perf_counter()
            with pytest.raises(ElasticError):
                Deadline(600).run(cluster.search, "/x/_search", {})
            assert time.perf_counter() - started < 10
        with pytest.raises(ElasticError, match="left alone"):
            cluster.search("/x/_search", {})
    finally:
        given_up.set()
        cluster.close()


@pytest.fixture
def slow() -> Iterator[str]:
    """A cluster that needs half of four seconds for every answer."""

    class Slow(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            time.sleep(2)
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("x-elastic-product", "Elasticsearch")
            self.send_header("content-length", "10")
            self.end_headers()
            self.wfile.write(b'{"slow":1}')

        def log_message(self, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join(10)


def test_the_last_resort_is_asked_for_longer_and_also_after_it_failed_repeatedly(slow: str) -> None:
    cluster = Cluster(slow)
    try:
        for _ in range(2):
            with pytest.raises(ElasticError, match="late"):
                Deadline(4000).run(cluster.search, "/x/_search", {})
        with pytest.raises(ElasticError, match="left alone"):
            Deadline(4000).run(cluster.search, "/x/_search", {})
        with last_resort():
            assert Deadline(4000).run(cluster.search, "/x/_search", {}) == {"slow": 1}
    finally:
        cluster.close()
