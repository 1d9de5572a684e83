"""Zero-shot: the model as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from string import ascii_uppercase
from typing import Any

import numpy as np

from medrival.batches import Pictures, in_batches
from medrival.contracts import Adapted, Answer, Answerer, DualEncoder, Failed, Said, Sample, Served, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.comparison import ClassTexts, class_prompts, image_directions, read_texts, text_logits

WHICH = "Which description fits the image?"
"""What a generator is asked where a dual encoder compares the image with the same descriptions."""


def classify(model: DualEncoder, task: Task, _: Mapping[str, Any], bench: Workbench) -> Adapted:
    """One prompt a class; softmax over the scaled cosine similarities of image and prompts.

    Source: Radford et al. 2021, section 3.1. Paper A uses the same with its own prompts.

    Raises:
        AdaptationFailed: two classes are the same to the model.
    """
    return _compared(model, class_prompts(model, task, bench), bench)


def classify_by_ensembles(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Several texts a class, of which the mean direction counts.

    They are those of the task's row. Where it has none, the budget's templates frame the class's prompt, not its name: what
    "grade 3" is of stands in the prompt alone. Source: Radford et al. 2021, section 3.1.4.

    Raises:
        AdaptationFailed: two classes are the same to the model.
    """
    framed = [(prompt, *(template.replace("{}", prompt) for template in budget["templates"])) for prompt in task.prompts]
    texts = task.ensembles or framed
    adapted = _compared(model, read_texts(model, task, texts), bench)
    return replace(adapted, notes={**adapted.notes, "texts_a_class": len(texts[0])})


def _compared(model: DualEncoder, texts: ClassTexts, bench: Workbench) -> Adapted:
    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        return as_answers(text_logits(model, image_directions(model, features.values), texts), features.failed)

    return Adapted(predict, notes=texts.notes)


def choose(model: Answerer, task: Task, _: Mapping[str, Any], bench: Workbench) -> Adapted:
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


def answer(model: Answerer, _: Task, __: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Greedy answers to the task's prompts."""
    return Adapted(lambda samples: answers(model, samples, bench))


def ask(model: Served, _: Task, __: Mapping[str, Any], bench: Workbench) -> Adapted:
    """The answers of an endpoint to the task's prompts."""
    notes: dict[str, Any] = {"asked_by": "chat completions"}

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        said, notes["served"] = model.answer(samples, bench, bench.max_new_tokens)
        return said

    return Adapted(predict, notes=notes)


def answers(model: Answerer, samples: Sequence[Sample], bench: Workbench) -> list[Answer]:
    """What a generator answers to each sample, in batches, and how probable it finds each option of those that have any.

    The options of a question cost one more pass over its prompt, where their replies differ in their last token only.
    """

    def work(images: list[Pictures], batch: list[Sample]) -> list[Answer]:
        said = model.answer(images, [sample.prompt for sample in batch], bench.max_new_tokens)
        scored = zip(said, _scores(model, images, batch), strict=True)
        return [text if isinstance(text, Failed) else Said(text, scores) for text, scores in scored]

    return in_batches(samples, work, bench.batch_size, bench.progress, "answers")


def _scores(model: Answerer, images: Sequence[Pictures], batch: Sequence[Sample]) -> list[tuple[float, ...]]:
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


def as_answers(logits: np.ndarray, failed: Mapping[int, str]) -> list[Answer]:
    """Class probabilities by softmax of logits [samples, classes]; `Failed` where a row has no features."""
    return [Failed(failed[i]) if i in failed else tuple(row) for i, row in enumerate(softmax(logits).tolist())]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities of logits [rows, columns], in each row."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
