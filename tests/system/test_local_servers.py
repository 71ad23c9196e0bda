"""Real servers as local processes: Elasticsearch, Neo4j and the model server, started as people and `aisle` start them."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import neo4j as neo4j_client
import psutil
import pytest
from elasticsearch import ApiError, ConnectionError, ConnectionTimeout, Elasticsearch, helpers

from deploy.local import elasticsearch, neo4j
from deploy.local.server import Server
from deploy.local.toolchain import Toolchain
from services.errors import ConfigurationError
from tests import local_servers

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def toolchain() -> Toolchain:
    return local_servers.toolchain()


def until(true: Callable[[], bool], limit_s: float) -> None:
    give_up = time.monotonic() + limit_s
    while not true():
        assert time.monotonic() < give_up, "it never happened"
        time.sleep(0.02)


def gone(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


# ---- Elasticsearch -------------------------------------------------------------------------------------------------------------------

MAPPINGS = {
    "dynamic": "strict",
    "_source": {"enabled": False},
    "properties": {
        "text": {"type": "text", "analyzer": "whitespace"}, "product_no": {"type": "integer"}, "category_id": {"type": "integer"},
        "brand": {"type": "keyword"}, "price_cents": {"type": "long"},
    },
}  # fmt: skip
QUERY = {
    "function_score": {
        "query": {
            "bool": {
                "must": [{"dis_max": {"queries": [{"term": {"text": "shoe1"}}, {"constant_score": {"filter": {"term": {"text": "boot1"}}, "boost": 0.7}}]}}],
                "should": [{"constant_score": {"filter": {"term": {"category_id": 1}}, "boost": 2.0}}],
                "filter": [{"range": {"price_cents": {"gte": 10}}}],
            }
        },
        "functions": [{"filter": {"term": {"brand": "b1"}}, "weight": 0.3}],
        "score_mode": "sum",
        "boost_mode": "sum",
    }
}  # fmt: skip


@pytest.fixture(scope="module")
def node(toolchain: Toolchain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with elasticsearch.start(tmp_path_factory.mktemp("elasticsearch"), cluster_name="high", toolchain=toolchain) as server:
        yield server


@pytest.fixture(scope="module")
def client(node: Server) -> Iterator[Elasticsearch]:
    with Elasticsearch(node.url, request_timeout=120, max_retries=0) as es:
        es.indices.create(index="products-1", settings={"number_of_shards": 1, "number_of_replicas": 0}, mappings=MAPPINGS)
        documents = (
            {
                "_index": "products-1",
                "text": f"red shoe{i % 7}",
                "product_no": i,
                "category_id": i % 5,
                "brand": f"b{i % 3}",
                "price_cents": i,
            }
            for i in range(1000)
        )
        helpers.bulk(es, documents, refresh=True)
        yield es


def test_elasticsearch_is_the_version_that_we_say(client: Elasticsearch) -> None:
    nodes = client.nodes.info(filter_path="nodes.*.version,nodes.*.jvm.version")["nodes"]
    assert [(n["version"], n["jvm"]["version"].split(".")[0]) for n in nodes.values()] == [("8.19.0", "17")]
    assert client.cluster.health()["cluster_name"] == "high"


def test_elasticsearch_never_runs_as_root(node: Server) -> None:
    assert psutil.Process(node.pid).uids().real != 0


def test_elasticsearch_listens_on_this_machine_alone(node: Server) -> None:
    listening = [c.laddr.ip for c in psutil.Process(node.pid).net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}


def test_elasticsearch_answers_our_kind_of_query_from_doc_values(client: Elasticsearch) -> None:
    answer = client.search(
        index="products-1", query=QUERY, size=200, stored_fields="_none_", docvalue_fields=["product_no"],
        aggs={"brand": {"terms": {"field": "brand"}}, "price": {"range": {"field": "price_cents", "ranges": [{"to": 500}]}}},
        track_total_hits=True, filter_path="hits.total,hits.hits._score,hits.hits.fields,aggregations",
    )  # fmt: skip
    expected = [i for i in range(1000) if i % 7 == 1 and i >= 10]
    assert answer["hits"]["total"]["value"] == len(expected)
    found = {hit["fields"]["product_no"][0]: hit["_score"] for hit in answer["hits"]["hits"]}
    assert sorted(found) == expected
    assert found[36] == pytest.approx(found[22] + 2.0 + 1.0 - 0.3)  # category 1, and no function matches: 1; against category 2 and 0.3
    assert sum(bucket["doc_count"] for bucket in answer["aggregations"]["brand"]["buckets"]) == len(expected)


def test_elasticsearch_has_the_calls_that_adapters_use(client: Elasticsearch) -> None:
    searches = [{"index": "products-1"}, {"query": QUERY, "size": 1}] * 3
    assert [r["hits"]["total"]["value"] for r in client.msearch(searches=searches)["responses"]] == [141] * 3
    rescored = client.search(
        index="products-1", query={"match_all": {}}, rescore={"window_size": 10, "query": {"rescore_query": {"term": {"text": "shoe1"}}}}
    )
    assert rescored["hits"]["hits"]
    page = client.search(index="products-1", sort=[{"price_cents": "asc"}, {"product_no": "asc"}], search_after=[100, 100], size=1)
    assert page["hits"]["hits"][0]["sort"] == [101, 101]


@pytest.mark.parametrize(
    "call",
    [
        lambda es: es.info(),
        lambda es: es.delete_by_query(index="products-1", query={"match_all": {}}),
        lambda es: es.search(query={"script_score": {"query": {"match_all": {}}, "script": {"source": "1"}}}),
        lambda es: es.indices.create(index="x", mappings={"properties": {"x": {"type": "rank_feature"}}}),
        lambda es: es.indices.create(index="x", mappings={"properties": {"x": {"type": "scaled_float", "scaling_factor": 100}}}),
        lambda es: es.indices.create(index="x", settings={"analysis": {"analyzer": {"a": {"tokenizer": "whitespace"}}}}),
    ],
    ids=["GET /", "delete by query", "scripts", "rank_feature", "scaled_float", "custom analysers on the whitespace tokenizer"],
)
def test_the_reduced_build_lacks_what_we_say_it_lacks(client: Elasticsearch, call: Callable[[Elasticsearch], object]) -> None:
    with pytest.raises(ApiError):
        call(client)


def test_a_paused_elasticsearch_does_not_answer_and_then_does(node: Server, client: Elasticsearch) -> None:
    node.pause()
    try:
        assert node.running
        with pytest.raises(ConnectionTimeout):
            client.options(request_timeout=0.3).count(index="products-1")
    finally:
        node.resume()
    assert client.count(index="products-1")["count"] == 1000


def test_elasticsearch_keeps_its_data_over_a_kill_and_comes_back_at_its_address(toolchain: Toolchain, tmp_path: Path) -> None:
    server = elasticsearch.start(tmp_path / "node", toolchain=toolchain)
    with Elasticsearch(server.url, max_retries=0, request_timeout=120) as es:
        es.index(index="kept", id="1", document={"x": 1})
        server.kill()
        assert gone(server.pid)
        with pytest.raises(ConnectionError):
            es.get(index="kept", id="1")
        port = int(server.url.rpartition(":")[2])
        with elasticsearch.start(tmp_path / "node", port=port, toolchain=toolchain) as again:
            assert again.url == server.url
            es.cluster.health(wait_for_status="yellow", timeout="30s")
            assert es.get(index="kept", id="1")["_source"] == {"x": 1}
    assert gone(again.pid)


def test_an_elasticsearch_that_cannot_start_says_why_in_one_line(node: Server, toolchain: Toolchain, tmp_path: Path) -> None:
    port = int(node.url.rpartition(":")[2])
    with pytest.raises(ConfigurationError, match=r"^Elasticsearch \(aisle\) ended while it started .*Failed to bind") as told:
        elasticsearch.start(tmp_path / "node", port=port, toolchain=toolchain)
    assert "\n" not in str(told.value)


# ---- Neo4j -----------------------------------------------------------------------------------------------------------------------------


def test_neo4j_keeps_its_data_over_a_stop_and_comes_back_at_its_address(toolchain: Toolchain, tmp_path: Path) -> None:
    with neo4j.start(tmp_path / "graph", toolchain=toolchain) as server, neo4j_client.GraphDatabase.driver(server.url) as driver:
        with driver.session() as session:
            assert session.run("CALL dbms.components() YIELD versions RETURN versions[0]").single(strict=True).value() == "5.26.0"
            session.run("CREATE (:User {key: 'u'})-[:CLICKED {ts: 1}]->(:Product {product_no: 7})").consume()
        server.pause()
        server.resume()
        with driver.session() as session:
            assert session.run("MATCH (:User)-[r]->(p) RETURN collect(p.product_no)").single(strict=True).value() == [7]
    assert gone(server.pid)
    port = int(server.url.rpartition(":")[2])
    with neo4j.start(tmp_path / "graph", port=port, toolchain=toolchain) as again, neo4j_client.GraphDatabase.driver(again.url) as driver:
        assert again.url == server.url
        with driver.session() as session:
            assert session.run("MATCH (p:Product) RETURN p.product_no").single(strict=True).value() == 7


def test_a_neo4j_that_cannot_start_says_why_in_one_line(toolchain: Toolchain, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"^Neo4j ended while it started \(exit code 1\): .* 'many' is not a valid") as told:
        neo4j.start(tmp_path / "graph", settings={"server.memory.pagecache.size": "many"}, toolchain=toolchain)
    assert "\n" not in str(told.value)


# ---- any server, here the model server, which starts in a second ---------------------------------------------------------------------------

STARTS_ONE = """
import os, sys, time
from pathlib import Path
from deploy.local import model_server
server = model_server.start(Path(sys.argv[1]) / "releases", data_dir=Path(sys.argv[1]))
if sys.argv[2] == "paused":
    server.pause()
print(server.pid, flush=True)
time.sleep(600)
"""


@pytest.mark.parametrize("state", ["running", "paused"])
def test_a_server_dies_with_its_parent_even_when_that_is_killed(tmp_path: Path, state: str) -> None:
    with _started([sys.executable, "-c", STARTS_ONE, str(tmp_path), state]) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
        parent.wait()
        until(lambda: gone(pid), 10)


def test_the_command_prints_the_address_and_stops_what_it_started(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "deploy.local",
        "start",
        "model-server",
        str(tmp_path / "releases"),
        "--data",
        str(tmp_path / "server"),
    ]
    with _started(command) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("127.0.0.1:")
        children = psutil.Process(process.pid).children()
        assert len(children) == 1
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
        assert gone(children[0].pid)


def test_the_command_says_in_one_line_what_is_missing(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "deploy.local", "start", "neo4j", "--data", str(tmp_path)]
    environment = {"PATH": str(tmp_path), "AISLE_CACHE": str(tmp_path / "cache"), "JAVA_HOME": _java_home(tmp_path)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "error: Maven is needed once, to download Elasticsearch and Neo4j, and was not found: install it"
    )


def _java_home(folder: Path) -> str:
    java = folder / "java" / "bin" / "java"
    java.parent.mkdir(parents=True)
    java.write_text("#!/bin/sh\necho 'openjdk version \"17.0.1\"' >&2\n")
    java.chmod(0o755)
    return str(java.parent.parent)


@contextlib.contextmanager
def _started(command: list[str]) -> Iterator["subprocess.Popen[str]"]:
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"})
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
