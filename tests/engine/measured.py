"""Outcomes and findings that gates are tried on, made by hand, of which the truth is known."""

import numpy as np
import pytest

from medrival.case import Cost, Outcome
from medrival.contracts import Prediction
from medrival.gates.margins import Other
from medrival.gates.rules import Evidence
from medrival.statistics import Estimate

CLASSES = ("clear", "opacity")
COST = Cost(12.5, 10.0, 12_288, 1_130_000, None, 311.5)
NOTHING = Evidence({}, None, lambda _: pytest.fail("nothing is to be evaluated"))


def said(truth, positive) -> tuple[Prediction, ...]:
    """Predictions of samples that are each their own patient: the truth's index and the probability of the second class."""
    return tuple(
        Prediction(f"s{i:04}", f"p{i:04}", CLASSES[t], (1 - float(p), float(p)))
        for i, (t, p) in enumerate(zip(truth, positive, strict=True))
    )


def outcome(predictions=(), **metrics: Estimate) -> Outcome:
    return Outcome("key", CLASSES, metrics, tuple(predictions), COST)


def estimate(value, low, high, n=1811, **more) -> Estimate:
    return Estimate(value, low, high, n, **more)


AUROC = estimate(0.842, 0.821, 0.861)


def disagreeing(n: int, ours_alone: int, theirs_alone: int) -> tuple[Outcome, Other]:
    """Two models that are right on the same samples but for some that one alone gets right."""
    truth = np.arange(n) % 2
    ours, theirs = np.ones(n, bool), np.ones(n, bool)
    ours[ours_alone : ours_alone + theirs_alone] = False
    theirs[:ours_alone] = False
    ours[-n // 5 :] = theirs[-n // 5 :] = False
    first, second = (said(truth, np.where(right, truth, 1 - truth) * 0.8 + 0.1) for right in (ours, theirs))
    return outcome(first, accuracy=estimate(float(ours.mean()), 0.0, 1.0, n)), Other("rival", second)
