"""TensorFlow Serving's two gRPC services over `ModelVersions`. The REST routes (`model_rest.py`) answer by the same functions."""

import logging
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.wrappers_pb2 import Int64Value

from deploy.local.model_versions import SIGNATURES, Graph, ModelVersions, Refused, Release, Slot
from services.models.protos import serving_pb2 as pb
from services.models.tfserving_wire import (
    DTYPES,
    MODEL_SERVICE,
    PREDICT_METHOD,
    PREDICTION_SERVICE,
    SIGNATURES_TYPE_URL,
    to_array,
    to_tensor,
)  # fmt: skip
from services.models.tfserving_wire import SIGNATURES as SIGNATURES_FIELD

log = logging.getLogger("aisle.models")
Q = TypeVar("Q")
A = TypeVar("A")


class Api:
    """What the server answers; raises Refused."""

    def __init__(self, name: str, versions: ModelVersions) -> None:
        self.name, self._versions = name, versions

    def release(self, spec: pb.ModelSpec) -> Release:
        if spec.name != self.name:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"there is no model {spec.name!r}; the model is called {self.name!r}")
        if spec.WhichOneof("version_choice") == "version_label":
            raise Refused(
                grpc.StatusCode.FAILED_PRECONDITION, f"version label {spec.version_label!r} is not known: this server has no labels"
            )
        return self._versions.get(spec.version.value if spec.HasField("version") else None)

    def predict(self, request: pb.PredictRequest) -> pb.PredictResponse:
        release = self.release(request.model_spec)
        graph = release.graph(request.model_spec.signature_name)
        try:
            inputs = {name: to_array(tensor) for name, tensor in request.inputs.items()}
        except ValueError as error:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, str(error)) from None
        outputs = graph.run(inputs)
        wanted = list(request.output_filter) or list(outputs)
        if unknown := [name for name in wanted if name not in outputs]:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"there is no output {unknown[0]!r}; there are {', '.join(outputs)}")
        return pb.PredictResponse(model_spec=self._spec(release, graph.name), outputs={name: to_tensor(outputs[name]) for name in wanted})

    def metadata(self, request: pb.GetModelMetadataRequest) -> pb.GetModelMetadataResponse:
        release = self.release(request.model_spec)
        if list(request.metadata_field) != [SIGNATURES_FIELD]:
            raise Refused(grpc.StatusCode.INVALID_ARGUMENT, f"the one metadata field that there is is {SIGNATURES_FIELD!r}")
        signatures = pb.SignatureDefMap(signature_def={name: _signature(release.graphs[name]) for name in SIGNATURES})
        packed = AnyMessage(type_url=SIGNATURES_TYPE_URL, value=signatures.SerializeToString())
        return pb.GetModelMetadataResponse(model_spec=self._spec(release, ""), metadata={SIGNATURES_FIELD: packed})

    def status(self, request: pb.GetModelStatusRequest) -> pb.GetModelStatusResponse:
        spec = request.model_spec
        if spec.name != self.name:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"there is no model {spec.name!r}; the model is called {self.name!r}")
        available = {v: pb.StatusProto() for v in self._versions.served}
        failed = {v: pb.StatusProto(error_code=grpc.StatusCode.UNKNOWN.value[0], error_message=m) for v, m in self._versions.failed.items()}
        states = [
            pb.ModelVersionStatus(version=v, state=State.AVAILABLE if v in available else State.END, status=s)
            for v, s in sorted((failed | available).items(), reverse=True)
            if not spec.HasField("version") or spec.version.value == v
        ]
        if not states:
            raise Refused(grpc.StatusCode.NOT_FOUND, f"version {spec.version.value or 'any'} of {self.name} is not known")
        return pb.GetModelStatusResponse(model_version_status=states)

    def reload(self, request: pb.ReloadConfigRequest) -> pb.ReloadConfigResponse:
        """Looks for new releases at once, and may change which versions are served; the folder is fixed."""
        configs = list(request.config.model_config_list.config)
        if len(configs) != 1 or configs[0].name != self.name:
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT, f"this server has one model, {self.name!r}; the configuration must name it and no other"
            )
        if configs[0].base_path not in ("", str(self._versions.folder)):
            raise Refused(
                grpc.StatusCode.INVALID_ARGUMENT, f"the releases are in {self._versions.folder}; start another server for other ones"
            )
        policy = configs[0].model_version_policy
        match policy.WhichOneof("policy_choice"):
            case "specific":
                self._versions.policy(pinned=list(policy.specific.versions))
            case "all":
                raise Refused(grpc.StatusCode.INVALID_ARGUMENT, "policy `all` is not supported: take `latest` or `specific`")
            case _:
                self._versions.policy(keep=policy.latest.num_versions or None)
        return pb.ReloadConfigResponse(status=pb.StatusProto())

    def _spec(self, release: Release, signature: str) -> pb.ModelSpec:
        return pb.ModelSpec(name=self.name, version=Int64Value(value=release.version), signature_name=signature)


State = pb.ModelVersionStatus


def _signature(graph: Graph) -> pb.SignatureDef:
    def infos(slots: dict[str, Slot]) -> dict[str, pb.TensorInfo]:
        return {name: _info(f"{graph.name}_{name}:0", slot) for name, slot in slots.items()}

    return pb.SignatureDef(inputs=infos(graph.inputs), outputs=infos(graph.outputs), method_name=PREDICT_METHOD)


def _info(name: str, slot: Slot) -> pb.TensorInfo:
    shape = pb.TensorShapeProto(dim=[pb.TensorShapeProto.Dim(size=size) for size in slot.shape])
    return pb.TensorInfo(name=name, dtype=DTYPES[slot.dtype], tensor_shape=shape)


def handlers(api: Api) -> Sequence[grpc.GenericRpcHandler]:
    """The two services under their official names."""
    prediction = {
        "Predict": _method(api.predict, pb.PredictRequest, pb.PredictResponse),
        "GetModelMetadata": _method(api.metadata, pb.GetModelMetadataRequest, pb.GetModelMetadataResponse),
    }
    management = {
        "GetModelStatus": _method(api.status, pb.GetModelStatusRequest, pb.GetModelStatusResponse),
        "HandleReloadConfigRequest": _method(api.reload, pb.ReloadConfigRequest, pb.ReloadConfigResponse),
    }
    return [
        grpc.method_handlers_generic_handler(PREDICTION_SERVICE, prediction),
        grpc.method_handlers_generic_handler(MODEL_SERVICE, management),
    ]


def _method(answer: Callable[[Q], A], request: Any, response: Any) -> grpc.RpcMethodHandler:
    def handle(asked: Q, context: grpc.ServicerContext) -> A:
        try:
            return answer(asked)
        except Refused as refused:
            context.abort(refused.code, refused.message)
            raise  # abort has raised already

    return grpc.unary_unary_rpc_method_handler(handle, request.FromString, response.SerializeToString)
