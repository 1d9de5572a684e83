"""Writes report.json and, beside it, what each model said about each sample."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from medrival.contracts import Prediction
from medrival.reports.files import write
from medrival.reports.record import Run, document, plain


def write_json(run: Run) -> Path:
    """Write `report.json` and `predictions/<case id>.jsonl`, one sample a line; return the report's path.

    What was said about validation samples is in `<case id>.validation.jsonl`, where thresholds were chosen on them.

    The per-sample files come first: a report never names a file that is not there.

    Raises:
        ReportNotWritten: where the folder cannot be written.
    """
    for case in run.cases:
        for file, predictions in case.files.values():
            write(run.report_dir / file, sample_lines(predictions))
    report = document(run)
    return write(run.report_dir / "report.json", json.dumps(report, indent=1, allow_nan=False) + "\n")


def sample_lines(predictions: Iterable[Prediction]) -> str:
    """What a case's model said, one sample a line."""
    return "".join(json.dumps(plain(vars(prediction)), allow_nan=False) + "\n" for prediction in predictions)
