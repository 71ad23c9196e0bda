"""The ranker's composition root."""

import time
from collections.abc import Callable
from pathlib import Path

from ranker.build import FOLDER
from ranker.engine import Weights
from ranker.pairs import Pairs
from ranker.ranking import STRATEGIES, WEIGHTS
from ranker.routes import Routes
from ranker.settings import RankerSettings
from services.app import Service
from services.artifacts import Manifest, Served, Versions
from services.errors import ConfigurationError
from services.features import FEATURE_SCHEMA, lasting
from services.forward import ForwardIndex
from services.forward import load as load_forward
from services.models.engine import Executor
from services.models.port import Model
from services.shop import home as default_home
from services.shop import open_shop

LoadModel = Callable[[Path, Manifest], Model]


def create(
    settings: RankerSettings,
    home: Path | None = None,
    load_model: LoadModel | None = None,
    now_ms: Callable[[], int] = lambda: int(time.time() * 1000),
) -> Service:
    """The service over the shop's current generation and release and the ones before.

    Raises ConfigurationError when the shop, its generation or its release is not usable. Without any generation or release it starts,
    and is ready once there is one of each.
    """
    shop = open_shop(settings.shop, home or default_home())
    shop.info()
    executor = Executor(settings.models_url)
    load_release = load_model or executor.load
    weights = Weights(settings.ranking_url, shop) if settings.ranking_url else None
    if settings.strategy == WEIGHTS and weights is None:
        raise ConfigurationError("AISLE_RANKER_STRATEGY=weights needs a ranking index: set AISLE_RANKER_RANKING_URL")
    generations = Served(Versions(shop.generations), load_index, under="ranker/")
    releases = Served(Versions(shop.releases), lambda folder, manifest: checked(load_release(folder, manifest)))
    pairs = Pairs(generations, releases)
    service = Service("ranker", settings, description="Features and order of the candidates of one shop")

    def refresh() -> None:
        if weights is not None:
            weights.refresh()
        for artifact, version in (("generation", generations.refresh()), ("release", releases.refresh())):
            if version is not None:
                service.telemetry.set("aisle_version", version, artifact)
        pairs.bind_current()

    refresh()
    service.background("refresh", refresh, settings.refresh_s)
    service.check("generation", lambda: _generation(generations))
    service.check("release", lambda: _release(releases))
    service.on_stop(executor.close)
    if weights is not None:
        service.check("ranking", weights.ping)
        service.on_stop(weights.close)
    Routes(service, pairs, now_ms, weights=weights, strategy=settings.strategy or None, remote_models=executor.remote)
    return service


def load_index(folder: Path, manifest: Manifest) -> ForwardIndex:
    """The forward index of a generation, warm. Raises ConfigurationError when it is not there."""
    try:
        index = load_forward(folder / FOLDER)
    except FileNotFoundError as error:
        raise ConfigurationError(f"generation {manifest.version} has no forward index ({error.filename}): run `aisle build`") from None
    lasting(index)
    return index


def checked(model: Model) -> Model:
    """The model, if this code computes what it was trained on. Raises ConfigurationError otherwise."""
    if model.strategy not in STRATEGIES:
        raise ConfigurationError(f"release {model.version} has strategy {model.strategy!r}; this ranker has {', '.join(STRATEGIES)}")
    if model.facts.feature_schema != FEATURE_SCHEMA:
        raise ConfigurationError(
            f"release {model.version} was trained on features {model.facts.feature_schema}, this code computes {FEATURE_SCHEMA}: "
            "train again with `aisle train`"
        )
    return model


def _generation(generations: Served[ForwardIndex]) -> dict[str, object]:
    version, index = generations.get()
    return {"current": version, "loaded": generations.loaded, "products": index.documents}


def _release(releases: Served[Model]) -> dict[str, object]:
    version, model = releases.get()
    model.ping()
    return {"current": version, "loaded": releases.loaded, "strategy": model.strategy, "feature_schema": FEATURE_SCHEMA}
