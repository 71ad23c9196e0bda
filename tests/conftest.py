"""Real servers for a whole test run: started when the first test asks for one, with fresh data on free ports, stopped at the end."""

from collections.abc import Iterator

import pytest

from deploy.local import elasticsearch, neo4j
from tests.local_servers import toolchain


@pytest.fixture(scope="session")
def elasticsearch_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with elasticsearch.start(tmp_path_factory.mktemp("elasticsearch"), toolchain=toolchain()) as server:
        yield server.url


@pytest.fixture(scope="session")
def neo4j_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with neo4j.start(tmp_path_factory.mktemp("neo4j"), toolchain=toolchain()) as server:
        yield server.url
