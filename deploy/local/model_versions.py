"""The releases that the model server holds: found in a folder, loaded before they are offered, two kept, swapped without a failed call."""

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from onnxruntime.capi import onnxruntime_pybind11_state as ort_errors

from services.artifacts import Versions
from services.errors import AisleError, ConfigurationError
from services.models.onnx import UNREADABLE, session
from services.models.port import ASSETS, facts_of
from services.models.tfserving_wire import Array

log = logging.getLogger("aisle.models")
SIGNATURES = ("preference", "encode", "rank")
_DTYPES: dict[str, np.dtype[Any]] = {
    "tensor(float)": np.dtype(np.float32),
    "tensor(int32)": np.dtype(np.int32),
    "tensor(int64)": np.dtype(np.int64),
}

_UNFIT = tuple(getattr(ort_errors, name) for name in ("InvalidArgument", "RuntimeException", "Fail"))
"""What ONNX Runtime raises for values that a graph cannot take, as one that is not in the vocabulary."""


class Refused(Exception):
    """A call that is answered with an error of the protocol."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


@dataclass(frozen=True, slots=True)
class Slot:
    """An input or output of a signature: the graph's shape with the batch before it; -1 where any size is fine."""

    dtype: np.dtype[Any]
    shape: tuple[int, ...]


class Graph:
    """One signature of a release. The protocol speaks of batches of users as the SavedModel does; the ONNX graph takes one."""

    def __init__(self, name: str, path: Path) -> None:
        self.name, self._session = name, session(path)
        self.inputs = {given.name: _slot(given) for given in self._session.get_inputs()}
        self.outputs = {made.name: _slot(made) for made in self._session.get_outputs()}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of a batch. Raises Refused for inputs that do not fit."""
        self._check(inputs)
        given, steps = _at_least_one_step(inputs)
        batch = len(next(iter(given.values())))
        try:
            rows = [self._session.run(None, {name: value[row] for name, value in given.items()}) for row in range(batch)]
        except _UNFIT as error:
            raise _bad(str(error)) from None
        made = {name: np.stack([row[i] for row in rows]) for i, name in enumerate(self.outputs)}
        if steps == 0 and "states" in made:
            made["states"] = made["states"][:, :0]
        return made

    def _check(self, inputs: Mapping[str, Array]) -> None:
        if set(inputs) != set(self.inputs):
            raise _bad(
                f"signature {self.name} takes the inputs {', '.join(sorted(self.inputs))}; given are {', '.join(sorted(inputs)) or 'none'}"
            )
        sizes: dict[int, set[int]] = {}
        for name, slot in self.inputs.items():
            value = inputs[name]
            if value.dtype != slot.dtype:
                raise _bad(f"input {name} is {value.dtype}, expected {slot.dtype}")
            if value.ndim != len(slot.shape) or any(want not in (-1, got) for want, got in zip(slot.shape, value.shape, strict=True)):
                raise _bad(f"input {name} has shape {list(value.shape)}, expected {list(slot.shape)} (-1: any size)")
            for axis in [axis for axis, size in enumerate(slot.shape) if size == -1]:
                sizes.setdefault(axis, set()).add(value.shape[axis])
        if any(len(different) > 1 for different in sizes.values()):
            raise _bad(f"the inputs of signature {self.name} differ in batch size or length")
        if 0 in sizes[0]:
            raise _bad("the batch is empty")


def _slot(given: Any) -> Slot:
    return Slot(_DTYPES[given.type], (-1, *(size if isinstance(size, int) else -1 for size in given.shape)))


def _bad(message: str) -> Refused:
    return Refused(grpc.StatusCode.INVALID_ARGUMENT, message)


def _at_least_one_step(inputs: Mapping[str, Array]) -> tuple[dict[str, Array], int | None]:
    """ONNX Runtime's LSTM wants a step: users without behaviours get one of padding, which the network ignores. And the steps given."""
    if "kinds" not in inputs:
        return dict(inputs), None
    steps = inputs["kinds"].shape[1]
    if steps:
        return dict(inputs), steps
    pad = {name: np.zeros((len(inputs[name]), 1, *inputs[name].shape[2:]), inputs[name].dtype) for name in ("properties", "kinds", "gaps")}
    return {**inputs, **pad}, 0


class Release:
    """One version, loaded. Calls that are on it keep it alive after it is no longer offered."""

    def __init__(self, version: int, folder: Path) -> None:
        self.version = version
        self.graphs = {name: Graph(name, folder / ASSETS / f"{name}.onnx") for name in SIGNATURES}

    def graph(self, signature: str) -> Graph:
        found = self.graphs.get(signature or "serving_default")
        if found is None:
            raise _bad(f"release {self.version} has no signature {signature or 'serving_default'!r}; there are {', '.join(self.graphs)}")
        return found


class ModelVersions:
    """What a folder of releases offers: by default the newest `keep` networks in it and the one that `CURRENT` names (after going back to
    an older one). Releases of the other strategies have no network, and are passed over."""

    def __init__(self, releases: Path, *, keep: int = 2) -> None:
        self._versions, self._keep = Versions(releases), keep
        self._pinned: list[int] | None = None
        self._served: dict[int, Release] = {}
        self._networks: dict[int, bool] = {}
        self.failed: dict[int, str] = {}
        self._lock = threading.Lock()

    @property
    def folder(self) -> Path:
        return self._versions.root

    @property
    def served(self) -> dict[int, Release]:
        """The releases that are offered now, by version, ascending."""
        return self._served

    def get(self, version: int | None) -> Release:
        """That version, or the newest. Raises Refused."""
        served = self._served
        if version is None and served:
            return served[max(served)]
        if version is None or version not in served:
            asked = "the latest" if version is None else version
            raise Refused(grpc.StatusCode.NOT_FOUND, f"version {asked} is not served; served are {list(served)}")
        return served[version]

    def policy(self, *, keep: int | None = None, pinned: list[int] | None = None) -> None:
        """Serve the newest `keep`, or exactly these versions, and look at once. Raises Refused for versions that are not there."""
        if missing := set(pinned or ()) - set(self._versions.complete()):
            raise Refused(grpc.StatusCode.NOT_FOUND, f"versions {sorted(missing)} are not in {self.folder}")
        self._keep, self._pinned = keep or self._keep, pinned
        self.scan()

    def scan(self) -> None:
        """Look into the folder (blocking). New versions are loaded first; then, in one step, the offer changes."""
        with self._lock:
            wanted = self._wanted()
            loaded = {v: self._served.get(v) or self._load(v) for v in wanted}
            offer = {v: release for v, release in sorted(loaded.items()) if release is not None}
            if set(offer) < set(self._served) and set(wanted) & set(self.failed):
                offer = self._served  # the successor does not load: what there is stays
            if offer.keys() != self._served.keys():
                log.info("serving releases %s (before: %s)", list(offer), list(self._served))
            self._served = offer

    def _wanted(self) -> list[int]:
        complete = self._versions.complete()
        if self._pinned is not None:
            return [v for v in self._pinned if v in complete]
        networks = [v for v in complete if self._is_network(v)]
        current = self._versions.current()
        return sorted({*networks[-self._keep :], *([current] if current in networks and current is not None else [])})

    def _is_network(self, version: int) -> bool:
        if version not in self._networks:
            try:
                self._networks[version] = facts_of(self._versions.manifest(version)).strategy == "network"
            except (ConfigurationError, AisleError, ValueError, OSError) as error:
                self._fail(version, error)
                return False
            if not self._networks[version]:
                log.info("release %d has no network: it needs no model server", version)
        return self._networks[version]

    def _load(self, version: int) -> Release | None:
        try:
            release = Release(version, self._versions.folder(version))
        except (OSError, KeyError, *UNREADABLE) as error:
            self._fail(version, error)
            return None
        self.failed.pop(version, None)
        log.info("release %d is loaded", version)
        return release

    def _fail(self, version: int, error: Exception) -> None:
        if self.failed.get(version) != str(error):  # said once, not every second
            log.error("release %d cannot be loaded: %s", version, error)
        self.failed[version] = str(error)
