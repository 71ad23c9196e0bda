"""Whom a cluster's client asks, and for how long."""

import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

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
    cluster._breaker.pause_s = 1000.0
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


def test_the_last_resort_gets_nearly_all_the_time_that_is_left_and_two_calls_of_a_cluster_that_is_left_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cluster = Cluster("http://127.0.0.1:1")
    cluster._breaker.pause_s = 1000.0
    limits: list[float] = []
    asked, go_on = threading.Semaphore(0), threading.Event()

    def fails(path: str, body: object, limit_s: float) -> object:
        limits.append(limit_s)
        raise ElasticError("late")

    def hangs(path: str, body: object, limit_s: float) -> object:
        asked.release()
        assert go_on.wait(20)
        raise ElasticError("late")

    def search() -> str:
        with last_resort(), pytest.raises(ElasticError) as error:
            Deadline(10_000).run(cluster.search, "/x/_search", {})
        return str(error.value)

    monkeypatch.setattr(cluster, "_call", fails)
    for _ in range(2):
        with pytest.raises(ElasticError, match="late"):
            Deadline(10_000).run(cluster.search, "/x/_search", {})
    with pytest.raises(ElasticError, match="left alone"):
        Deadline(10_000).run(cluster.search, "/x/_search", {})
    assert search() == "late"
    assert limits == pytest.approx([3.5, 3.5, 9.0], rel=0.2)
    monkeypatch.setattr(cluster, "_call", hangs)
    with ThreadPoolExecutor(3) as pool:
        insisting = [pool.submit(search) for _ in range(2)]
        for _ in insisting:
            assert asked.acquire(timeout=20)
        assert "left alone" in search()
        go_on.set()
        assert [call.result(20) for call in insisting] == ["late"] * 2
    cluster.close()
