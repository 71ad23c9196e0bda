"""Make `serving_pb2.py` and `serving_pb2.pyi` from `serving.proto`: `python -m services.models.protos.make_protos`.

Needs grpcio-tools (development only); its version is the one of grpcio in the lock, so that the code fits the protobuf that is installed.
"""

import importlib.util
import subprocess
import sys
from pathlib import Path

PROTO = "services/models/protos/serving.proto"


def make(out: Path) -> None:
    """Write the generated files below `out`, at their path in the repository. In a process of its own: the compiler brings a protobuf that
    cannot live beside TensorFlow's."""
    root = Path(__file__).resolve().parents[3]
    spec = importlib.util.find_spec("grpc_tools")
    if spec is None or spec.origin is None:
        sys.exit("grpcio-tools is missing: install requirements/dev.lock")
    googles = Path(spec.origin).with_name("_proto")
    compiler = [sys.executable, "-m", "grpc_tools.protoc"]
    subprocess.run([*compiler, f"-I{root}", f"-I{googles}", f"--python_out={out}", f"--pyi_out={out}", PROTO], check=True, timeout=120)


if __name__ == "__main__":
    make(Path(__file__).resolve().parents[3])
