"""The official `tensorflow-serving-api`, in a process of its own (it imports all of TensorFlow). Run by tests/contract/test_model_server.py.

python tests/tfserving_official.py client HOST:PORT     asks a server for everything that it has; prints JSON
python tests/tfserving_official.py server               is a server; prints its port; until its standard input closes
python tests/tfserving_official.py fields               prints {message: {field: [number, type, repeated]}} of the official definitions
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, tensor_shape_pb2
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    status_pb2,
)
from tensorflow_serving.config import file_system_storage_path_source_pb2, model_server_config_pb2

MODULES = [
    tensor_pb2, tensor_shape_pb2, meta_graph_pb2, get_model_metadata_pb2, get_model_status_pb2, model_management_pb2, model_pb2, predict_pb2,
    file_system_storage_path_source_pb2, model_server_config_pb2, status_pb2,
]  # fmt: skip
INPUTS = {
    "properties": np.array([[[1, 3, 5, 0], [2, 4, 0, 0]]], np.int32),
    "kinds": np.array([[1, 2]], np.int32),
    "gaps": np.array([[0.0, 1.5]], np.float32),
    "categories": np.array([[3, 0, 0]], np.int32),
    "probabilities": np.array([[0.7, 0.3, 0.0]], np.float32),
}


def client(target: str) -> dict[str, Any]:
    channel = grpc.insecure_channel(target)
    prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    management = model_service_pb2_grpc.ModelServiceStub(channel)
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "aisle", "preference"
    for name, value in INPUTS.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    latest = prediction.Predict(request, timeout=10)
    request.model_spec.version.value = 99
    metadata = prediction.GetModelMetadata(
        get_model_metadata_pb2.GetModelMetadataRequest(model_spec=model_pb2.ModelSpec(name="aisle"), metadata_field=["signature_def"]), timeout=10
    )  # fmt: skip
    signatures = get_model_metadata_pb2.SignatureDefMap()
    unpacked = metadata.metadata["signature_def"].Unpack(signatures)
    status = management.GetModelStatus(get_model_status_pb2.GetModelStatusRequest(model_spec=model_pb2.ModelSpec(name="aisle")), timeout=10)
    reload = model_management_pb2.ReloadConfigRequest()
    config = reload.config.model_config_list.config.add(name="aisle", model_platform="tensorflow")
    config.model_version_policy.specific.versions.append(1)
    return {
        "version": latest.model_spec.version.value,
        "signature": latest.model_spec.signature_name,
        "outputs": {name: tf.make_ndarray(tensor).tolist() for name, tensor in latest.outputs.items()},
        "gone": refusal(lambda: prediction.Predict(request, timeout=10)),
        "unpacked": unpacked,
        "signatures": {name: described(signature) for name, signature in signatures.signature_def.items()},
        "status": [
            [v.version, get_model_status_pb2.ModelVersionStatus.State.Name(v.state), v.status.error_code]
            for v in status.model_version_status
        ],
        "reload": management.HandleReloadConfigRequest(reload, timeout=10).status.error_code,
    }


def described(signature: Any) -> dict[str, Any]:
    inputs = {
        name: [tf.dtypes.as_dtype(info.dtype).name, [dim.size for dim in info.tensor_shape.dim]] for name, info in signature.inputs.items()
    }
    return {"inputs": inputs, "outputs": sorted(signature.outputs), "method": signature.method_name}


def refusal(call: Any) -> list[str]:
    try:
        call()
    except grpc.RpcError as error:
        return [error.code().name, error.details()]
    return []


class Prediction(prediction_service_pb2_grpc.PredictionServiceServicer):  # type: ignore[misc]
    """Answers with the sums of what it was sent; scores as a list of values, the rest as bytes: both ways that tensors travel."""

    def Predict(self, request: Any, context: Any) -> Any:  # noqa: N802 - the official name
        given = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
        if given.get("kinds", np.zeros(0)).sum() == 4:
            context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "too many")
        answer = predict_pb2.PredictResponse()
        answer.model_spec.CopyFrom(request.model_spec)
        if request.model_spec.signature_name == "rank":
            answer.outputs["scores"].CopyFrom(tf.make_tensor_proto(given["features"].sum(axis=2)))
            return answer
        sums = [float(given[name].sum()) for name in sorted(given)]
        shapes = [float(given[name].ndim) for name in sorted(given)]
        answer.outputs["scores"].CopyFrom(tf.make_tensor_proto([sums], dtype=tf.float32))
        listed = answer.outputs["scores"]
        values = tf.make_ndarray(listed)
        listed.ClearField("tensor_content")
        listed.float_val.extend(values.ravel().tolist())
        answer.outputs["weights"].CopyFrom(tf.make_tensor_proto([shapes], dtype=tf.float32))
        told = [float(request.model_spec.version.value), context.time_remaining()]
        answer.outputs["vector"].CopyFrom(tf.make_tensor_proto([told], dtype=tf.float32))
        return answer


class Management(model_service_pb2_grpc.ModelServiceServicer):  # type: ignore[misc]
    def GetModelStatus(self, request: Any, context: Any) -> Any:  # noqa: N802 - the official name
        answer = get_model_status_pb2.GetModelStatusResponse()
        for version, state in ((1, "AVAILABLE"), (2, "LOADING")):
            answer.model_version_status.add(version=version, state=state)
        return answer


def server() -> None:
    serving = grpc.server(ThreadPoolExecutor(4))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Prediction(), serving)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Management(), serving)
    port = serving.add_insecure_port("127.0.0.1:0")
    serving.start()
    print(port, flush=True)
    sys.stdin.read()
    serving.stop(0).wait()


def fields() -> dict[str, Any]:
    told: dict[str, Any] = {}

    def tell(descriptor: Any, prefix: str) -> None:
        name = prefix + descriptor.name
        told[name] = {field.name: [field.number, field.type, field.is_repeated] for field in descriptor.fields}
        for nested in descriptor.nested_types:
            tell(nested, f"{name}.")

    for module in MODULES:
        for descriptor in module.DESCRIPTOR.message_types_by_name.values():
            tell(descriptor, "")
    return told


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["client", target]:
            print(json.dumps(client(target)))
        case ["server"]:
            server()
        case ["fields"]:
            print(json.dumps(fields()))
        case other:
            sys.exit(f"what is {other}?")
