"""Tip-Adapter: a cache of few shots beside the class prompts, without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np

from medrival.contracts import Adapted, Answer, DualEncoder, Sample, Task, Workbench
from medrival.regimes.comparison import class_prompts, image_directions, side_by_side, text_logits
from medrival.regimes.shots import draw
from medrival.regimes.zero_shot import as_answers


def tip_adapter(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Zero-shot logits plus alpha times the votes of `shots` samples a class, each as strong as exp(-beta * (1 - cosine)).

    Alpha and beta are searched in the budget's grid, by cross-entropy on a few validation samples.
    Source: Zhang et al. 2022, Tip-Adapter, section 3.1, the form without training.

    Raises:
        AdaptationFailed: see `draw`; or two classes are the same to the model.
    """
    texts = class_prompts(model, task, bench)
    shots = draw(task, budget["shots"], bench)[bench.seed]
    keys = side_by_side(image_directions(model, shots.features))
    votes = np.eye(len(task.classes))[shots.labels]

    def logits(features: np.ndarray, alpha: float, beta: float) -> np.ndarray:
        images = image_directions(model, features)
        return text_logits(model, images, texts) + alpha * np.exp(beta * (side_by_side(images) @ keys.T - 1)) @ votes

    grid = list(product(budget["alphas"], budget["betas"]))
    scores = [shots.fit(logits(shots.validation, alpha, beta)) for alpha, beta in grid]
    alpha, beta = grid[int(np.argmax(scores))]

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        return as_answers(logits(features.values, alpha, beta), features.failed)

    notes = {**texts.notes, **shots.notes, "alpha": alpha, "beta": beta, "validation_score": max(scores)}
    return Adapted(predict, keys.size, notes, samples_seen=len(shots.labels))
