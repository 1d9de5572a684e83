"""Two runs beside each other: for the terminal, and as data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from textwrap import wrap
from typing import Any

from medrival.comparing import Compared, Comparison, called
from medrival.reports.figures import count, number, p_value, signed, visible
from medrival.reports.record import Run, plain

WIDTH = 80
HEADER = f"{'A':>7}{'B':>8}   {'B - A [95% interval]':<25}{'p (Holm)':>8}   B is"


def lines(found: Comparison, a: tuple[Path, Run], b: tuple[Path, Run]) -> Iterator[str]:
    """At most 80 columns wide: two lines a case, then what must be known of them, and the answer.

    Args:
        found: the comparison.
        a: where the run that is called A lies, and the run; `b` likewise.
    """
    for side, (folder, run) in (("A", a), ("B", b)):
        limit = max((case.notes.get("limit", 0) for case in run.cases), default=0)
        limited = f", limited to {limit:,} samples" if limit else ""
        yield from _wrapped(f"{side}: {folder}, suite {run.suite}, {run.started[:16].replace('T', ' ')} UTC{limited}", 3)
    yield ""
    yield HEADER
    for case in found.cases:
        yield from _case(case)
    yield ""
    cautions = Counter(case.difference.caution for case in found.cases if case.difference.caution)
    yield from _told("mind", ((text, f"in {count(n, 'case')}") for text, n in cautions.items()))
    yield from _told("not compared", found.left_out.items())
    for side, names in (("A", found.only_a), ("B", found.only_b)):
        if names:
            yield from _wrapped(f"only in {side}, {count(len(names), 'case')}: {', '.join(names)}", 2)
    if found.unaudited:
        yield from _wrapped(f"--drop-leaked: audited in neither run: {', '.join(found.unaudited)}", 2)
    yield from wrap(summary(found), WIDTH)


def summary(found: Comparison) -> str:
    """The answer in a sentence or two."""
    counts = Counter(case.verdict for case in found.cases)
    decided = [case for case in found.cases if case.verdict in ("better", "worse")]
    said = (
        f"Of {count(len(found.cases), 'case')} B is better in {counts['better']}, worse in {counts['worse']}, equivalent in "
        f"{counts['equivalent']}; {counts['inconclusive']} inconclusive (margin {found.margin:g})."
    )
    held = sum(case.p_adjusted is not None and case.p_adjusted < 0.05 for case in decided)
    return f"{said} After Holm's correction {held} of {len(decided)} better or worse left." if decided else said


def document(found: Comparison, a: tuple[Path, Run], b: tuple[Path, Run]) -> dict[str, Any]:
    """The same as data, in JSON's own types."""
    runs = {
        side: {"folder": folder, "started": run.started, "suite": run.suite}
        for side, (folder, run) in zip("ab", (a, b), strict=True)
    }
    rows = [
        {
            "a": [ids[0] for ids in case.ids],
            "b": [ids[1] for ids in case.ids],
            "task": case.task,
            "metric": case.metric,
            "n": case.n,
            "value_a": case.values[0],
            "value_b": case.values[1],
            "failed_a": case.failed[0],
            "failed_b": case.failed[1],
            "difference": asdict(case.difference),
            "p_adjusted": case.p_adjusted,
            "verdict": case.verdict,
            "identical": case.identical,
        }
        for case in found.cases
    ]
    rest = {name: getattr(found, name) for name in ("only_a", "only_b", "left_out", "unaudited")}
    content: dict[str, Any] = plain({**runs, "margin": found.margin, "cases": rows, **rest, "summary": summary(found)})
    return content


def _case(case: Compared) -> Iterator[str]:
    seeds = f", {len(case.ids)} seeds" if len(case.ids) > 1 else ""
    failed = f", failed {case.failed[0]:,} and {case.failed[1]:,}" if any(case.failed) else ""
    same = ", identical predictions" if case.identical else ""
    yield from _wrapped(f"{called(case.ids[0])}  {case.metric}, n={case.n:,}{seeds}{failed}{same}", 2)
    gap = case.difference
    interval = f"{signed(gap.value)} [{signed(gap.low)}, {signed(gap.high)}]" if gap.low is not None else signed(gap.value)
    ours, theirs = map(number, case.values)
    yield f"{ours:>7}{theirs:>8}   {interval:<25}{p_value(case.p_adjusted):>8}   {case.verdict}"
    if gap.reason:
        yield from _wrapped(f"  undefined: {gap.reason}", 4)


def _told(title: str, texts: Iterable[tuple[str, str]]) -> Iterator[str]:
    for text, more in texts:
        yield from _wrapped(f"{title}: {text} ({more})", 2)


def _wrapped(text: str, indent: int) -> list[str]:
    return wrap(visible(text), WIDTH, subsequent_indent=" " * indent, break_on_hyphens=False)
