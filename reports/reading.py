"""A report folder read back: report.json and the per-sample files become the run that wrote them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

from medrival.contracts import Prediction
from medrival.errors import BrokenReport
from medrival.gates import Baseline, Judgement
from medrival.integrity import Audit, audit_from
from medrival.reports.against import against_from
from medrival.reports.published import Published
from medrival.reports.record import AuditRecord, CaseRecord, PairRecord, Run

T = TypeVar("T")
NUMBERS = ("limit", "max_new_tokens")
"""Notes by which cases are compared."""
ENVIRONMENT = ("git", "packages", "hardware")


def read_run(place: Path) -> Run:
    """The run whose report lies in a folder, or of a report.json by whatever name; written again, the report is the same.

    Raises:
        BrokenReport: there is none, it is of another version, or a file of predictions is missing or damaged.
    """
    folder, file = (place.parent, place) if place.is_file() else (place, place / "report.json")
    try:
        content = json.loads(file.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise BrokenReport(
            f"{folder}: its report.json cannot be read ({error}); name a folder that a run wrote (--report-dir)"
        ) from error
    if not isinstance(content, dict) or content.get("schema") != "1":
        raise BrokenReport(f"{folder}: its report.json is of no version that is known here; run the suite again")
    try:
        return _run(content, folder)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BrokenReport(
            f"{folder}: its report.json is damaged ({type(error).__name__}: {error}); run the suite again"
        ) from error


def _run(content: Mapping[str, Any], folder: Path) -> Run:
    about = content["run"]
    return Run(
        cases=tuple(_case(row, folder) for row in content["cases"]),
        pairs=tuple(_made(PairRecord, row) for row in content["pairs"]),
        report_dir=folder,
        gates=tuple(_made(Judgement, row) for row in content["gates"]),
        published=tuple(_made(Published, row) for row in content["published"]),
        audits=tuple(map(_audit, content["integrity"])),
        environment={name: about[name] for name in ENVIRONMENT},
        baseline=against_from(content["baseline"]) if "baseline" in content else None,
        **{name: _frozen(about[name]) for name in ("started", "seconds", "suite", "argv", "exit_status")},
        **{name: _frozen(about[name]) for name in ("shard", "shards", "not_planned") if name in about},
    )


def _case(row: Mapping[str, Any], folder: Path) -> CaseRecord:
    said = {key: _predictions(folder, row[key]) for key in ("predictions", "validation")}
    if (n := len(said["predictions"])) != row["n"]:
        raise BrokenReport(f"{folder}: {row['id']} has {n:,} predictions, not {row['n']:,}; keep the report folder whole")
    for name in NUMBERS:
        if not isinstance(row["notes"].get(name, 0), int):
            raise ValueError(f"{row['id']}: its note {name} is no number")
    return _made(CaseRecord, {**row, **said})


def _predictions(folder: Path, name: str | None) -> tuple[Prediction, ...]:
    if name is None:
        return ()
    if not Baseline.names(name):
        raise BrokenReport(f"{folder}: {name!r} is no file of predictions")
    try:
        lines = (folder / name).read_bytes().splitlines()
        return tuple(_made(Prediction, json.loads(line)) for line in lines)
    except (OSError, ValueError) as error:
        raise BrokenReport(f"{folder}: {name} cannot be read ({error}); keep the report folder whole") from error


def _audit(row: Mapping[str, Any]) -> AuditRecord:
    named = {field.name for field in fields(Audit)}
    audit = audit_from({name: value for name, value in row.items() if name in named}) if "fingerprint" in row else None
    return AuditRecord(row["task"], row["status"], row["reason"], audit)


def _made(kind: type[T], row: Mapping[str, Any]) -> T:
    """A record whose sequences are tuples, as they were before they were JSON."""
    known = {field.name for field in fields(kind)}  # type: ignore[arg-type]  # every kind that is read is a dataclass
    return kind(**{name: _frozen(value) for name, value in row.items() if name in known})


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
