"""Calibration curves: whether a model is right as often as it is sure."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

import numpy as np

from medrival.reports.charts.curves import Bin, Curve, calibration
from medrival.reports.charts.drawing import Figure
from medrival.reports.charts.findings import of_findings
from medrival.reports.charts.lines import Frame, Line, plots
from medrival.reports.charts.measured import estimated, firsts, seeds_said
from medrival.reports.charts.words import name
from medrival.reports.figures import estimate
from medrival.reports.record import CaseRecord
from medrival.tasks.metrics.calibration import BINS
from medrival.tasks.metrics.diagnosed import diagnosed


def calibration_curves(cases: Sequence[CaseRecord]) -> list[Figure]:
    """The curve of every diagnosis that has an expected calibration error."""
    lines, without = [], []
    classes = 2
    for case in firsts(cases):
        if not case.predictions or not case.classes or of_findings(case):
            continue
        if not estimated(case.metrics.get("ece")):
            without.append(f"{case.model} {case.regime}")
            continue
        classes = len(case.classes)
        lines.append(_line(case, calibration(diagnosed(case.predictions, case.classes))))
    least = floor(10 / max(classes, 1)) / 10 if classes < 10 else 0.0
    across = (min(least, 0.9), 1.0)
    frame = Frame("how sure (probability of the chosen class)", "how often right (accuracy)", across, words_below=True)
    says = (
        f"Points: samples in {BINS} bins of equal width from 0 to 1, as the expected calibration error (ECE) has them; "
        "the larger, the more samples. "
        "Below the dashed line a model is surer than it is right. Words: ECE with its 95% interval. "
        "A sample that failed counts as wrong."
    )
    return plots("Calibration", says + seeds_said(cases), lines, without, frame)


def _line(case: CaseRecord, bins: Sequence[Bin]) -> Line:
    worth = estimate(case.metrics["ece"])
    said = f"{name(case.model, 40)}, {name(case.regime, 40)}: ECE {worth}, n = {sum(one.n for one in bins):,}"
    curve = Curve(np.array([one.confidence for one in bins]), np.array([one.accuracy for one in bins]))
    return Line(case.model, case.regime, curve, worth, said, tuple(one.n / sum(b.n for b in bins) for one in bins))
