"""TensorFlow Serving's REST routes over the same answers as gRPC, for people with curl; services use gRPC.

GET  /v1/models/NAME[/versions/N]             status
GET  /v1/models/NAME[/versions/N]/metadata    signatures
POST /v1/models/NAME[/versions/N]:predict     {"signature_name": ..., "inputs": {...} | "instances": [...]}
"""

import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import grpc
import numpy as np
from google.protobuf import json_format
from google.protobuf.wrappers_pb2 import Int64Value

from deploy.local.model_rpc import Api
from deploy.local.model_versions import Graph, Refused
from services.models.protos import serving_pb2 as pb
from services.models.tfserving_wire import SIGNATURES, Array

_ROUTE = re.compile(r"/v1/models/(?P<name>[^/:]+)(/versions/(?P<version>\d{1,18}))?(?P<what>/metadata|:predict)?")
_HTTP = {grpc.StatusCode.NOT_FOUND: 404, grpc.StatusCode.INVALID_ARGUMENT: 400, grpc.StatusCode.FAILED_PRECONDITION: 412}
MAX_BODY = 16 * 1024 * 1024


def server(host: str, port: int, api: Api) -> ThreadingHTTPServer:
    """Bound, not yet serving."""

    class Handler(_Handler):
        answers = api

    return ThreadingHTTPServer((host, port), Handler)


class _Handler(BaseHTTPRequestHandler):
    answers: Api
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isdigit() or int(length) > MAX_BODY:
            self.close_connection = True
            self._send(413, {"error": f"a body of at most {MAX_BODY} bytes with Content-Length is needed"})
            return
        self._answer(self.rfile.read(int(length)))

    def _answer(self, body: bytes | None) -> None:
        match = _ROUTE.fullmatch(self.path)
        if match is None or (body is None) == (match["what"] == ":predict"):
            self._send(404, {"error": f"Malformed request: {self.command} {self.path[:200]}"})
            return
        version = Int64Value(value=int(match["version"])) if match["version"] else None
        spec = pb.ModelSpec(name=match["name"], version=version)
        try:
            self._send(200, self._found(match["what"], spec, body))
        except Refused as refused:
            self._send(_HTTP.get(refused.code, 500), {"error": refused.message})

    def _found(self, what: str | None, spec: pb.ModelSpec, body: bytes | None) -> Any:
        match what:
            case None:
                return _status(self.answers.status(pb.GetModelStatusRequest(model_spec=spec)))
            case "/metadata":
                return _metadata(self.answers.metadata(pb.GetModelMetadataRequest(model_spec=spec, metadata_field=[SIGNATURES])))
            case _:
                return predict(self.answers, spec, body or b"")

    def _send(self, status: int, answer: Any) -> None:
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        """Requests are not logged: the log is for releases."""


def _status(answer: pb.GetModelStatusResponse) -> Any:
    found = [
        {
            "version": str(v.version),
            "state": pb.ModelVersionStatus.State.Name(v.state),
            "status": {"error_code": "UNKNOWN" if v.status.error_code else "OK", "error_message": v.status.error_message},
        }
        for v in answer.model_version_status
    ]
    return {"model_version_status": found}


def _metadata(answer: pb.GetModelMetadataResponse) -> Any:
    signatures = pb.SignatureDefMap.FromString(answer.metadata[SIGNATURES].value)
    told = json_format.MessageToDict(signatures, preserving_proto_field_name=True)
    spec = {"name": answer.model_spec.name, "signature_name": "", "version": str(answer.model_spec.version.value)}
    return {"model_spec": spec, "metadata": {SIGNATURES: told}}


def predict(api: Api, spec: pb.ModelSpec, body: bytes) -> Any:
    """Answer a request in columns (`inputs`) or rows (`instances`) in kind. A single output stands alone, as TensorFlow Serving has it."""
    try:
        asked = json.loads(body)
    except ValueError:
        raise _bad("the body is not JSON") from None
    if not isinstance(asked, dict) or ("inputs" in asked) == ("instances" in asked):
        raise _bad("the body is an object with `inputs` or `instances`")
    graph = api.release(spec).graph(str(asked.get("signature_name", "")))
    if "inputs" in asked:
        outputs = graph.run(_columns(graph, asked["inputs"]))
        told = {name: value.tolist() for name, value in outputs.items()}
        return {"outputs": told if len(told) > 1 else next(iter(told.values()))}
    outputs = graph.run(_columns(graph, _transposed(asked["instances"])))
    rows = [dict(zip(outputs, values, strict=True)) for values in zip(*(value.tolist() for value in outputs.values()), strict=True)]
    return {"predictions": rows if len(outputs) > 1 else [next(iter(row.values())) for row in rows]}


def _columns(graph: Graph, given: Any) -> dict[str, Array]:
    if not isinstance(given, dict):
        raise _bad(f"inputs are named: {', '.join(graph.inputs)}")
    try:
        return {name: np.asarray(value, graph.inputs[name].dtype if name in graph.inputs else None) for name, value in given.items()}
    except (ValueError, TypeError, OverflowError) as error:
        raise _bad(f"an input is no array of numbers: {error}") from None


def _transposed(rows: Any) -> dict[str, list[Any]]:
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) and row.keys() == rows[0].keys() for row in rows):
        raise _bad("instances are a list of objects with the same names")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _bad(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)
