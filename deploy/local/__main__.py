"""Real servers for people:

python -m deploy.local download                        Elasticsearch and Neo4j into the cache, so that a start needs no network
python -m deploy.local start elasticsearch|neo4j       in the foreground, until Ctrl-C or SIGTERM
python -m deploy.local start model-server RELEASES
"""

import argparse
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from deploy.local import elasticsearch, model_server, neo4j
from deploy.local.cache import say
from deploy.local.server import Server
from deploy.local.toolchain import Toolchain
from services.errors import ConfigurationError


def main(arguments: list[str], environment: dict[str, str]) -> None:
    given = _parser().parse_args(arguments)
    toolchain = Toolchain(environment)
    if given.command == "download":
        for install in (elasticsearch.install, neo4j.install):
            print(install(toolchain))
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end)
    with _start(given, toolchain) as server:
        print(server.url, flush=True)
        say(f"{server.name} runs with pid {server.pid}; its log is {server.log_file}; Ctrl-C stops it")
        if (code := server.process.wait()) != 0:
            raise ConfigurationError(f"{server.name} ended with exit code {code}: its log is {server.log_file}")


def _start(given: argparse.Namespace, toolchain: Toolchain) -> Server:
    home = Path(toolchain.environment.get("AISLE_HOME", ".aisle"))
    data = given.data or home / "local" / given.server
    match given.server:
        case "elasticsearch":
            return elasticsearch.start(data, heap_mb=given.heap_mb, port=given.port, toolchain=toolchain)
        case "neo4j":
            return neo4j.start(data, heap_mb=given.heap_mb, port=given.port, toolchain=toolchain)
        case _:
            return model_server.start(given.releases, data_dir=data, grpc_port=given.port)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)  # stops the server on its way out


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description="Real servers as local processes, without Docker.")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("download", help="fetch Elasticsearch and Neo4j into the cache (AISLE_CACHE)")
    servers = commands.add_parser("start", help="run one server in the foreground").add_subparsers(dest="server", required=True)
    for name in ("elasticsearch", "neo4j", "model-server"):
        server = servers.add_parser(name)
        if name == "model-server":
            server.add_argument("releases", type=Path, help="folder of releases, one below it per version")
        else:
            server.add_argument("--heap-mb", type=int, default=256, help="Java heap in MB (default 256)")
        server.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
        server.add_argument("--data", type=Path, help="folder of its data and log (default: local/NAME in AISLE_HOME)")
    return parser


if __name__ == "__main__":
    try:
        main(sys.argv[1:], dict(os.environ))
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
