"""Scorers: metrics of answers that need more than the answers, such as an encoder, a judge or learned labels.

They are no part of an outcome as it is stored: they are computed from its predictions each time it is asked for, and
keep in a cache of their own what is dear.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from medrival.case import Outcome
from medrival.contracts import Prediction
from medrival.statistics import Estimate, Floats, estimates, mean_of


@dataclass(frozen=True)
class Scores:
    """What a scorer says about predictions.

    Attributes:
        values: by metric, a value a sample (NaN where it does not apply), or why the metric is undefined.
        notes: by scorer, how the values came about, for the record. Where answers could not be scored, "failed" says how many
            of the "asked" ones.
    """

    values: Mapping[str, Floats | str]
    notes: Mapping[str, Any] = field(default_factory=dict)


class Scorer(Protocol):
    """Scores the predictions of a vqa task."""

    def __call__(self, predictions: Sequence[Prediction]) -> Scores:
        """What it says about them."""


def scored(outcome: Outcome, scorers: Sequence[Scorer]) -> Outcome:
    """The outcome with what the scorers add: means with 95% intervals clustered by group, and notes."""
    for scorer in scorers:
        scores = scorer(outcome.predictions)
        groups = [p.group for p in outcome.predictions]
        means = estimates({name: mean_of(v) for name, v in scores.values.items() if not isinstance(v, str)}, groups)
        known = {name: _explained(estimate) for name, estimate in means.items()}
        lacking = {name: Estimate(None, None, None, 0, v) for name, v in scores.values.items() if isinstance(v, str)}
        outcome = replace(outcome, metrics={**outcome.metrics, **known, **lacking}, notes={**outcome.notes, **scores.notes})
    return outcome


def _explained(estimate: Estimate) -> Estimate:
    return replace(estimate, reason="no question of the kind it is about") if estimate.n == 0 else estimate
