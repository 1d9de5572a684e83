"""Writes a run as the baseline of later ones: deliberately, whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from medrival.errors import BrokenBaseline
from medrival.gates import Baseline
from medrival.reports.files import encoded, write
from medrival.reports.json_report import sample_lines
from medrival.reports.record import Run, document

OPTION = "--baseline"


def write_baseline(path: Path, run: Run, planned: Collection[str]) -> None:
    """Write report.json and, beside it, the predictions of a run that measured all it planned.

    The files of predictions are named by their content and report.json comes last: whenever the process dies, the report
    that is there goes with the predictions it was made of.

    Raises:
        BrokenBaseline: the run is not whole.
        ReportNotWritten: the folder cannot be written.
    """
    _check_whole(path, run, planned)
    before = Baseline.read(path).cases if path.exists() else {}
    texts = {case.id: {key: (file, sample_lines(said)) for key, (file, said) in case.files.items()} for case in run.cases}
    names = {
        case: {key: Baseline.named(file, encoded(text)) for key, (file, text) in files.items()} for case, files in texts.items()
    }
    for case, files in texts.items():
        for key, (_, text) in files.items():
            write(path.parent / names[case][key], text, OPTION)
    report = document(run)
    for row in report["cases"]:
        row |= names[row["id"]]
    write(path, json.dumps(report, indent=1, allow_nan=False) + "\n", OPTION)
    _forget(path.parent, before, keep={name for files in names.values() for name in files.values()})


def _check_whole(path: Path, run: Run, planned: Collection[str]) -> None:
    measured = {case.id for case in run.cases if case.status == "measured"}
    absent = [name for name in planned if name not in measured] + [pair.id for pair in run.pairs if pair.status == "failed"]
    limit = max((case.notes.get("limit", 0) for case in run.cases), default=0)
    if absent or limit:
        more = f" and {len(absent) - 1:,} more were" if len(absent) > 1 else " was"
        why = f"it is limited to {limit:,} samples of each split" if limit else f"{absent[0]}{more} not measured"
        raise BrokenBaseline(f"--update-baseline: {path} was not written, for this run is not whole: {why}")


def _forget(folder: Path, before: Mapping[str, Mapping[str, Any]], keep: set[str]) -> None:
    """Delete the predictions that only the replaced report named."""
    for name in {str(row.get(key)) for row in before.values() for key in ("predictions", "validation")} - keep:
        if Baseline.names(name):
            (folder / name).unlink(missing_ok=True)
