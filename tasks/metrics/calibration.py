"""Metrics of how far a diagnosis' probabilities can be believed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medrival.statistics import LEVEL, Estimate, Floats, Statistic, mean_of
from medrival.statistics.bootstrap import draws
from medrival.statistics.clusters import Clusters
from medrival.tasks.metrics import diagnosis  # noqa: F401  # what is decided comes before how surely
from medrival.tasks.metrics.diagnosed import Diagnosed, Labels
from medrival.tasks.metrics.registry import metric

BINS = 15


def calibration_interval(samples: Diagnosed, groups: Sequence[str], seed: int, resamples: int) -> Estimate:
    """The calibration error with an interval that covers at least as often as it says.

    The error is a sum of absolute gaps, so chance can only add to it: percentile and BCa intervals of a well calibrated model
    hardly ever hold the truth (in simulation 2% of the time at 100 samples). The measured error exceeds the true one by at
    most the sum over bins of how far each gap is off: the lower end subtracts what that sum reaches in 2.5% of resamples. The
    upper end adds two standard errors and subtracts no bias. Neither stretches less far than the rule of three: where no
    sample is off, one in `clusters` / 3.7 may still be.
    """
    gaps, clusters = _gaps(samples), Clusters.of(groups)
    now = gaps.mean(axis=0)
    error = float(np.abs(now).sum())
    drawn = draws([mean_of(gap) for gap in gaps.T], clusters, seed, resamples)
    if not drawn.size:
        return Estimate(error, None, None, len(samples), "no interval: too few groups of samples")
    tail = (1 - LEVEL) / 2
    least = 1 - tail ** (1 / clusters.count)
    off = np.quantile(np.abs(drawn - now[:, None]).sum(axis=0), 1 - tail)
    spread = 2 * np.abs(drawn).sum(axis=0).std()
    low, high = max(0.0, error - max(off, least)), min(1.0, error + max(spread, least))
    return Estimate(error, float(low), float(high), len(samples), method="conservative")


@metric("ece", of="diagnosis", lower_is_better=True, interval=calibration_interval)
def expected_calibration_error(samples: Diagnosed) -> Statistic:
    """Mean gap between confidence and accuracy over 15 equally wide bins of the top class' probability.

    A bin holds its upper bound and not its lower one. In small samples the error comes out too large: even a perfectly
    calibrated model's bins are off by chance. Source: Guo et al. 2017, equation 3.
    """
    gaps = _gaps(samples)

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


def bin_of(confidence: Floats) -> Labels:
    """Which of the bins each confidence lies in."""
    return np.digitize(confidence, np.linspace(0, 1, BINS + 1)[1:-1], right=True)


def _gaps(samples: Diagnosed) -> Floats:
    """[samples, bins], right minus confidence in the bin that the sample is in."""
    sure = samples.probabilities.max(axis=1)
    gaps: Floats = np.eye(BINS)[bin_of(sure)] * (samples.hits - sure)[:, None]
    return gaps
