import socket
import threading
import time

import pytest

from services.elastic import Cluster, ElasticError, shown
from services.timing import Deadline


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
