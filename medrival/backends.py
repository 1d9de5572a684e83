"""What runs the generators of a run in place of transformers, where the user asks for it (--backend)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

from medrival.cards import ModelCard, RegimeCard
from medrival.catalog import Catalog
from medrival.errors import MedrivalError, UnknownName
from medrival.sense import hint


@dataclass(frozen=True)
class Run:
    """What a backend runs of a selection.

    Attributes:
        models: as it runs them; dual encoders and served models as they were.
        refused: what it does not run, in words.
    """

    models: list[ModelCard]
    refused: tuple[str, ...] = ()


def run_by(
    backend: str, rows: Catalog, models: Sequence[ModelCard], regimes: Sequence[RegimeCard], named: Collection[str] = ()
) -> Run:
    """The selection with its generators as a backend runs them, all of them or none: two of a pair must be run alike.

    Args:
        backend: one that an adapter of the catalog has; "" for transformers.
        named: models that the user wants whatever else is in the run, such as candidates.

    Raises:
        UnknownName: no adapter has the backend.
        MedrivalError: it does not run a model that is `named`.
    """
    if not backend:
        return Run([*models])
    known = {name for card in rows.adapters.values() for name in card.backends}
    if backend not in known:
        raise UnknownName(f"unknown backend {backend!r}.{hint(backend, known)} There are {', '.join(sorted(known))}")
    generators = [model for model in models if model.type == "generator"]
    lacking = {model.name: _lacking(backend, model) for model in generators if backend not in model.reads.backends}
    if wanted := [why for name, why in lacking.items() if name in named]:
        raise MedrivalError(f"--backend {backend}: {wanted[0]}; run it without --backend")
    training = [regime.name for regime in regimes if _trains(regime)] if generators else []
    others = [f"{', '.join(training)}: {backend} has generators answer, and trains none"] if training else []
    return Run([_run(backend, model) for model in models if model.name not in lacking], (*lacking.values(), *others))


def check(backend: str) -> None:
    """See to it that the package after which a backend is named is there.

    Raises:
        MedrivalError: it is not.
    """
    package = backend.partition("-")[0]
    if backend and find_spec(package) is None:
        raise MedrivalError(f"--backend {backend} needs the package {package}: python -m pip install {package}")


def _run(backend: str, model: ModelCard) -> ModelCard:
    if model.type != "generator":
        return model
    return replace(model, type="engine", adapter=model.reads.backends[backend])


def _lacking(backend: str, model: ModelCard) -> str:
    return f"{model.name}: {backend} does not run what {model.adapter.removeprefix('medrival.models.')} loads"


def _trains(regime: RegimeCard) -> bool:
    runners = (regime.diagnosis, regime.vqa)
    return any("generator" in one for one in runners) and not any("engine" in one for one in runners)
