"""Metrics of how a diagnosis ranks samples: each class against the rest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from medrival.statistics import Floats, Statistic, auroc_influence
from medrival.tasks.metrics.diagnosed import Diagnosed, Mask
from medrival.tasks.metrics.registry import Undefined, metric, undefined


@dataclass(frozen=True)
class OneVersusRest:
    """A metric of one class against the rest; of a task it is the last of two classes', of more the mean over classes.

    Of independent findings it is the mean over all of them. The mean is over the task's classes, not over those that
    happen to occur: where the samples lack one it is undefined, and only the other classes' own values are known.

    Attributes:
        of_class: (membership [samples], scores [samples]) -> the statistic of a class that some samples are of and some not.
    """

    of_class: Callable[[Mask, Floats], Statistic]

    def __call__(self, samples: Diagnosed) -> Statistic:
        """The metric of the task.

        Raises:
            Undefined: naming the classes of which there is no sample, or nothing but samples.
        """
        each = self.each(samples)
        decide = samples.classes[1:] if len(each) == 2 and not samples.findings else samples.classes
        if reason := "; ".join(each[name].undefined for name in decide if each[name].undefined):
            raise Undefined(reason)
        return replace(mean_over([each[name] for name in decide]), strata=samples.strata)

    def each(self, samples: Diagnosed) -> dict[str, Statistic]:
        """The metric of each class against the rest."""
        return {name: self._against_rest(samples, column) for column, name in enumerate(samples.classes)}

    def _against_rest(self, samples: Diagnosed, column: int) -> Statistic:
        member, name = samples.members[:, column], samples.classes[column]
        if member.any() and not member.all():
            return self.of_class(member, samples.scores[:, column])
        reason = f"every sample is of class {name}" if member.any() else f"no sample is of class {name}"
        return undefined(len(samples), reason)


def mean_over(statistics: Sequence[Statistic]) -> Statistic:
    """The mean of several statistics of the same samples."""

    def resampled(weights: Floats) -> Floats:
        mean: Floats = np.mean([one.resampled(weights) for one in statistics], axis=0)
        return mean

    known = [one.influence for one in statistics if one.influence is not None]
    return Statistic(
        point=float(np.mean([one.point for one in statistics])),
        resampled=resampled,
        n=statistics[0].n,
        influence=np.mean(known, axis=0) if len(known) == len(statistics) else None,
        bounds=statistics[0].bounds,
    )


@metric("auroc", of="diagnosis")
@OneVersusRest
def auroc(member: Mask, score: Floats) -> Statistic:
    """Area under the ROC curve: the chance that a member outranks another sample, a tie counting one half (scikit-learn)."""
    ours, theirs = np.flatnonzero(member), np.flatnonzero(~member)
    theirs = theirs[np.argsort(score[theirs], kind="stable")]
    left, right = (np.searchsorted(score[theirs], score[ours], side=side) for side in ("left", "right"))

    def resampled(weights: Floats) -> Floats:
        below = np.cumsum(weights[:, theirs], axis=1)
        below = np.concatenate([np.zeros((len(weights), 1)), below], axis=1)
        outranked = np.einsum("ij,ij->i", weights[:, ours], below[:, left] + below[:, right]) / 2
        with np.errstate(invalid="ignore"):
            area: Floats = outranked / (weights[:, ours].sum(axis=1) * below[:, -1])
        return area

    return _of_class(member, resampled, auroc_influence(member, score))


@metric("average_precision", of="diagnosis")
@OneVersusRest
def average_precision(member: Mask, score: Floats) -> Statistic:
    """Precision at each threshold, weighted by the gain in recall (scikit-learn)."""
    order = np.argsort(-score, kind="stable")
    ours = order[member[order]]
    taken = np.searchsorted(-score[order], -score[ours], side="right") - 1  # the last sample that scores the same
    found = np.searchsorted(-score[ours], -score[ours], side="right") - 1

    def resampled(weights: Floats) -> Floats:
        gained = weights[:, ours]
        right, every = np.cumsum(gained, axis=1), np.cumsum(weights[:, order], axis=1)[:, taken]
        precision = np.divide(right[:, found], every, out=np.zeros_like(gained), where=every > 0)
        with np.errstate(invalid="ignore"):
            average: Floats = np.einsum("ij,ij->i", gained, precision) / right[:, -1]
        return average

    return _of_class(member, resampled, _precision_influence(member, score))


def _of_class(member: Mask, resampled: Callable[[Floats], Floats], influence: Floats) -> Statistic:
    n = len(member)
    point = float(resampled(np.ones((1, n)))[0])
    return Statistic(point, resampled, n, influence=influence, bounds=(0.0, 1.0), strata=member.astype(np.intp))


def _precision_influence(member: Mask, score: Floats) -> Floats:
    """The derivative by each sample's weight: a member adds its own precision, every sample changes that of lower scores."""
    order = np.argsort(-score, kind="stable")
    ranked, among = -score[order], member[order]
    last = np.searchsorted(ranked, ranked, side="right") - 1
    first = np.searchsorted(ranked, ranked, side="left")
    taken, precision = last + 1, np.cumsum(among)[last] / (last + 1)
    average = precision[among].mean()
    after = np.cumsum((among / taken)[::-1])[::-1][first]  # over members of the same or a lower score
    lowered = np.cumsum((among * precision / taken)[::-1])[::-1][first]
    influence = np.empty(len(score))
    influence[order] = (among * (precision - average + after) - lowered) / member.sum()
    return influence
