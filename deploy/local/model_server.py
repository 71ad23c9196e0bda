"""A small model server that speaks TensorFlow Serving's protocol (gRPC and REST) and executes a release's ONNX graphs.

It is NOT TensorFlow Serving, whose binary is in no package registry: it serves one model, has no batching, no labels, no custom operations,
and its speed says nothing about TensorFlow Serving's. It is here so that the path runs with the real protocol where the official image cannot
be had; that one serves the same folder.

    python -m deploy.local.model_server RELEASES [--grpc-port 8500] [--rest-port 8501]
"""

import argparse
import json
import logging
import signal
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import grpc

from deploy.local import model_rest
from deploy.local.model_rpc import Api, handlers
from deploy.local.model_versions import ModelVersions
from deploy.local.server import START_LIMIT_S, Server, await_ready, spawn
from services.errors import ConfigurationError
from services.models.tfserving_wire import MODEL_NAME
from services.shop import write_atomically

log = logging.getLogger("aisle.models")
WORKERS = 8
"""Calls worked on at once; more wait."""
NOTICE = "AIsle's own model server with TensorFlow Serving's protocol, executing ONNX graphs; it is not TensorFlow Serving"


@dataclass(frozen=True)
class ModelServer(Server):
    """`url` is the gRPC target `host:port`, `rest_url` the base of the REST routes."""

    rest_url: str


def start(
    releases: Path, *, data_dir: Path, grpc_port: int = 0, rest_port: int = 0, name: str = MODEL_NAME, keep: int = 2, poll_s: float = 1.0,
    limit_s: float = START_LIMIT_S,
) -> ModelServer:  # fmt: skip
    """Start the server on a folder of releases as a process of its own and wait until it answers; ports 0 take free ones. Its log and the
    file that says its ports are in `data_dir`. Raises ConfigurationError in one line."""
    folder = data_dir.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    log_file, ports_file = folder / "model-server.log", folder / "model-server.ports"
    ports_file.unlink(missing_ok=True)
    command = [sys.executable, "-m", "deploy.local.model_server", str(releases.absolute()), "--grpc-port", str(grpc_port), "--rest-port",
               str(rest_port), "--name", name, "--keep", str(keep), "--poll-s", str(poll_s), "--ports-file", str(ports_file)]  # fmt: skip
    process = spawn(command, log_file, folder=Path(__file__).resolve().parents[2])
    target = await_ready("the model server", process, [log_file], lambda: _ports(ports_file, "grpc"), limit_s)
    return ModelServer("model-server", target, process, log_file, f"http://{_ports(ports_file, 'rest')}")


def _ports(file: Path, which: str) -> str | None:
    try:
        return f"127.0.0.1:{json.loads(file.read_bytes())[which]}"
    except FileNotFoundError:
        return None


class Running:
    """The server in this process."""

    def __init__(
        self, versions: ModelVersions, *, name: str = MODEL_NAME, grpc_port: int = 0, rest_port: int = 0, poll_s: float = 1.0
    ) -> None:
        """Opens both ports. Raises ConfigurationError when one is taken."""
        self.versions, self._poll_s = versions, poll_s
        self._ended = threading.Event()
        api = Api(name, versions)
        self._grpc = grpc.server(ThreadPoolExecutor(WORKERS, "grpc"), handlers(api), options=[("grpc.so_reuseport", 0)])
        try:
            self.grpc_port = self._grpc.add_insecure_port(f"127.0.0.1:{grpc_port}")
            self._rest = model_rest.server("127.0.0.1", rest_port, api)
        except (OSError, RuntimeError) as error:
            raise ConfigurationError(
                f"ports {grpc_port} (gRPC) and {rest_port} (REST) cannot both be opened ({error}): choose others"
            ) from None
        self.rest_port = int(self._rest.server_address[1])
        self._threads = [threading.Thread(target=self._rest.serve_forever, daemon=True), threading.Thread(target=self._watch, daemon=True)]

    def start(self) -> None:
        """Load what there is, then answer."""
        self.versions.scan()
        self._grpc.start()
        for thread in self._threads:
            thread.start()

    def stop(self, grace_s: float = 5.0) -> None:
        """Calls under way are answered, for so long."""
        self._ended.set()
        self._grpc.stop(grace_s).wait()
        self._rest.shutdown()
        self._rest.server_close()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(self._poll_s):
            try:
                self.versions.scan()
            except (OSError, ValueError) as error:  # a folder that cannot be read now; what is loaded is served on
                log.error("looking for releases failed, to be tried again: %s", error)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.model_server", description=NOTICE)
    parser.add_argument("releases", type=Path, help="folder of releases, one below it per version")
    parser.add_argument("--grpc-port", type=int, default=8500, help="0 takes a free one (default 8500)")
    parser.add_argument("--rest-port", type=int, default=8501, help="0 takes a free one (default 8501)")
    parser.add_argument("--name", default=MODEL_NAME, help="what the model is called")
    parser.add_argument("--keep", type=int, default=2, help="how many versions are served (default 2)")
    parser.add_argument("--poll-s", type=float, default=1.0, help="seconds between two looks into the folder")
    parser.add_argument("--ports-file", type=Path, help="written when the server answers")
    given = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stdout)
    log.info(NOTICE)
    versions = ModelVersions(given.releases, keep=given.keep)
    running = Running(versions, name=given.name, grpc_port=given.grpc_port, rest_port=given.rest_port, poll_s=given.poll_s)
    ended = threading.Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    running.start()
    log.info("gRPC on 127.0.0.1:%d, REST on 127.0.0.1:%d, releases in %s", running.grpc_port, running.rest_port, given.releases)
    if given.ports_file is not None:
        write_atomically(given.ports_file, json.dumps({"grpc": running.grpc_port, "rest": running.rest_port}).encode())
    ended.wait()
    running.stop()
    log.info("stopped")


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except ConfigurationError as error:
        sys.exit(f"error: {error}")
