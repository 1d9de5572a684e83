"""Writes report.json and, beside it, what each model said about each sample."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from medrival.contracts import Prediction
from medrival.gates import Baseline
from medrival.reports.files import write
from medrival.reports.record import Run, document, plain


def write_json(run: Run) -> Path:
    """Write `report.json` and `predictions/<case id>.jsonl`, one sample a line; return the report's path.

    What was said about validation samples is in `<case id>.validation.jsonl`, where thresholds were chosen on them.

    The per-sample files come first: a report never names a file that is not there. Those that the report before it in this
    folder named, and this one does not, go last.

    Raises:
        ReportNotWritten: where the folder cannot be written.
    """
    before = _named(run.report_dir / "report.json")
    for case in run.cases:
        for file, predictions in case.files.values():
            write(run.report_dir / file, sample_lines(predictions))
    path = write(run.report_dir / "report.json", json.dumps(document(run), indent=1, allow_nan=False) + "\n")
    for file in before - _named(path):
        with suppress(OSError):  # what cannot be deleted is not this run's, and its report does not name it
            (run.report_dir / file).unlink()
    return path


def _named(path: Path) -> set[str]:
    """The per-sample files that a report names; none where it is no report."""
    try:
        rows = json.loads(path.read_bytes())["cases"]
        named = {str(row.get(key)) for row in rows for key in ("predictions", "validation")}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return set()
    return {file for file in named if Baseline.names(file)}


def sample_lines(predictions: Iterable[Prediction]) -> str:
    """What a case's model said, one sample a line."""
    return "".join(json.dumps(plain(vars(prediction)), allow_nan=False) + "\n" for prediction in predictions)
