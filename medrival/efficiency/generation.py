"""Answers of a generator: in batches as the suite has them, against one question at a time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from statistics import median

from medrival.batches import Pictures, in_batches
from medrival.bench import most_tokens
from medrival.contracts import Failed, Generator, Sample
from medrival.efficiency.race import Race
from medrival.efficiency.subject import Subject

WANTED = {"cpu": 4.0, "cuda": 8.0}
FIRST_TOKENS = 5
"""How often the time to the first token is measured."""


def answers(subject: Subject) -> Race:
    """Greedy answers to the test questions."""
    from medrival.models.remembered import forgetful

    model, tokens = subject.model, most_tokens(subject.cases[0].model)
    assert isinstance(model, Generator)
    tested = {sample.id for sample in subject.task.test}
    samples = [sample for sample in subject.samples if sample.id in tested]
    pictures = [tuple(image.open() for image in sample.images) for sample in samples]

    def work(images: list[Pictures], batch: list[Sample]) -> list[str | Failed]:
        return model.answer(images, [sample.prompt for sample in batch], tokens)

    def one_by_one() -> list[str | Failed]:
        with forgetful(model.module):  # which leaves nothing behind for our turn, either
            return [model.answer([images], [s.prompt], tokens)[0] for images, s in zip(pictures, samples, strict=True)]

    def figures(seconds: float, said: list[str | Failed]) -> Mapping[str, float]:
        spoken = [text for text in said if isinstance(text, str)]
        written = sum(int((model.teach([pictures[0]], [samples[0].prompt], [text])["labels"] != -100).sum()) for text in spoken)
        return {"tokens_per_second": written / seconds, "seconds_to_first_token": first_token()}

    def first_token() -> float:
        taken = []
        for images, sample in zip(pictures[:FIRST_TOKENS], samples, strict=False):
            started = time.perf_counter()
            with forgetful(model.module):
                model.answer([images], [sample.prompt], 1)
            taken.append(time.perf_counter() - started)
        return median(taken)

    return Race(
        "answers",
        ours=lambda: in_batches(samples, work, subject.batch_size, lambda items, _: items, ""),
        bare=one_by_one,
        items=len(samples),
        unit="answers",
        wanted=WANTED.get(subject.lab.settings.device.partition(":")[0]),
        figures=figures,
    )
