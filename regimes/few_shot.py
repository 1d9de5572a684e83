"""Few-shot classification on frozen image features: a linear probe on the shots, or the nearest class mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from medrival.contracts import Adapted, Answer, DualEncoder, Sample, Task, Workbench
from medrival.regimes.comparison import image_directions, side_by_side
from medrival.regimes.heads import NEVER, fit_heads, on_plain_features
from medrival.regimes.shots import Shots, draw
from medrival.regimes.zero_shot import as_answers


def by_probe(_: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Class-balanced logistic regression on `shots` samples a class; L2 strength chosen by cross-entropy on a few others.

    So few samples do not tell how far each feature spreads: all are divided by one scale. The heads of all seeds and strengths
    are solved at once.

    Raises:
        AdaptationFailed: see `draw` and `fit_heads`.
    """
    draws = draw(task, budget["shots"], bench)
    strengths = budget["l2_strengths"]
    heads = bench.once(
        f"heads under {sorted(budget.items())} and seeds {list(draws)}",
        lambda: _heads(draws, len(task.classes), strengths),
        cases=len(draws),
    )
    mine, (weights, biases) = draws[bench.seed], heads[bench.seed]
    scores = [mine.fit(mine.validation @ weight.T + bias) for weight, bias in zip(weights, biases, strict=True)]
    best = max(range(len(strengths)), key=lambda i: (scores[i], strengths[i]))
    notes = {**mine.notes, "l2_strength": strengths[best], "validation_score": scores[best]}

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        return as_answers(features.values @ weights[best].T + biases[best], features.failed)

    return Adapted(predict, weights[best].size + biases[best].size, notes, samples_seen=len(mine.labels))


def by_mean(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Cosine similarity to the mean of each class's normalised features; softmax with the model's scale, nothing is chosen.

    Source: the nearest-mean classifier of Snell et al. 2017 (prototypical networks), by cosine as the model was trained.

    Raises:
        AdaptationFailed: see `draw`.
    """
    shots = draw(task, budget["shots"], bench)[bench.seed]
    keys = side_by_side(image_directions(model, shots.features))
    present = np.unique(shots.labels)
    means = np.stack([keys[shots.labels == label].mean(axis=0) for label in present])
    means /= np.linalg.norm(means, axis=1, keepdims=True)

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        logits = np.full((len(samples), len(task.classes)), NEVER)
        logits[:, present] = model.scale * side_by_side(image_directions(model, features.values)) @ means.T
        return as_answers(logits, features.failed)

    return Adapted(predict, means.size, shots.notes, samples_seen=len(shots.labels))


def _heads(draws: Mapping[int, Shots], classes: int, strengths: Sequence[float]) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Weights [strengths, classes, dim] and biases [strengths, classes] of each seed."""
    present = np.unique(next(iter(draws.values())).labels)
    scaled = [_scaled(shots.features) for shots in draws.values()]
    labels = [np.searchsorted(present, shots.labels)[None] for shots in draws.values()]
    heads = fit_heads([x for x, *_ in scaled], labels, len(present), strengths)
    return {
        seed: on_plain_features(heads.weight[i, 0], heads.bias[i, 0], mean, scale, present, classes)
        for i, (seed, (_, mean, scale)) in enumerate(zip(draws, scaled, strict=True))
    }


def _scaled(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features with mean 0 and a mean square of 1 over all of them, the mean [dim] and the scale [1]."""
    mean = x.mean(axis=0)
    scale = np.sqrt(np.mean((x - mean) ** 2, keepdims=True))[0] or np.ones(1)
    return (x - mean) / scale, mean, scale
