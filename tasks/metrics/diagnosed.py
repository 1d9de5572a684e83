"""The samples of a diagnosis as arrays, checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from medrival.contracts import Prediction
from medrival.errors import BrokenData
from medrival.statistics import Floats
from medrival.tasks.metrics.registry import Undefined

Labels = NDArray[np.intp]
Mask = NDArray[np.bool_]

ROUNDING = 0.01
"""How far from 1 probabilities may add up to: half precision and files with three decimals round them."""


@dataclass(frozen=True)
class Diagnosed:
    """Samples of a diagnosis.

    Attributes:
        classes: their names, in the order of columns.
        members: [samples, classes], which classes each sample is of.
        scores: [samples, classes], the probability of each class.
        failed: [samples], which samples failed; a metric counts them as wrong.
        findings: whether the classes are independent findings, of which a sample may have several or none.
        validation: samples on which thresholds are chosen; None where there are none.
    """

    classes: tuple[str, ...]
    members: Mask
    scores: Floats
    failed: Mask
    findings: bool = False
    validation: Diagnosed | None = None

    def __len__(self) -> int:
        return len(self.members)

    @property
    def truth(self) -> Labels:
        """[samples], the index of each sample's one class.

        Raises:
            Undefined: a sample may have several.
        """
        if self.findings:
            raise Undefined("undefined where a sample may have several findings")
        return self.members.argmax(axis=1)

    @property
    def strata(self) -> Labels:
        """[samples], the classes that a metric sets against each other; of findings, the one that fewest have or lack."""
        if not self.findings:
            return self.truth
        having = self.members.sum(axis=0)
        return self.members[:, np.minimum(having, len(self) - having).argmin()].astype(np.intp)

    @property
    def hits(self) -> Floats:
        """[samples], 1 where the most probable class (the first of equals) is the true one, else 0."""
        hits: Floats = ((self.scores.argmax(axis=1) == self.truth) & ~self.failed).astype(np.float64)
        return hits

    @property
    def probabilities(self) -> Floats:
        """The scores of a single-label diagnosis, where they are what they should be.

        Raises:
            Undefined: they lie outside [0, 1] or do not add up to 1.
        """
        _ = self.truth
        outside = (self.scores < 0) | (self.scores > 1)
        wrong = outside.any(axis=1) | (np.abs(self.scores.sum(axis=1) - 1) > ROUNDING)
        if wrong.any():
            raise Undefined(f"the scores of {wrong.sum()} of {len(self)} samples are no probabilities that add up to 1")
        return self.scores

    @property
    def positive(self) -> Mask:
        """[samples], which are of the last of two classes.

        Raises:
            Undefined: there are not two exclusive classes.
        """
        if len(self.classes) != 2:
            raise Undefined(f"undefined for {len(self.classes)} classes; it takes two")
        return self.truth == 1

    @property
    def called(self) -> Mask:
        """[samples], which are called positive: their last class scores at least the threshold. Failed ones are called wrongly.

        Raises:
            Undefined: there is no threshold.
        """
        return np.where(self.failed, ~self.positive, self.scores[:, 1] >= self.threshold)

    @property
    def threshold(self) -> float:
        """The validation score with the largest Youden's J = sensitivity + specificity - 1; of equals the highest.

        Source: Youden, Cancer 3 (1950) 32-35. Samples that failed say nothing about scores and are left out.

        Raises:
            Undefined: there are not two classes, or not both in a validation split.
        """
        positive, known = self.positive, self.validation
        if known is None or not len(known):
            raise Undefined("no validation predictions to choose a threshold on")
        positive, score = known.positive[~known.failed], known.scores[~known.failed, 1]
        sick, well = np.sort(score[positive]), np.sort(score[~positive])
        if not (len(sick) and len(well)):
            raise Undefined("no threshold can be chosen: the validation predictions are not of both classes")
        candidates = np.unique(score)[::-1]
        below_sick, below_well = (np.searchsorted(side, candidates, side="left") for side in (sick, well))
        return float(candidates[np.argmax(below_well * len(sick) - below_sick * len(well))])

    def drawn(self, times: Labels) -> Diagnosed:
        """Each sample as often as drawn."""
        rows = np.repeat(np.arange(len(self)), times)
        return replace(self, members=self.members[rows], scores=self.scores[rows], failed=self.failed[rows])


def diagnosed(predictions: Sequence[Prediction], classes: Sequence[str], validation: Sequence[Prediction] = ()) -> Diagnosed:
    """Predictions as arrays.

    In one that failed, the true class has probability 0 and the others share the rest; of findings the true ones have 0 and
    the others 1; where scores are no probabilities, they are below and above all that there are.

    Raises:
        BrokenData: a truth is none of the classes, or scores are not one finite number a class; the sample is named.
    """
    columns = {name: i for i, name in enumerate(classes)}
    members = np.zeros((len(predictions), len(classes)), dtype=np.bool_)
    scores = np.zeros(members.shape)
    failed = np.array([bool(p.error) for p in predictions], dtype=np.bool_)
    findings = any(p.form == "findings" for p in predictions)
    for row, p in enumerate(predictions):
        members[row, _truths(p, columns)] = True
        if not p.error:
            scores[row] = _scores(p, len(classes))
    low, high = scores.min(initial=0.0), scores.max(initial=1.0)
    if (low, high) == (0.0, 1.0):
        scores[failed] = ~members[failed] / (1 if findings else max(len(classes) - 1, 1))
    else:
        scores[failed] = np.where(members[failed], low - 1, high + 1)
    known = diagnosed(validation, classes) if validation else None
    return Diagnosed(tuple(classes), members, scores, failed, findings, known)


def finite(p: Prediction) -> None:
    """Refuse scores that are no numbers.

    Raises:
        BrokenData: naming the sample.
    """
    if not p.error and not np.isfinite(p.scores).all():
        raise BrokenData(f"sample {p.id!r}: its scores {p.scores} are not finite; give a sample that has none an error instead")


def _truths(p: Prediction, columns: dict[str, int]) -> list[int]:
    several = p.truth.split("|") if p.truth else []
    names = several if p.form == "findings" else [p.truth]
    if unknown := [name for name in names if name not in columns]:
        advice = '; a sample of several classes has the form "findings"' if "|" in unknown[0] else ""
        raise BrokenData(f"sample {p.id!r}: its class {unknown[0]!r} is none of {', '.join(columns)}{advice}")
    return [columns[name] for name in names]


def _scores(p: Prediction, classes: int) -> tuple[float, ...]:
    if len(p.scores) != classes:
        raise BrokenData(f"sample {p.id!r}: {len(p.scores)} scores for {classes} classes")
    finite(p)
    return p.scores
