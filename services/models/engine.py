"""What executes releases: chosen by one setting, AISLE_RECOMMENDER_MODELS_URL or AISLE_RANKER_MODELS_URL."""

from collections.abc import Callable
from pathlib import Path

from services.artifacts import Manifest
from services.models import onnx
from services.models.port import Model
from services.models.tfserving import Connection

ADDRESS = r"^((grpc://)?[^/\s]+:\d+)?$"
"""What the setting looks like; empty: ONNX Runtime in the calling process."""


class Executor:
    """Loads releases to where they are executed. `remote`: calls block on a network, so they belong into a thread."""

    def __init__(self, url: str) -> None:
        self.remote = bool(url)
        self.load: Callable[[Path, Manifest], Model]
        self.close: Callable[[], None]
        match url.removeprefix("grpc://"):
            case "":
                self.load, self.close = onnx.load, _nothing
            case target:
                connection = Connection(target)
                self.load, self.close = connection.load, connection.close


def _nothing() -> None: ...
