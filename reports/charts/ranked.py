"""ROC curves."""

from __future__ import annotations

from collections.abc import Sequence

from medrival.reports.charts.curves import roc, thinned
from medrival.reports.charts.drawing import Figure
from medrival.reports.charts.findings import of_findings
from medrival.reports.charts.lines import Frame, Line, plots
from medrival.reports.charts.measured import estimated, firsts, seeds_said
from medrival.reports.charts.words import name
from medrival.reports.figures import estimate
from medrival.reports.record import CaseRecord
from medrival.tasks.metrics.diagnosed import diagnosed

FRAME = Frame("false positive rate (1 - specificity)", "true positive rate (sensitivity)", (0.0, 1.0))


def roc_curves(cases: Sequence[CaseRecord]) -> list[Figure]:
    """The curve of every diagnosis of exclusive classes that has an AUROC."""
    lines, without = [], []
    classes: tuple[str, ...] = ()
    for case in firsts(cases):
        if not case.predictions or not case.classes or of_findings(case):
            continue
        curve = roc(diagnosed(case.predictions, case.classes)) if estimated(case.metrics.get("auroc")) else None
        if curve is None:
            without.append(f"{case.model} {case.regime}")
            continue
        classes = case.classes
        worth = estimate(case.metrics["auroc"])
        said = f"{name(case.model, 40)}, {name(case.regime, 40)}: AUROC {worth}, n = {len(case.predictions):,}"
        lines.append(Line(case.model, case.regime, thinned(curve), worth, said))
    if len(classes) == 2:
        of = f"Positive is the class {name(classes[1], 40)}."
    else:
        of = f"Each of {len(classes)} classes against the rest, of which the mean is drawn."
    says = f"{of} Words: AUROC with its 95% interval. Dashed: chance. A sample that failed ranks as wrong as can be."
    return plots("ROC curves", says + seeds_said(cases), lines, without, FRAME)
