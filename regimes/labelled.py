"""Samples as regimes on frozen features see them: those whose image could be read, and their labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medrival.contracts import Features, Sample, Task
from medrival.errors import AdaptationFailed


def has_findings(task: Task) -> bool:
    """Whether its classes are independent findings, of which a sample may have several or none."""
    return any(sample.form == "findings" for sample in task.train)


def refuse_findings(task: Task) -> None:
    """What only regimes that fit one class a sample ask for.

    Raises:
        AdaptationFailed: samples may have several findings.
    """
    if has_findings(task):
        raise AdaptationFailed(
            f"{task.name}: its samples may have several findings or none, and this regime fits one class a sample so far; "
            "linear-probe fits findings"
        )


def readable(features: Features) -> list[int]:
    """The rows of samples that have features."""
    return [i for i in range(len(features.values)) if i not in features.failed]


def usable(features: Features, samples: Sequence[Sample], rows: Sequence[int]) -> np.ndarray:
    """Features [rows, dim] in float64 of what is learnt from or chosen on.

    Raises:
        AdaptationFailed: some are no numbers; a choice that they have a part in would not be one.
    """
    values = features.values[list(rows)].astype(np.float64)
    overflown = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if len(overflown):
        raise AdaptationFailed(
            f"the model's features of {len(overflown)} of {len(rows)} samples are not finite, the first of "
            f"{samples[rows[overflown[0]]].id!r}: nothing can be fitted to them or chosen on them; try --dtype float32"
        )
    return values


def known(features: Features, samples: Sequence[Sample], classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features [known, dim] in float64 and label indices [known] of the samples that could be read.

    Raises:
        AdaptationFailed: see `usable`.
    """
    rows = readable(features)
    return usable(features, samples, rows), np.array([classes.index(samples[i].truth) for i in rows], dtype=np.int64)


def known_findings(features: Features, samples: Sequence[Sample], classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features [known, dim] and findings [known, classes] of the samples that could be read.

    Raises:
        AdaptationFailed: see `usable`.
    """
    rows = readable(features)
    members = np.zeros((len(rows), len(classes)), dtype=np.bool_)
    for row, i in enumerate(rows):
        members[row, [classes.index(name) for name in samples[i].truth.split("|") if name]] = True
    return usable(features, samples, rows), members


def unreadable(task: Task, train: Features, validation: Features) -> dict[str, Any]:
    """Training and validation samples that were left out, for the record."""
    left_out = [task.train[i].id for i in train.failed] + [task.validation[i].id for i in validation.failed]
    return {"unreadable_training_samples": left_out} if left_out else {}


def refuse_few(task: Task, labels: np.ndarray, validation: np.ndarray) -> None:
    """What a head can neither be fitted to nor chosen on.

    Raises:
        AdaptationFailed: the readable training samples are of fewer than two classes, or the validation split is empty.
    """
    if len(set(labels)) < 2:
        raise AdaptationFailed(
            f"{task.name}: {len(labels)} readable training samples of {len(set(labels))} class; it takes two"
        )
    if not len(validation):
        raise AdaptationFailed(f"{task.name}: no readable validation sample to choose on")
