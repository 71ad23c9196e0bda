"""Make `serving_pb2.py` and `serving_pb2.pyi` from `serving.proto`: `python -m services.models.protos.make_protos`.

Needs grpcio-tools (development only); its version is the one of grpcio in the lock, so that the code fits the protobuf that is installed.
"""

import sys
from pathlib import Path

PROTO = "services/models/protos/serving.proto"


def make(out: Path) -> None:
    """Write the generated files below `out`, at their path in the repository."""
    from grpc_tools import protoc  # development only

    root = Path(__file__).resolve().parents[3]
    googles = Path(protoc.__file__).with_name("_proto")
    if code := protoc.main(["protoc", f"-I{root}", f"-I{googles}", f"--python_out={out}", f"--pyi_out={out}", PROTO]):
        sys.exit(code)


if __name__ == "__main__":
    make(Path(__file__).resolve().parents[3])
