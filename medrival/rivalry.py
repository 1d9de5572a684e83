"""General against medical: the paired difference on the same samples, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from medrival.case import Comparison, Outcome
from medrival.contracts import TaskKind
from medrival.statistics import verdict

ASKED = {
    "asked_by": "was asked by {}",
    "max_new_tokens": "could answer in {:,} tokens",
    "engine": "was run by {}",
}
"""What decides how a model could show what it knows, by its note in an outcome."""


def compare(kind: TaskKind, general: Sequence[Outcome], medical: Sequence[Outcome], margin: float) -> Comparison:
    """Compare the outcomes of two models, one a seed, on their task's primary metric.

    The difference is general minus medical; its 95% interval pairs both models' predictions of each sample, counts a cluster
    (patient, or image) as one piece of evidence, and minds the spread between seeds, where a model has several. The verdict is
    of this pair alone: Holm's correction, which takes the p-values of all pairs of a run, comes with the report. Where the two
    were asked in unlike ways, the difference carries a caution.

    Raises:
        BrokenData: the outcomes are not about the same samples.
    """
    from medrival.tasks import metrics

    metric = metrics.primary(kind, general[0].predictions)
    ours, theirs = ([outcome.predictions for outcome in side] for side in (general, medical))
    difference = metrics.compare(kind, metric, ours, theirs, general[0].classes)
    told = [difference.caution, *(_unlike(note, words, general[0], medical[0]) for note, words in ASKED.items())]
    return Comparison(metric, replace(difference, caution="; ".join(filter(None, told))), verdict(difference, margin), margin)


def _unlike(note: str, words: str, general: Outcome, medical: Outcome) -> str:
    ours, theirs = general.notes.get(note), medical.notes.get(note)
    if ours is None or theirs is None or ours == theirs:
        return ""
    return f"the general model {words.format(ours)}, the medical one {words.format(theirs)}"
