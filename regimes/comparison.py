"""Images compared with texts: cosine similarities, scaled as in the model's own training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from medrival.contracts import DualEncoder, Task, Workbench
from medrival.errors import AdaptationFailed

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ClassTexts:
    """What images are compared with.

    Attributes:
        directions: one a class, [classes, dim], of length one.
        cut: the classes of which a text is not read to its end.
    """

    directions: np.ndarray
    cut: tuple[str, ...] = ()

    @property
    def notes(self) -> dict[str, Any]:
        """For the record of the outcome."""
        return {"cut_prompts": list(self.cut)} if self.cut else {}


def class_prompts(model: DualEncoder, task: Task, bench: Workbench) -> ClassTexts:
    """The task's prompt of each class, read once for all regimes that compare images with them.

    Raises:
        AdaptationFailed: two classes are the same to the model.
    """
    return bench.once("class prompts", lambda: read_texts(model, task, [(prompt,) for prompt in task.prompts]))


def read_texts(model: DualEncoder, task: Task, texts: Sequence[Sequence[str]]) -> ClassTexts:
    """The direction of each class: the mean of those of its texts. Source: Radford et al. 2021, section 3.1.4.

    Raises:
        AdaptationFailed: two classes are the same to the model.
    """
    import torch

    with torch.inference_mode():
        # Each text by itself: what a text is padded to beside longer ones is in the last digits of its features.
        features = [[model.text_features([text]) for text in own] for own in texts]
        _refuse_equal(task, texts, features)
        cut = [any(_cut(model, *pair) for pair in zip(*both, strict=True)) for both in zip(texts, features, strict=True)]
        means = [_unit(torch.cat(own).double().cpu().numpy()).mean(axis=0) for own in features]
    return ClassTexts(_unit(np.stack(means)), tuple(name for name, is_cut in zip(task.classes, cut, strict=True) if is_cut))


def image_directions(model: DualEncoder, features: np.ndarray) -> np.ndarray:
    """Features [samples, queries * dim] as vectors of length one, [samples, queries, dim] in float64."""
    return _unit(features.astype(np.float64).reshape(len(features), model.queries, -1))


def side_by_side(images: np.ndarray) -> np.ndarray:
    """Image directions [samples, queries, dim] as one vector of length one each: products are the mean cosine of queries."""
    return images.reshape(len(images), -1) / np.sqrt(images.shape[1])


def text_logits(model: DualEncoder, images: np.ndarray, texts: ClassTexts) -> np.ndarray:
    """Scaled cosine similarities [samples, classes] of image directions [samples, queries, dim], by the most similar query."""
    return model.scale * (images @ texts.directions.T).max(axis=1)


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def _refuse_equal(task: Task, texts: Sequence[Sequence[str]], features: Sequence[Sequence[torch.Tensor]]) -> None:
    for (one, first), (other, second) in combinations(zip(texts, features, strict=True), 2):
        if all(bool((a == b).all()) for a, b in zip(first, second, strict=True)):
            raise AdaptationFailed(
                f"{task.name}: the model reads {one[0]!r} and {other[0]!r} as the same text and cannot tell these classes "
                "apart; put what they differ in at their beginning"
            )


def _cut(model: DualEncoder, text: str, features: torch.Tensor) -> bool:
    """Whether the end of a text is not read: neither what follows nor its last letter changes its features."""
    others = (f"{text} more", text.rstrip()[:-1])
    return all(bool((model.text_features([other]) == features).all()) for other in others)
