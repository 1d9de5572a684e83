"""Metrics of a diagnosis."""

from __future__ import annotations

import numpy as np

from medrival.statistics import Floats, mean_of
from medrival.tasks.metrics.registry import NAN, Labels, metric


def _hits(truth: Labels, scores: Floats) -> Floats:
    hits: Floats = (scores.argmax(axis=1) == truth).astype(np.float64)
    return hits


def _columns(scores: Floats) -> list[int]:
    """The classes that are ranked against the rest: the last of two, each of more."""
    return [1] if scores.shape[1] == 2 else list(range(scores.shape[1]))


def _resampled_auroc(truth: Labels, scores: Floats, weights: Floats) -> Floats:
    """Weighted Mann-Whitney statistic; a tie counts one half."""
    areas = np.zeros(len(weights))
    for column in _columns(scores):
        order = np.argsort(scores[:, column], kind="stable")
        score, positive, drawn = scores[order, column], truth[order] == column, weights[:, order]
        ties = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
        positives, negatives = (np.add.reduceat(drawn * of, ties, axis=1) for of in (positive, ~positive))
        below = np.cumsum(negatives, axis=1) - negatives / 2
        with np.errstate(invalid="ignore"):
            areas += (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
    return areas / len(_columns(scores))


def _resampled_accuracy(truth: Labels, scores: Floats, weights: Floats) -> Floats:
    return mean_of(_hits(truth, scores)).resampled(weights)


def _resampled_balanced_accuracy(truth: Labels, scores: Floats, weights: Floats) -> Floats:
    members = np.eye(scores.shape[1])[truth]
    with np.errstate(invalid="ignore"):
        recalls = (weights @ (members * _hits(truth, scores)[:, None])) / (weights @ members)
    mean: Floats = np.nanmean(recalls, axis=1)
    return mean


@metric("auroc", of="diagnosis", resampled=_resampled_auroc)
def auroc(truth: Labels, scores: Floats) -> float:
    """Area under the ROC curve of the last of two classes; of more, the mean of each against the rest (sklearn)."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(truth)) < max(scores.shape[1], 2):
        return NAN
    return float(np.mean([roc_auc_score(truth == column, scores[:, column]) for column in _columns(scores)]))


@metric("accuracy", of="diagnosis", resampled=_resampled_accuracy)
def diagnosis_accuracy(truth: Labels, scores: Floats) -> float:
    """Share of samples whose most probable class is the true one (scikit-learn)."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(truth, scores.argmax(axis=1)))


@metric("balanced_accuracy", of="diagnosis", resampled=_resampled_balanced_accuracy)
def balanced_accuracy(truth: Labels, scores: Floats) -> float:
    """Mean recall over the classes that occur, chance = 1 / classes (scikit-learn's definition)."""
    from sklearn.metrics import recall_score

    occurring = np.unique(truth)
    return float(recall_score(truth, scores.argmax(axis=1), labels=occurring, average="macro", zero_division=0.0))
