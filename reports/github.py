"""The job summary that GitHub Actions shows: Markdown in the file that GITHUB_STEP_SUMMARY names."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from medrival.reports.escaping import markdown as escaped
from medrival.reports.figures import count, signed
from medrival.reports.questions import answers
from medrival.reports.record import AuditRecord, CaseRecord, PairRecord, Run

ROWS = 200
NAME = 100  # characters of a name beside figures
BYTES = 900_000
"""GitHub drops a step's summary of more than 1 MiB, and the step may write one of its own."""


def append_summary(path: Path, run: Run) -> None:
    """Append a run's answers, its gates, what was not measured, and its pairs.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write("\n".join(markdown(run)) + "\n")


def markdown(run: Run, most: int = BYTES) -> Iterator[str]:
    """The summary, line by line, in at most so many bytes; what came from data, models or files is escaped."""
    end = "... and more: see report.html."
    left = most - len(end) - 2
    for line in _lines(run):
        left -= len(line.encode("utf-8", "replace")) + 1
        if left < 0:
            yield from ("", end)
            return
        yield line


def _lines(run: Run) -> Iterator[str]:
    states = [case.status for case in run.cases]
    yield f"## medrival: suite {escaped(run.suite)}"
    yield ""
    figures = ", ".join(f"{states.count(status):,} {status}" for status in ("measured", "failed", "skipped"))
    yield f"{count(len(states), 'case')}: {figures}."
    if limit := max((case.notes.get("limit", 0) for case in run.cases), default=0):
        yield f"Limited to {limit:,} samples of each split: a quick look, not a result."
    yield ""
    for answer in answers(run.pairs):
        yield f"- **{answer.title}**: {answer.sentence}" + (f" ({answer.correction})" if answer.correction else "")
    yield from _gates(run)
    yield from _lost(run)
    yield from _pairs(run)


def _pairs(run: Run) -> Iterator[str]:
    """The forest plot in figures, from the medical model's greatest lead to the general one's."""
    measured = [pair for pair in run.pairs if pair.status == "measured"]
    if not measured:
        return
    yield from ("", "<details><summary>Pairs: general minus medical, with 95% intervals</summary>", "")
    yield from ("| Task | General | Medical | Metric | Difference | Verdict |", "|---|---|---|---|---|---|")
    ordered = sorted(measured, key=lambda pair: (pair.difference is None, pair.difference))
    for pair in ordered[:ROWS]:
        general, medical = (f"{name} {regime}" for name, regime in zip((pair.general, pair.medical), pair.regimes, strict=True))
        span = f"{signed(pair.difference)} [{signed(pair.low)}, {signed(pair.high)}]"
        cells = (pair.task, general, medical, pair.metric, span, str(pair.verdict))
        yield f"| {' | '.join(escaped(cell, NAME) for cell in cells)} |"
    yield from _more(len(ordered))
    yield from ("", "</details>")


def _gates(run: Run) -> Iterator[str]:
    if not run.gates:
        return
    yield from ("", "### Gates", "", "| | Gate | Case or pair | Why |", "|---|---|---|---|")
    ordered = sorted(run.gates, key=lambda judgement: judgement.holds)
    for one in ordered[:ROWS]:
        said = one.status if one.holds else f"**{one.status}**"
        yield f"| {said} | {escaped(one.name)} | {escaped(one.subject) or 'the run'} | {escaped(one.explanation)} |"
    yield from _more(len(ordered))


def _lost(run: Run) -> Iterator[str]:
    records: Iterable[CaseRecord | PairRecord | AuditRecord] = (*run.cases, *run.pairs, *run.audits)
    lost = [record for record in records if record.status != "measured"]
    if lost:
        yield from ("", "### Not measured", "", "| | Case, pair or data set | Why |", "|---|---|---|")
        for one in lost[:ROWS]:
            named = one.task if isinstance(one, AuditRecord) else one.id
            yield f"| {one.status} | {escaped(named)} | {escaped(one.reason)} |"
        yield from _more(len(lost))


def _more(rows: int) -> Iterator[str]:
    if rows > ROWS:
        yield from ("", f"... and {rows - ROWS:,} more: see report.json.")
