"""One Elasticsearch cluster, as the adapters of tiers, products and ranking use it: searches that cost little, and generations as indexes.

A generation's index is named `<shop>-<what>-<N>`. Its mapping's `_meta` says whose it is and that it is complete; that is written last, so an
index without it does not exist for readers.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec
from elastic_transport import TransportError
from elasticsearch import Elasticsearch, OrjsonSerializer

from services.breaker import Breaker
from services.errors import ConfigurationError
from services.shop import ShopInfo
from services.text import ANALYZER_VERSION
from services.timing import current_deadline, is_last_resort

JSON, NDJSON = {"content-type": "application/json"}, {"content-type": "application/x-ndjson"}
CONNECTIONS = 10
"""Connections kept open to a cluster: at least as many as threads that search."""
BESIDE = 4
"""Threads that wait for a cluster that does not answer, at most."""
INSISTING = 2
"""Calls at a time that a cluster gets while it is left alone, from those whom nobody else can answer."""
SEARCH_LIMIT_S, PING_LIMIT_S, ADMIN_LIMIT_S, MERGE_LIMIT_S = 10.0, 1.5, 60.0, 600.0
SHARE = 0.35
"""Part of a request's remaining time that one search may take, so that another tier can still answer when this one does not."""
BULK_BYTES = 4_000_000
LAST_SHARE = 0.9
"""The same when no other one can: the rest is for the way back."""
GRACE_S = 600.0
"""Indexes of generations that are gone stay this long: a service may have a search under way."""
FLAT = {"index": False, "doc_values": True}
"""A field that is only read by column."""
log = logging.getLogger("aisle")


class ElasticError(Exception):
    """The cluster did not do what it was asked to; one line that says why. `status` is None when it was not reached."""

    def __init__(self, detail: str, status: int | None = None) -> None:
        super().__init__(detail)
        self.status = status


def shown(url: str) -> str:
    """The address as messages may have it: without the password that may stand in it."""
    scheme, separator, rest = url.rpartition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


class Cluster:
    """A cluster behind one URL; used from any thread. After repeated failures it is left alone for moments, so that callers do not wait."""

    def __init__(self, url: str) -> None:
        logging.getLogger("elastic_transport").setLevel(logging.ERROR)  # it writes a line for every call, and a page for one that fails
        self.url = shown(url)
        try:
            self._client = Elasticsearch(
                url,
                serializers={"application/json": OrjsonSerializer()},
                http_compress=False,
                meta_header=False,
                connections_per_node=CONNECTIONS,
                request_timeout=ADMIN_LIMIT_S,
            )
        except ValueError as error:
            raise ElasticError(f"{self.url!r} is no address of a cluster ({error}); one looks like http://host:9200") from error
        self._perform = self._client.transport.perform_request
        self._breaker, self._lock = Breaker(failures=2, pause_s=0.5), threading.Lock()
        self._insisting = threading.BoundedSemaphore(INSISTING)
        self._beside = ThreadPoolExecutor(BESIDE, "cluster")  # starts no thread before it is needed
        self._answers = False
        """The last search was answered, so there is a connection."""
        self._closed = False

    def search(self, path: str, body: Mapping[str, Any], *, limit_s: float = SEARCH_LIMIT_S) -> Any:
        """A call of the serving path: bounded by the deadline that this thread works for, refused while the cluster fails (but for two calls at
        a time of those whose last resort it is)."""
        alone = is_last_resort()
        if self._allowed():
            return self._search(path, body, limit_s, alone)
        if not (alone and self._insisting.acquire(blocking=False)):
            raise ElasticError(f"{self.url} failed repeatedly and is left alone for a moment")
        try:
            return self._search(path, body, limit_s, alone)
        finally:
            self._insisting.release()

    def _search(self, path: str, body: Mapping[str, Any], limit_s: float, alone: bool) -> Any:
        if (deadline := current_deadline()) is not None:
            limit_s = min(limit_s, (LAST_SHARE if alone else SHARE) * deadline.remaining_ms() / 1000)
        try:
            answer = (self._call if self._answers else self._call_beside)(path, body, max(limit_s, 0.001))
        except ElasticError as error:
            self._note(failed=error.status is None or error.status >= 500)
            raise
        self._note(failed=False)
        return answer

    def _call(self, path: str, body: Mapping[str, Any], limit_s: float) -> Any:
        return self.call("POST", path, body, limit_s=limit_s)

    def _call_beside(self, path: str, body: Mapping[str, Any], limit_s: float) -> Any:
        """Where a connection may have to be made first: the look-up of a host's name has no time limit that could be set, and takes many seconds
        when nobody knows the host, as when it has lost its network."""
        try:
            attempt = self._beside.submit(self._call, path, body, limit_s)
        except RuntimeError:
            raise ElasticError(f"{self.url}: closed") from None
        try:
            return attempt.result(limit_s)
        except TimeoutError:
            attempt.cancel()
            raise ElasticError(f"{self.url} cannot be reached or is late (no answer in {limit_s:.2f} s)") from None

    def call(self, method: str, path: str, body: Any = None, *, headers: Mapping[str, str] = JSON, limit_s: float = ADMIN_LIMIT_S) -> Any:
        """The decoded answer. Raises ElasticError when the cluster cannot be reached, is late, or refuses."""
        if self._closed:
            raise ElasticError(f"{self.url}: closed")
        try:
            answer = self._perform(method, path, body=body, headers=headers, request_timeout=limit_s, max_retries=0)
        except TransportError as error:
            raise ElasticError(f"{self.url} cannot be reached or is late ({type(error).__name__})") from error
        if answer.meta.status >= 400:
            raise ElasticError(
                f"{self.url}{path.partition('?')[0]} answered {answer.meta.status}: {_reason(answer.body)}", answer.meta.status
            )
        return answer.body

    def close(self) -> None:
        self._closed = True
        self._beside.shutdown(wait=False, cancel_futures=True)
        self._client.close()

    def _allowed(self) -> bool:
        with self._lock:
            return self._breaker.allows(time.perf_counter())

    def _note(self, *, failed: bool) -> None:
        with self._lock:
            self._answers = not failed
            if failed:
                self._breaker.failed(time.perf_counter())
            else:
                self._breaker.succeeded()


# ---- generations as indexes ----------------------------------------------------------------------------------------------------


class Meta(msgspec.Struct, frozen=True, kw_only=True):
    """`_meta` of an index: `shop` is the identity of its shop, `documents` how many it holds."""

    shop: str
    documents: int
    analyzer_version: str


@dataclass(frozen=True, slots=True)
class Indexes:
    """The indexes of one kind (`what`: high, medium, low, products, ranking) of one shop on a cluster."""

    cluster: Cluster
    shop: str
    what: str
    identity: str
    """What tells this shop from another one of the same name that uses the same cluster."""
    replicas: int = 0
    """Copies of an index beside its primary shard, on other nodes of the cluster."""

    def name(self, generation: int) -> str:
        return f"{self.shop}-{self.what}-{generation}"

    def open(self, generation: int, setting: str) -> str:
        """Name of the complete index of a generation. Raises ConfigurationError that names the setting."""
        name = self.name(generation)
        try:
            meta = self._meta(name)
            found = self.count(name)
        except ElasticError as error:
            raise ConfigurationError(f"{setting}: {error}; start Elasticsearch there, or correct the setting") from error
        if meta is None or meta.shop != self.identity or meta.documents != found or meta.analyzer_version != ANALYZER_VERSION:
            why = "has no complete index" if meta is None else f"has {found} documents or another shop's in index"
            raise ConfigurationError(f"{setting}: {self.cluster.url} {why} {name}; run `aisle build`")
        return name

    def count(self, name: str) -> int:
        return int(self.cluster.call("POST", f"/{name}/_count?filter_path=count")["count"])

    def write(self, generation: int, mapping: Mapping[str, Any], documents: Iterable[tuple[int, Mapping[str, Any]]]) -> int:
        """Make the index of a generation from (product_no, fields); returns how many there are. Raises ElasticError."""
        writer = self.writer(generation, mapping)
        for product_no, fields in documents:
            writer.add(product_no, fields)
        return writer.finish()

    def writer(self, generation: int, mapping: Mapping[str, Any]) -> "Writer":
        """An empty index for a generation, in the place of what an interrupted build left. Raises ElasticError."""
        name = self.name(generation)
        self._remove_own(name)
        settings = {
            "number_of_shards": 1,
            "number_of_replicas": 0,
            "refresh_interval": "-1",
            "sort.field": "product_no",  # ties of a score come in this order, as everywhere
            "sort.order": "asc",
            # what Elasticsearch has by default, said here because the agreement of engines rests on it
            "similarity": {"default": {"type": "BM25", "k1": 1.2, "b": 0.75}},
        }
        fields = {"product_no": {"type": "long"}, **mapping}
        mappings = {"dynamic": False, "_source": {"enabled": False}, "properties": fields}
        self.cluster.call("PUT", f"/{name}", {"settings": {"index": settings}, "mappings": mappings})
        return Writer(self, name)

    def prune(self, kept: Iterable[int], grace_s: float = GRACE_S) -> list[str]:
        """Remove this shop's indexes of generations that are not kept and older than the grace time; returns their names."""
        names = {self.name(generation) for generation in kept}
        found = self.cluster.call("GET", f"/{self.shop}-{self.what}-*/_settings/index.creation_date?expand_wildcards=open")
        gone = []
        for name, about in found.items():
            made_s = int(about["settings"]["index"]["creation_date"]) / 1000
            meta = self._meta(name)
            ours = meta is not None and meta.shop == self.identity
            if ours and name not in names and name.rpartition("-")[2].isdigit() and time.time() - made_s >= grace_s:
                self.cluster.call("DELETE", f"/{name}")
                gone.append(name)
        return gone

    def _remove_own(self, name: str) -> None:
        """What is left of this index. Raises ElasticError when it belongs to somebody else."""
        try:
            meta = self._meta(name)
            if meta is not None and meta.shop != self.identity:
                raise ElasticError(
                    f"{self.cluster.url}: index {name} belongs to another shop of that name; use another cluster, or remove the index"
                )
            self.cluster.call("DELETE", f"/{name}")
        except ElasticError as error:
            if error.status != 404:
                raise

    def _meta(self, name: str) -> Meta | None:
        """None: there is no such index, or it is not complete."""
        try:
            answer = self.cluster.call("GET", f"/{name}/_mapping?filter_path=*.mappings._meta")
        except ElasticError as error:
            if error.status != 404:
                raise
            return None
        found = next((about["mappings"]["_meta"] for about in answer.values()), None) if isinstance(answer, dict) else None
        return msgspec.convert(found, Meta) if found else None


class Writer:
    """Fills one index by bulk calls; it is complete when `finish` has returned."""

    def __init__(self, indexes: Indexes, name: str) -> None:
        self._indexes, self._name = indexes, name
        self._encode = msgspec.json.Encoder().encode
        self._lines: list[bytes] = []
        self._size, self._written = 0, 0

    def add(self, product_no: int, fields: Mapping[str, Any]) -> None:
        # the id is ours, so that a call that is sent again replaces instead of doubling
        line = b'{"index":{"_id":"%d"}}\n%b\n' % (product_no, self._encode({"product_no": product_no, **fields}))
        self._lines.append(line)
        self._size += len(line)
        if self._size > BULK_BYTES:
            self._flush()

    def finish(self) -> int:
        """How many documents there are. Raises ElasticError when they are not those that were added."""
        self._flush()
        indexes, cluster, name = self._indexes, self._indexes.cluster, self._name
        cluster.call("POST", f"/{name}/_forcemerge?max_num_segments=1&flush=true", limit_s=MERGE_LIMIT_S)
        cluster.call("POST", f"/{name}/_refresh")
        if (held := indexes.count(name)) != self._written:
            raise ElasticError(f"{cluster.url}: {name} holds {held} documents, {self._written} were written")
        if indexes.replicas:  # of the finished segments: cheaper than to write all documents on every node, and equal to the last byte
            cluster.call("PUT", f"/{name}/_settings", {"index": {"number_of_replicas": indexes.replicas}})
        meta = Meta(shop=indexes.identity, documents=held, analyzer_version=ANALYZER_VERSION)
        cluster.call("PUT", f"/{name}/_mapping", {"_meta": msgspec.structs.asdict(meta)})
        return held

    def _flush(self) -> None:
        if not self._lines:
            return
        path = f"/{self._name}/_bulk?filter_path=errors,items.*.error"
        answer = self._indexes.cluster.call("POST", path, b"".join(self._lines), headers=NDJSON)
        if answer["errors"]:
            failed = next(item["index"]["error"] for item in answer["items"] if item)
            raise ElasticError(
                f"{self._indexes.cluster.url}: {self._name} refused a document: {failed.get('type')}: {failed.get('reason')}"
            )
        self._written += len(self._lines)
        self._lines, self._size = [], 0


ADDRESS = "^(https?://.+)?$"
"""What a setting that names a cluster looks like; empty: the embedded engine."""


def indexes(url: str, setting: str, info: ShopInfo, what: str, replicas: int = 0) -> Indexes:
    """The indexes behind a URL setting. Raises ConfigurationError that names it when it is no URL."""
    try:
        return Indexes(Cluster(url), info.name, what, info.identity, replicas)
    except ElasticError as error:
        raise ConfigurationError(f"{setting}: {error}") from error


def _reason(body: Any) -> str:
    error = body.get("error") if isinstance(body, dict) else None
    if isinstance(error, dict):
        cause = (error.get("root_cause") or [error])[0]
        return f"{cause.get('type')}: {str(cause.get('reason'))[:200]}"
    return str(error or body)[:200]
