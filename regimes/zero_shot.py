"""Zero-shot: the model as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from medrival.batches import in_batches
from medrival.contracts import Adapted, Answer, DualEncoder, Failed, Generator, Sample, Task, Workbench

if TYPE_CHECKING:
    from PIL import Image as PIL


def classify(model: DualEncoder, task: Task, _: Mapping[str, Any], bench: Workbench) -> Adapted:
    """One prompt a class; softmax over the scaled cosine similarities of image and prompts.

    Source: Radford et al. 2021, section 3.1. Paper A uses the same with its own prompts.
    """
    import torch

    with torch.inference_mode():
        text = torch.nn.functional.normalize(model.text_features(task.prompts).float(), dim=-1).cpu().numpy()

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        image = features.values / np.linalg.norm(features.values, axis=1, keepdims=True)
        logits = model.scale * image.astype(np.float64) @ text.T.astype(np.float64)
        return as_answers(logits, features.failed)

    return Adapted(predict)


def answer(model: Generator, _: Task, __: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Greedy answers to the task's prompts."""
    return Adapted(lambda samples: answers(model, samples, bench))


def answers(model: Generator, samples: Sequence[Sample], bench: Workbench) -> list[Answer]:
    """What a generator answers to each sample, in batches."""

    def work(images: list[PIL.Image], batch: list[Sample]) -> Sequence[Answer]:
        return model.answer(images, [sample.prompt for sample in batch], bench.max_new_tokens)

    return in_batches(samples, work, bench.batch_size, bench.progress, "answers")


def as_answers(logits: np.ndarray, failed: Mapping[int, str]) -> list[Answer]:
    """Class probabilities by softmax of logits [samples, classes]; `Failed` where a row has no features."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return [Failed(failed[i]) if i in failed else tuple(row) for i, row in enumerate(probabilities.tolist())]
