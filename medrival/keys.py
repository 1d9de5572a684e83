"""Under which keys the store keeps outcomes and features: sha256 over everything that can change them."""

from __future__ import annotations

from collections.abc import Sequence

from medrival import fingerprints, memory
from medrival.bench import most_tokens
from medrival.cards import ModelCard
from medrival.case import Case
from medrival.contracts import Sample, Task
from medrival.endpoint import endpoint
from medrival.settings import Settings
from medrival.store import key_of
from medrival.weights import resolved


def of_outcome(case: Case, task: Task, settings: Settings) -> str:
    """The key of a case's outcome; `task` is the case's, loaded and cut to the limit."""
    return key_of(
        {
            "model": _identity(case.model, settings),
            "task": [task.name, task.kind, task.fingerprint, task.classes, task.prompts, "test", settings.limit],
            "regime": [case.regime.name, case.runner, dict(case.regime.budget)],
            "seed": case.seed,
            "max_new_tokens": most_tokens(case.model),
            "code": fingerprints.code((*adapters(case.model), case.task.loader, case.runner)),
        }
    )


def of_features(card: ModelCard, samples: Sequence[Sample], settings: Settings) -> str:
    """The key of a model's features of some images."""
    return key_of(
        {
            "features": _identity(card, settings),
            "images": [sample.image.digest for sample in samples],
            "code": fingerprints.code(adapters(card)),
        }
    )


def _identity(card: ModelCard, settings: Settings) -> list[str]:
    if card.type == "served":
        return [card.adapter, endpoint(card).url, card.weights, f"{card.price_in} {card.price_out}"]
    weights = resolved(card, settings.assets)
    # Below float32 the size of a batch can change which of two near words a model says.
    batch = "" if settings.dtype == "float32" else str(settings.batch_size)
    return [
        *(card.adapter, *weights.hashes, card.lora, settings.dtype, batch, memory.name(settings.device)),
        *(["trusted"] if card.trusted else []),
        *(_identity(card.base, settings) if card.base else []),
    ]


def adapters(card: ModelCard) -> tuple[str, ...]:
    """What loads the model, and behind it what loads the one that an adapter directory changes."""
    return (card.adapter, *(adapters(card.base) if card.base else ()))
