"""In-context learning: solved questions of the training split stand before each question, as turns of the conversation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from medrival.batches import Pictures, decode, in_batches
from medrival.contracts import Adapted, Answer, Answerer, Failed, Said, Sample, Task, Turn, Workbench
from medrival.errors import AdaptationFailed


def answer(model: Answerer, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Greedy answers behind as many solved examples as the budget has shots.

    They are of the question's form, in an order of the seed that no model has a part in, and never of its patient or images.
    One whose image cannot be read is passed over and listed. Of fewer than these there are the examples that there are, and
    the record says for how many questions. Options have no likelihoods. Source: Brown et al. 2020; with images Alayrac et al.
    2022 (Flamingo).

    Raises:
        AdaptationFailed: there is no solved question to show.
    """
    ordered = sorted((s for s in task.train if s.reply.strip()), key=lambda s: _drawn(bench.seed, s))
    if not ordered:
        raise AdaptationFailed(f"{task.name}: its training split has no question with an answer to show")
    short: set[str] = set()
    notes: dict[str, Any] = {}

    @cache
    def solved(place: int) -> Turn | None:
        example = ordered[place]
        pictures = decode(example)
        if isinstance(pictures, Failed):
            notes.setdefault("unreadable_training_samples", []).append(example.id)
            return None
        return Turn(pictures, example.prompt, example.reply)

    def examples(sample: Sample) -> list[Turn]:
        fitting = (i for i, other in enumerate(ordered) if other.form == sample.form and _apart(sample, other))
        found: list[Turn] = []
        for place in fitting:
            if len(found) == budget["shots"]:
                break
            found += [turn] if (turn := solved(place)) else []
        if len(found) < budget["shots"]:
            short.add(sample.id)
            notes["questions_with_fewer_examples"] = len(short)
        return found

    def work(images: list[Pictures], batch: list[Sample]) -> list[Answer]:
        earlier = [examples(sample) for sample in batch]
        said = model.answer(images, [sample.prompt for sample in batch], bench.max_new_tokens, earlier)
        return [one if isinstance(one, Failed) else Said(one) for one in said]

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        return in_batches(samples, work, bench.batch_size, bench.progress, "answers")

    return Adapted(predict, notes=notes)


def _drawn(seed: int, sample: Sample) -> bytes:
    return hashlib.sha256(f"{seed} {sample.id}".encode()).digest()


def _apart(one: Sample, other: Sample) -> bool:
    """Whether two questions are of other patients and about other images."""
    shown = {image.digest for image in one.images}
    return one.group != other.group and shown.isdisjoint(image.digest for image in other.images)
