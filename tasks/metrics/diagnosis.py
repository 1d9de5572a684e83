"""Metrics of the class that a diagnosis decides for. How it ranks is in `ranking`, how sure it may be in `calibration`."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np

from medrival.statistics import Floats, Statistic, mean_of
from medrival.tasks.metrics import ranking  # noqa: F401  # ranking leads the report
from medrival.tasks.metrics.diagnosed import Diagnosed
from medrival.tasks.metrics.registry import NAN, metric


@metric("accuracy", of="diagnosis")
def accuracy(samples: Diagnosed) -> Statistic:
    """Share of samples whose most probable class is the true one (scikit-learn)."""
    return mean_of(samples.hits)


@metric("balanced_accuracy", of="diagnosis")
def balanced_accuracy(samples: Diagnosed) -> Statistic:
    """Mean recall over the classes that occur, chance = 1 / classes (scikit-learn)."""
    right = samples.members * samples.hits[:, None]
    return replace(_mean_ratio(right, samples.members.astype(np.float64)), strata=samples.strata)


@metric("macro_f1", of="diagnosis")
def macro_f1(samples: Diagnosed) -> Statistic:
    """Mean over classes of 2 right / (true + called); a class that neither occurs nor is called is none (scikit-learn)."""
    right = samples.members * samples.hits[:, None]
    called = np.eye(len(samples.classes))[samples.scores.argmax(axis=1)]
    return replace(_mean_ratio(2 * right, samples.members + called), strata=samples.strata)


@metric("sensitivity", of="diagnosis")
def sensitivity(samples: Diagnosed) -> Statistic:
    """Share of positives (the last of two classes) that are called so, at the threshold chosen on validation.

    The interval takes the threshold as given.
    """
    return mean_of(np.where(samples.positive, samples.called, NAN))


@metric("specificity", of="diagnosis")
def specificity(samples: Diagnosed) -> Statistic:
    """Share of negatives (the first of two classes) that are not called positive, at the threshold chosen on validation."""
    return mean_of(np.where(samples.positive, NAN, ~samples.called))


def _mean_ratio(over: Floats, under: Floats) -> Statistic:
    """Sum of `over` / sum of `under` [samples, classes], averaged over the classes in which there is something under."""
    occur = under.any(axis=0)
    over, under = over[:, occur], under[:, occur]
    ratios = over.sum(axis=0) / under.sum(axis=0)
    influence = ((over - ratios * under) / under.sum(axis=0)).mean(axis=1)
    return Statistic(float(ratios.mean()), partial(_resampled_ratio, over, under), len(over), "", influence, (0.0, 1.0))


def _resampled_ratio(over: Floats, under: Floats, weights: Floats) -> Floats:
    above, below = weights @ over, weights @ under
    ratios = np.divide(above, below, out=np.zeros_like(above), where=below > 0)
    mean: Floats = ratios.sum(axis=1) / (below > 0).sum(axis=1)
    return mean
