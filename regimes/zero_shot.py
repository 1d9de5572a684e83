"""Zero-shot: the model as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any

import numpy as np

from medrival.batches import Pictures, in_batches
from medrival.contracts import Adapted, Answer, DualEncoder, Failed, Generator, Said, Sample, Served, Task, Workbench
from medrival.errors import AdaptationFailed

if TYPE_CHECKING:
    import torch

WHICH = "Which description fits the image?"
"""What a generator is asked where a dual encoder compares the image with the same descriptions."""


def classify(model: DualEncoder, task: Task, _: Mapping[str, Any], bench: Workbench) -> Adapted:
    """One prompt a class; softmax over the scaled cosine similarities of image and prompts.

    Source: Radford et al. 2021, section 3.1. Paper A uses the same with its own prompts.

    Raises:
        AdaptationFailed: two classes are the same to the model.
    """
    import torch

    with torch.inference_mode():
        alone = [model.text_features([prompt]) for prompt in task.prompts]
        _refuse_equal(task, alone)
        cut = [i for i, prompt in enumerate(task.prompts) if _cut(model, prompt, alone[i])]
        text = torch.nn.functional.normalize(model.text_features(task.prompts).float(), dim=-1).cpu().numpy()

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        image = features.values.reshape(len(samples), model.queries, -1)
        image = image / np.linalg.norm(image, axis=2, keepdims=True)
        cosines = (image.astype(np.float64) @ text.T.astype(np.float64)).max(axis=1)
        return as_answers(model.scale * cosines, features.failed)

    return Adapted(predict, notes={"cut_prompts": [task.classes[i] for i in cut]} if cut else {})


def choose(model: Generator, task: Task, _: Mapping[str, Any], bench: Workbench) -> Adapted:
    """A diagnosis as a multiple choice among the class prompts; softmax over the log-likelihoods of their letters.

    Letters, not the descriptions themselves: a long description is unlikely for its length alone.

    Raises:
        AdaptationFailed: the model gives no likelihoods, or the classes are more than the letters.
    """
    likelihoods = model.loglikelihood
    if likelihoods is None:
        raise AdaptationFailed(f"{task.name}: a diagnosis needs the likelihood of each class, and this generator gives none")
    if len(task.prompts) > len(ascii_uppercase):
        raise AdaptationFailed(f"{task.name}: {len(task.prompts)} classes; a generator can choose among {len(ascii_uppercase)}")
    prompt, letters = bench.ask("choice", WHICH, task.prompts), ascii_uppercase[: len(task.prompts)]

    def work(images: list[Pictures], batch: list[Sample]) -> list[Answer]:
        return as_answers(np.array(likelihoods(images, [prompt] * len(batch), [letters] * len(batch))), {})

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        return in_batches(samples, work, bench.batch_size, bench.progress, "choices")

    return Adapted(predict, notes={"asked": prompt})


def answer(model: Generator, _: Task, __: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Greedy answers to the task's prompts."""
    return Adapted(lambda samples: answers(model, samples, bench))


def ask(model: Served, _: Task, __: Mapping[str, Any], bench: Workbench) -> Adapted:
    """The answers of an endpoint to the task's prompts."""
    notes: dict[str, Any] = {"asked_by": "chat completions"}

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        said, notes["served"] = model.answer(samples, bench)
        return said

    return Adapted(predict, notes=notes)


def answers(model: Generator, samples: Sequence[Sample], bench: Workbench) -> list[Answer]:
    """What a generator answers to each sample, in batches, and how probable it finds each option of those that have any.

    The options of a question cost one more pass over its prompt, where their replies differ in their last token only.
    """

    def work(images: list[Pictures], batch: list[Sample]) -> list[Answer]:
        said = model.answer(images, [sample.prompt for sample in batch], bench.max_new_tokens)
        scored = zip(said, _scores(model, images, batch), strict=True)
        return [text if isinstance(text, Failed) else Said(text, scores) for text, scores in scored]

    return in_batches(samples, work, bench.batch_size, bench.progress, "answers")


def _scores(model: Generator, images: Sequence[Pictures], batch: Sequence[Sample]) -> list[tuple[float, ...]]:
    """The probability of each option of each sample, by softmax over the log-likelihoods of its replies."""
    scores: list[tuple[float, ...]] = [()] * len(batch)
    chosen = [i for i, sample in enumerate(batch) if sample.options and sample.form != "open"]
    if model.loglikelihood is None or not chosen:
        return scores
    rows = model.loglikelihood(
        [images[i] for i in chosen], [batch[i].prompt for i in chosen], [batch[i].replies for i in chosen]
    )
    for i, row in zip(chosen, rows, strict=True):
        scores[i] = tuple(softmax(np.array([row]))[0].tolist())
    return scores


def _refuse_equal(task: Task, features: Sequence[torch.Tensor]) -> None:
    for (one, first), (other, second) in combinations(zip(task.prompts, features, strict=True), 2):
        if (first == second).all():
            raise AdaptationFailed(
                f"{task.name}: the model reads {one!r} and {other!r} as the same text and cannot tell these classes apart; "
                "put what they differ in at their beginning"
            )


def _cut(model: DualEncoder, prompt: str, features: torch.Tensor) -> bool:
    """Whether the end of a prompt is not read: neither what follows nor its last letter changes its features."""
    others = (f"{prompt} more", prompt.rstrip()[:-1])
    return all(bool((model.text_features([other]) == features).all()) for other in others)


def as_answers(logits: np.ndarray, failed: Mapping[int, str]) -> list[Answer]:
    """Class probabilities by softmax of logits [samples, classes]; `Failed` where a row has no features."""
    return [Failed(failed[i]) if i in failed else tuple(row) for i, row in enumerate(softmax(logits).tolist())]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits [rows, columns], in each row."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
