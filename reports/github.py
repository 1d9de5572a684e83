"""The job summary that GitHub Actions shows: Markdown in the file that GITHUB_STEP_SUMMARY names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from medrival.reports.figures import count, visible
from medrival.reports.questions import answers
from medrival.reports.record import CaseRecord, PairRecord, Run

MARKUP = re.compile(r"([\\`*_\[\]<>|~&#])")
ROWS = 200  # GitHub cuts a summary at 1 MiB
LETTERS = 600


def append_summary(path: Path, run: Run) -> None:
    """Append a run's answers, its gates and what was not measured.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("a", encoding="utf-8", errors="replace") as stream:
        stream.write("\n".join(markdown(run)) + "\n")


def markdown(run: Run) -> Iterator[str]:
    """The summary, line by line; what came from data, models or files is escaped."""
    states = [case.status for case in run.cases]
    yield f"## medrival: suite {_plain(run.suite)}"
    yield ""
    figures = ", ".join(f"{states.count(status):,} {status}" for status in ("measured", "failed", "skipped"))
    yield f"{count(len(states), 'case')}: {figures}."
    yield ""
    for answer in answers(run.pairs):
        yield f"- **{answer.title}**: {answer.sentence}" + (f" ({answer.correction})" if answer.correction else "")
    yield from _gates(run)
    yield from _lost(run)


def _gates(run: Run) -> Iterator[str]:
    if not run.gates:
        return
    yield from ("", "### Gates", "", "| | Gate | Case or pair | Why |", "|---|---|---|---|")
    ordered = sorted(run.gates, key=lambda judgement: judgement.holds)
    for one in ordered[:ROWS]:
        said = one.status if one.holds else f"**{one.status}**"
        yield f"| {said} | {_plain(one.name)} | {_plain(one.subject) or 'the run'} | {_plain(one.explanation)} |"
    yield from _more(len(ordered))


def _lost(run: Run) -> Iterator[str]:
    records: Iterable[CaseRecord | PairRecord] = (*run.cases, *run.pairs)
    lost = [record for record in records if record.status != "measured"]
    if lost:
        yield from ("", "### Not measured", "", "| | Case or pair | Why |", "|---|---|---|")
        yield from (f"| {one.status} | {_plain(one.id)} | {_plain(one.reason)} |" for one in lost[:ROWS])
        yield from _more(len(lost))


def _more(rows: int) -> Iterator[str]:
    if rows > ROWS:
        yield from ("", f"... and {rows - ROWS:,} more: see report.json.")


def _plain(text: str) -> str:
    """Text that Markdown and HTML leave as it is."""
    text = visible(text)
    return MARKUP.sub(r"\\\1", text if len(text) <= LETTERS else text[: LETTERS - 4] + " ...")
