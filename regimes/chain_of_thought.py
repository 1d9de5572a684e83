"""Chain of thought: the model reasons first, and its answer is what it puts into a box."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medrival.batches import Pictures, in_batches
from medrival.contracts import Adapted, Answer, Answerer, Failed, Said, Sample, Served, Task, Workbench


def answer(model: Answerer, _: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Greedy thoughts, each with its answer in a box. Options have no likelihoods: these would be of answers without a thought.

    Source: Wei et al. 2022; paper B (arXiv 2507.11200) asks all its models so.
    """
    tokens = bench.max_new_tokens + budget["thought_tokens"]

    def work(images: list[Pictures], batch: list[Sample]) -> list[Answer]:
        return _boxed(model.answer(images, [sample.prompt for sample in batch], tokens))

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        return in_batches(_reasoned(samples, bench), work, bench.batch_size, bench.progress, "thoughts")

    return Adapted(predict, notes={"max_new_tokens": tokens})


def ask(model: Served, _: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """The same of an endpoint."""
    tokens = bench.max_new_tokens + budget["thought_tokens"]
    notes: dict[str, Any] = {"asked_by": "chat completions", "max_new_tokens": tokens}

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        said, notes["served"] = model.answer(_reasoned(samples, bench), bench, tokens)
        return [replace(one, boxed=True) if isinstance(one, Said) else one for one in said]

    return Adapted(predict, notes=notes)


def _reasoned(samples: Sequence[Sample], bench: Workbench) -> list[Sample]:
    return [replace(sample, prompt=bench.reasoned(sample.prompt)) for sample in samples]


def _boxed(said: Sequence[str | Failed]) -> list[Answer]:
    return [one if isinstance(one, Failed) else Said(one, boxed=True) for one in said]
