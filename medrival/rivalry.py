"""General against medical: the paired difference on the same samples, and what it means."""

from __future__ import annotations

from collections.abc import Sequence

from medrival.case import Comparison, Outcome
from medrival.contracts import TaskKind
from medrival.statistics import verdict


def compare(kind: TaskKind, general: Sequence[Outcome], medical: Sequence[Outcome], margin: float) -> Comparison:
    """Compare the outcomes of two models, one a seed, on their task's primary metric.

    The difference is general minus medical; its 95% interval pairs both models' predictions of each sample, counts a cluster
    (patient, or image) as one piece of evidence, and minds the spread between seeds, where a model has several. The verdict is
    of this pair alone: Holm's correction, which takes the p-values of all pairs of a run, comes with the report.

    Raises:
        BrokenData: the outcomes are not about the same samples.
    """
    from medrival.tasks import metrics

    metric = metrics.primary(kind, general[0].predictions)
    ours, theirs = ([outcome.predictions for outcome in side] for side in (general, medical))
    difference = metrics.compare(kind, metric, ours, theirs, general[0].classes)
    return Comparison(metric, difference, verdict(difference, margin), margin)
