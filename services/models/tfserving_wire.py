"""TensorFlow Serving's protocol as bytes: the names that are on the wire, and arrays as its tensors. Client and server share it.

Source: tensorflow_serving/apis and tensorflow/core/framework/tensor.proto, 2.20; messages in `protos/serving.proto`.
"""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from services.models.protos.serving_pb2 import DataType, TensorProto, TensorShapeProto

Array = npt.NDArray[Any]

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"
PREDICT = f"/{PREDICTION_SERVICE}/Predict"
GET_MODEL_STATUS = f"/{MODEL_SERVICE}/GetModelStatus"
SIGNATURES = "signature_def"
"""The one metadata field that there is."""
SIGNATURES_TYPE_URL = "type.googleapis.com/tensorflow.serving.SignatureDefMap"
PREDICT_METHOD = "tensorflow/serving/predict"
MODEL_NAME = "aisle"
"""What our releases are called on a server."""

DTYPES: dict[np.dtype[Any], DataType] = {
    np.dtype(np.float32): DataType.DT_FLOAT,
    np.dtype(np.float64): DataType.DT_DOUBLE,
    np.dtype(np.int32): DataType.DT_INT32,
    np.dtype(np.int64): DataType.DT_INT64,
}
"""The types of numbers that the models take and give."""
_NUMPY = {int(number): dtype for dtype, number in DTYPES.items()}
_VALUES = {"f4": "float_val", "f8": "double_val", "i4": "int_val", "i8": "int64_val"}


def to_tensor(array: Array) -> TensorProto:
    """Raises KeyError for a type of numbers that is not in DTYPES."""
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=size) for size in array.shape])
    return TensorProto(dtype=DTYPES[array.dtype], tensor_shape=shape, tensor_content=array.tobytes())


def to_array(tensor: TensorProto) -> Array:
    """The values, whichever of the two ways they were sent in. Not writeable. Raises ValueError for what is no array of DTYPES."""
    dtype = _NUMPY.get(tensor.dtype)
    if dtype is None:
        raise ValueError(f"tensors of type {tensor.dtype} are not taken; taken are {', '.join(str(d) for d in DTYPES)}")
    shape = tuple(dim.size for dim in tensor.tensor_shape.dim)
    if tensor.tensor_shape.unknown_rank or any(size < 0 for size in shape):
        raise ValueError("the shape of a tensor must be known")
    count = math.prod(shape)
    if tensor.tensor_content:
        if len(tensor.tensor_content) != count * dtype.itemsize:
            raise ValueError(f"a tensor of shape {shape} has {len(tensor.tensor_content)} bytes, expected {count * dtype.itemsize}")
        return np.frombuffer(tensor.tensor_content, dtype).reshape(shape)
    values = getattr(tensor, _VALUES[dtype.str[1:]])
    if len(values) > count:
        raise ValueError(f"a tensor of shape {shape} has {len(values)} values")
    array = np.zeros(count, dtype)
    array[: len(values)] = values
    if len(values):
        array[len(values) :] = values[-1]  # TensorFlow's rule: the last value fills the rest
    return array.reshape(shape)
