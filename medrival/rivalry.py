"""General against medical: the paired difference on the same samples, and what it means."""

from __future__ import annotations

from medrival.case import Comparison, Outcome
from medrival.contracts import TaskKind
from medrival.statistics import verdict


def compare(kind: TaskKind, general: Outcome, medical: Outcome, margin: float) -> Comparison:
    """Compare two outcomes of one task on its primary metric.

    The difference is general minus medical; its 95% interval resamples clusters (patients, or images) and takes both models'
    predictions of each resample together.

    Raises:
        BrokenData: the outcomes are not about the same samples.
    """
    from medrival.tasks import metrics

    metric = metrics.primary(kind, general.predictions)
    difference = metrics.compare(kind, metric, general.predictions, medical.predictions, general.classes)
    return Comparison(metric, difference, verdict(difference, margin), margin)
