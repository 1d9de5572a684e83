"""Metrics of how far a diagnosis' probabilities can be believed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from medrival.statistics import Floats, Statistic, mean_of
from medrival.tasks.metrics import diagnosis  # noqa: F401  # what is decided comes before how surely
from medrival.tasks.metrics.diagnosed import Diagnosed
from medrival.tasks.metrics.registry import metric

BINS = 15


@metric("ece", of="diagnosis", lower_is_better=True)
def expected_calibration_error(samples: Diagnosed) -> Statistic:
    """Mean gap between confidence and accuracy over 15 equally wide bins of the top class' probability.

    A bin holds its upper bound and not its lower one. In small samples the error comes out too large: even a perfectly
    calibrated model's bins are off by chance. Source: Guo et al. 2017, equation 3.
    """
    sure = samples.probabilities.max(axis=1)
    bins = np.digitize(sure, np.linspace(0, 1, BINS + 1)[1:-1], right=True)
    gaps = np.eye(BINS)[bins] * (samples.hits - sure)[:, None]

    def resampled(weights: Floats) -> Floats:
        error: Floats = np.abs(weights @ gaps).sum(axis=1) / weights.sum(axis=1)
        return error

    point = float(resampled(np.ones((1, len(samples))))[0])
    return Statistic(point, resampled, len(samples), bounds=(0.0, 1.0))


@metric("brier_score", of="diagnosis", lower_is_better=True)
def brier_score(samples: Diagnosed) -> Statistic:
    """Mean squared error of the probabilities: of the last of two classes, of more the sum over classes (scikit-learn).

    From 0 to 1 for two classes, to 2 for more. Source: Brier, Monthly Weather Review 78 (1950) 1-3.
    """
    squared = ((samples.probabilities - samples.members) ** 2).sum(axis=1)
    binary = len(samples.classes) == 2
    return replace(mean_of(squared / 2 if binary else squared), bounds=(0.0, 1.0 if binary else 2.0))
