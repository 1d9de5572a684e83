"""The axis of models to read: two lines each, or one row claim by claim."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import fields

from medrival.cards import ModelCard, partners
from medrival.contracts import ModelType
from medrival.memory import NF4_BITS
from medrival.tables.layout import claims, columns, text

BF16_BITS = 16.0
OVERHEAD = 1.2
"""Activations and the cache of a short prompt: EleutherAI's rule for inference, Anthony et al. 2023, Transformer Math 101."""

HEADER = ("name", "kind", "type", "held against", "params", "bf16", "4-bit", "licence")
LEGEND = (
    "held against: its partner, and how many more there are. params: in billions, or millions (M). bf16, 4-bit: GiB, or MiB "
    "(M), of memory to answer with.",
    "Below a row: its weights, the pixels it sees, what its pretraining saw, as far as known. All of a row, with sources: "
    "python -m medrival models NAME",
)
OURS = ("type", "adapter", "family", "budget", "lora", "published", "thinking")
"""What a row chooses and does not claim."""
UNSAID: Mapping[ModelType, Mapping[str, str]] = {
    "dual-encoder": {
        "lora": "every linear layer of the image tower that is called; the convolutions of one that has none",
        "padding": "to the longest text of a batch",
    },
    "generator": {
        "lora": "every linear layer of the language model and the projector",
        "padding": "to the longest prompt of a batch, on the left",
    },
    "engine": {},
    "served": {},
}
"""What holds for a model of a type where its row says nothing."""


def memory(parameters: float, bits: float) -> float:
    """GiB that a model needs to answer: all its weights at this many bits, and a fifth on top.

    Embeddings count as quantised, though 4-bit loading leaves them in 16 bits: a small model with many tokens needs more.

    Args:
        parameters: in billions (1e9).
        bits: of a weight.
    """
    return parameters * 1e9 * bits / 8 * OVERHEAD / 2**30


def overview(models: Collection[ModelCard]) -> list[str]:
    """A table of models in their order; below a model its weights, what it sees and what its pretraining saw."""
    return columns(HEADER, [(_cells(model, models), [_told(model)]) for model in models], LEGEND)


def whole(model: ModelCard, models: Collection[ModelCard]) -> list[str]:
    """Everything that a model's row claims, each claim with its source; `models` are all there are."""
    said = [*_claims(model), ("held against", ", ".join(_against(model, models)) or "no model", "")]
    return claims(model.name, [(key, f"{claim}{f' [{source}]' if source else ''}") for key, claim, source in said])


def _cells(model: ModelCard, models: Collection[ModelCard]) -> Sequence[str]:
    against = _against(model, models)
    rivals = f"{against[0]} +{len(against) - 1}" if len(against) > 1 else "".join(against) or "-"
    need = [memory(model.parameters, bits) for bits in (BF16_BITS, NF4_BITS)]
    figures = [_figure(model.parameters, 1e3), *(_figure(gib, 2**10) for gib in need)]
    return (model.name, model.kind, model.type, rivals, *figures, model.licence or "?")


def _figure(value: float, smaller: float) -> str:
    """In billions or GiB; in the next smaller unit, of which one has so many, where it would be a long row of zeros."""
    if not value:
        return "?"
    return f"{value:.3g}" if value >= 0.01 else f"{value * smaller:.3g}M"


def _against(model: ModelCard, models: Collection[ModelCard]) -> list[str]:
    """Its own partner first, then those that name it."""
    others = [other.name for other in models if partners(model, other)]
    return sorted(others, key=lambda name: name != model.partner)


def _told(model: ModelCard) -> str:
    weights = f"{model.weights}@{model.revision}" if model.revision else model.weights
    size = f"images {model.image_size}" if model.image_size else ""
    saw = f"saw {', '.join(model.saw)}" if model.saw else ""
    return "; ".join(filter(None, [weights, "gated" if model.gated else "", size, saw]))


def _claims(model: ModelCard) -> Iterator[tuple[str, str, str]]:
    """Key, claim and source; the row's own `source` stands for each claim that names no other."""
    said = [field.name for field in fields(model) if field.metadata.get("key", True)]
    for key in (name for name in said if name not in ("name", "folder", "file", "source", "sources")):
        if claim := getattr(model, key):
            yield key, text(claim), model.sources.get(key, "" if key in OURS else model.source)
        elif key in UNSAID[model.type]:
            yield key, UNSAID[model.type][key], ""
        if key == "parameters" and model.parameters:
            need = [f"{memory(model.parameters, bits):.3g} GiB" for bits in (BF16_BITS, NF4_BITS)]
            yield "memory", f"{need[0]} in bfloat16, {need[1]} in 4 bits", "computed from the parameters"
