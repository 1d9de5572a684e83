"""Writes report.html: one file, no network, everything that came from data or models escaped."""

from __future__ import annotations

import shlex
from base64 import b64encode
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from statistics import fmean
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from medrival.reports import charts, figures
from medrival.reports.charts.words import metric_name
from medrival.reports.files import write
from medrival.reports.gates import by_gate, counted
from medrival.reports.integrity import details, warnings
from medrival.reports.questions import answers
from medrival.reports.record import AuditRecord, CaseRecord, PairRecord, Run, plain
from medrival.reports.samples import Images, Shelf, shelve, stamp

PAGE = Path(__file__).with_name("page")
SCRIPTS = (("sort.js",), ("tips.js",), tuple(f"samples/{name}.js" for name in ("parts", "filter", "cards", "browser")))
"""The page's scripts, each of some files that share their names."""
FOLDED = 100  # rows beyond which a table is closed at first, so that the page opens at once
FAILED_SAMPLES = 100  # listed; the per-sample files have them all


def write_html(run: Run, images: Images, shareable: Collection[str] = ()) -> Path:
    """Write `report.html`, and beside it what of the samples is too large for the page or stays here; return the page's path.

    Args:
        run: what was measured.
        images: where the samples' thumbnails come from.
        shareable: tasks whose licence lets their images be passed on; those of others go to `samples/local`.

    Raises:
        ReportNotWritten: where the folder cannot be written.
    """
    shelf = Shelf(run.report_dir, stamp(run))
    local = shelve(shelf, run, images, shareable, _notes(run.cases))
    page = write(run.report_dir / "report.html", _page(run, shelf, local))
    shelf.clear()
    return page


def _page(run: Run, shelf: Shelf, local: Sequence[str]) -> str:
    jinja = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    jinja.loader = FileSystemLoader(PAGE)
    jinja.filters |= {name: getattr(figures, name) for name in ("number", "p_value", "estimate", "duration", "large")}
    jinja.filters |= {"date": _date, "signed": _signed, "clip": figures.clip, "mean": fmean, "metric_name": metric_name}
    jinja.globals |= {"count": figures.count, "counted": counted}
    failed = [(case, sample) for case in run.cases for sample in case.failed]
    return jinja.get_template("page.html").render(
        run=run,
        started=_date(run.started),
        command=shlex.join(("pytest", *run.argv)),
        states=Counter(case.status for case in run.cases),
        answers=answers(run.pairs),
        limit=max((case.notes.get("limit", 0) for case in run.cases), default=0),
        warnings=_warnings(run.cases, run.audits),
        audits=[(record.audit, list(details(record.audit))) for record in run.audits if record.audit],
        unmeasured=_unmeasured(run),
        judged=by_gate(run.gates),
        pairs=sorted((p for p in run.pairs if p.status == "measured"), key=lambda p: (p.task, p.general)),
        forests=charts.drawn(charts.FORESTS, run.pairs),
        overview={heading: charts.drawn(places, run.cases) for heading, places in charts.OVERVIEW.items()},
        detail=_detail(run.cases),
        failed=failed[:FAILED_SAMPLES],
        hidden=len(failed[FAILED_SAMPLES:]),
        folded=FOLDED,
        parts=shelf.parts,
        local=local,
        environment=run.environment,
        scripts=[Script.of(*names) for names in SCRIPTS],
    )


@dataclass(frozen=True)
class Script:
    """A script of the page, and the source by which the page's policy lets it run."""

    text: str
    source: str

    @classmethod
    def of(cls, *names: str) -> Script:
        """Of files in the page's folder, in a block of their own: scripts of one page would see each other's names."""
        text = "\n".join((PAGE / name).read_text(encoding="utf-8") for name in names)
        text = f'"use strict";\n{{\n{text}}}\n'
        return cls(text, f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'")


def _detail(cases: Sequence[CaseRecord]) -> dict[str, list[charts.Figure]]:
    """By task, the charts of its measured cases."""
    tasks: dict[str, list[CaseRecord]] = {}
    for case in cases:
        if case.status == "measured":
            tasks.setdefault(case.task, []).append(case)
    return {task: found for task, measured in tasks.items() if (found := charts.drawn(charts.DETAIL, measured))}


def _signed(value: float | None, digits: int = 3) -> str:
    return figures.signed(value, digits).replace("-", "\N{MINUS SIGN}")


def _date(started: str) -> str:
    try:
        return f"{datetime.fromisoformat(started):%Y-%m-%d %H:%M} UTC"
    except ValueError:
        return started


def _warnings(cases: Iterable[CaseRecord], audits: Iterable[AuditRecord]) -> dict[str, list[str]]:
    """By task, what must be known before its numbers are believed: what its audit warns of, else what its notes say."""
    audited = {record.task: warnings(record.audit) for record in audits if record.audit}
    found: dict[str, dict[str, None]] = {task: dict.fromkeys(texts) for task, texts in audited.items() if texts}
    for case in cases:
        if case.task in audited:
            continue
        for name, value in case.notes.items():
            if name.endswith("_in_train") and value:
                things = name.removesuffix("_in_train")
                share = f"{value} of {case.notes[things]}" if things in case.notes else f"{value}"
                text = f"{share} {things.replace('_', ' ')} are also in the training split"
                found.setdefault(case.task, {})[text] = None
    return {task: list(texts) for task, texts in found.items()}


def _notes(cases: Iterable[CaseRecord]) -> dict[str, dict[str, Any]]:
    """By task, the notes that all of its measured cases share."""
    shared: dict[str, dict[str, Any]] = {}
    for case in cases:
        if case.status == "measured":
            notes = plain(case.notes)
            known = shared.setdefault(case.task, notes)
            shared[case.task] = {name: note for name, note in known.items() if name in notes and notes[name] == note}
    return shared


def _unmeasured(run: Run) -> list[tuple[str, str, list[str]]]:
    """(such as "2 cases failed", reason, ids) of what was not measured: failures first, frequent reasons first."""
    records: tuple[CaseRecord | PairRecord | AuditRecord, ...] = (*run.cases, *run.pairs, *run.audits)
    groups: dict[tuple[str, str, str], list[str]] = {}
    for record in records:
        if record.status != "measured":
            noun, name = _called(record)
            groups.setdefault((record.status, noun, record.reason or "no reason given"), []).append(name)
    ordered = sorted(groups.items(), key=lambda group: (group[0][:2], -len(group[1])))
    return [(f"{figures.count(len(ids), noun)} {status}", reason, ids) for (status, noun, reason), ids in ordered]


def _called(record: CaseRecord | PairRecord | AuditRecord) -> tuple[str, str]:
    if isinstance(record, AuditRecord):
        return "audit", record.task
    return ("case" if isinstance(record, CaseRecord) else "pair"), record.id
