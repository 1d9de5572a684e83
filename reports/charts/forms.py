"""Accuracy by the form of the question."""

from __future__ import annotations

from collections.abc import Sequence

from medrival.reports.charts.dots import Dot, dots
from medrival.reports.charts.drawing import Figure, figure
from medrival.reports.charts.measured import measures
from medrival.reports.charts.words import names
from medrival.reports.record import CaseRecord

FORMS = {
    "closed_accuracy": "closed and choice (accuracy)",
    "exact_match": "open (exact match)",
    "token_recall": "open (token recall)",
}
MOST = 120  # rows of one figure


def by_form(cases: Sequence[CaseRecord]) -> list[Figure]:
    """For tasks that ask in more than one form."""
    asked = [case for case in cases if case.task_kind == "vqa"]
    known = [(form, one) for metric, form in FORMS.items() for one in measures(asked, metric)]
    if len({form for form, _ in known}) < 2:
        return []
    rows = names((f"{one.model} · {one.regime}" for _, one in known), 60)
    plots = []
    for i in range(0, len(rows), MOST):
        some = dict(list(rows.items())[i : i + MOST])
        values = [
            Dot(row, form, one.value, one.low, one.high, f"{row}: {one.says}")
            for whose, row in some.items()
            for form, one in known
            if f"{one.model} · {one.regime}" == whose
        ]
        says = "How right the answers to each form of question are, with 95% intervals."
        part = f" ({i // MOST + 1} of {-(-len(rows) // MOST)})" if len(rows) > MOST else ""
        plots.append(figure(f"By form of question{part}", says, dots(values, "share")))
    return plots
