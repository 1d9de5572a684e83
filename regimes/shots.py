"""The few samples a class that a few-shot regime learns from, and those that it chooses on."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medrival.contracts import Features, Sample, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.labelled import readable, refuse_findings, usable

MOST_VALIDATION = 4
"""Samples a class to choose on, as Zhou et al. 2022 (CoOp) have: as many as shots, four at most."""


@dataclass(frozen=True)
class Shots:
    """One draw of samples, class by class.

    Attributes:
        features: as the model gives them, [shots, dim] in float64.
        labels: [shots].
        validation: features of the samples to choose on, [samples, dim].
        validation_labels: [samples].
        notes: which samples they are, for the record.
    """

    features: np.ndarray
    labels: np.ndarray
    validation: np.ndarray
    validation_labels: np.ndarray
    notes: Mapping[str, Any]

    def fit(self, logits: np.ndarray) -> float:
        """How well logits [samples, classes] of the samples to choose on fit their labels: minus the mean cross-entropy.

        The AUROC of so few samples has few values, and many ties.
        """
        from scipy.special import log_softmax

        return float(np.mean(log_softmax(logits, axis=1)[np.arange(len(logits)), self.validation_labels]))


def draw(task: Task, shots: int, bench: Workbench) -> dict[int, Shots]:
    """The draw of each seed of the run: `shots` readable training samples a class, or all it has where these are fewer.

    A smaller draw is part of a larger one of the same seed, and the model plays no part in it. Only classes that have training
    samples are chosen on.

    Raises:
        AdaptationFailed: fewer than two classes have readable training samples, or none of them has one of validation; or
            features of those that are drawn are not finite.
    """
    refuse_findings(task)
    seeds = sorted({*bench.seeds, bench.seed})
    splits = [(bench.features(samples), samples) for samples in (task.train, task.validation)]
    orders = bench.once(
        f"order of shots under seeds {seeds}",
        lambda: {seed: [_order(*split, task.classes, seed) for split in splits] for seed in seeds},
    )
    return {seed: _taken(task, shots, [features for features, _ in splits], orders[seed]) for seed in seeds}


def _order(features: Features, samples: Sequence[Sample], classes: Sequence[str], seed: int) -> list[list[int]]:
    """The rows of each class's readable samples, by a hash of seed and id: independent of the data's order."""
    ranked = sorted(readable(features), key=lambda row: hashlib.sha256(f"{seed} {samples[row].id}".encode()).digest())
    rows: dict[str, list[int]] = {name: [] for name in classes}
    for row in ranked:
        rows[samples[row].truth].append(row)
    return list(rows.values())


def _taken(task: Task, shots: int, features: Sequence[Features], order: Sequence[Sequence[Sequence[int]]]) -> Shots:
    """The first of each class."""
    train, validation = order
    rows = [(row, label) for label, own in enumerate(train) for row in own[:shots]]
    others = [
        (row, label) for label, own in enumerate(validation) if train[label] for row in own[: min(shots, MOST_VALIDATION)]
    ]
    if len({label for _, label in rows}) < 2 or not others:
        raise AdaptationFailed(
            f"{task.name}: shots are of {len({label for _, label in rows})} class, and {len(others)} validation samples are "
            "there to choose on; it takes two classes, and a validation sample of one of them"
        )
    fewer = {task.classes[label]: len(own) for label, own in enumerate(train) if len(own) < shots}
    return Shots(
        *(_part(features[0], task.train, rows)),
        *(_part(features[1], task.validation, others)),
        {
            "training_samples": [task.train[row].id for row, _ in rows],
            "chosen_on": [task.validation[row].id for row, _ in others],
            **({"classes_with_fewer_shots": fewer} if fewer else {}),
        },
    )


def _part(features: Features, samples: Sequence[Sample], rows: Sequence[tuple[int, int]]) -> tuple[np.ndarray, np.ndarray]:
    values = usable(features, samples, [row for row, _ in rows])
    return values, np.array([label for _, label in rows], dtype=np.int64)
