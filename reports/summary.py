"""The last lines of a run in the terminal: the answer, what was not measured and why, and where the report is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from statistics import fmean
from textwrap import shorten, wrap
from typing import Any

from medrival.reports import published
from medrival.reports.figures import count, duration, estimate, p_value, signed, visible
from medrival.reports.gates import gate_lines
from medrival.reports.integrity import audit_lines
from medrival.reports.questions import Answer, answers, families
from medrival.reports.record import AuditRecord, CaseRecord, PairRecord, Run

WIDTH = 80
SHOWN, SHOWN_OF_FIRST = 400, 900  # characters of a reason, and of the most frequent one of each status
UNPLANNED = 2  # sentences shown of what was not planned, each in two lines
REASONS = 6  # groups of reasons shown each for failed and skipped; the report has them all


def summary(run: Run, *, verbose: bool = False, alone: bool = False) -> list[str]:
    """The run in a few lines of at most 80 columns where names allow.

    Args:
        run: what was measured.
        verbose: add all metrics of each measured case, the primary one first, and each pair's verdict.
        alone: candidates were entered without a rival.
    """
    states = Counter(case.status for case in run.cases)
    lines = [
        f"medrival: {count(states['measured'], 'case')} measured, {states['failed']} failed, "
        f"{states['skipped']} skipped in {duration(run.seconds)}"
    ]
    if run.shard:
        lines += _shard(run)
    if run.shards:
        lines.append(f"  merged from {count(len(run.shards), 'shard')}; their times are added up")
    if audited := sum(audit.audit is not None for audit in run.audits):
        lines.append(f"  {count(audited, 'data set')} audited")
    if limit := max((case.notes.get("limit", 0) for case in run.cases), default=0):
        lines.append(f"  limited to {limit:,} samples of each split: a quick look, not a result")
    if verbose:
        lines += [line for case in run.cases if case.status == "measured" for line in _case(case)]
        lines += [line for pair in run.pairs if pair.status == "measured" for line in _pair(pair)]
    if run.cases and not (run.shard and all(pair.status != "measured" for pair in run.pairs)):
        lines += _rivalry(run.pairs, alone)
    told = {case.reason for case in run.cases}
    lines += _reasons("case", run.cases) + _reasons("pair", run.pairs)
    lines += _reasons("audit", [audit for audit in run.audits if audit.reason not in told])
    lines += _not_planned(run.not_planned) + audit_lines(run.audits, WIDTH)
    if lost := sum(len(case.failed) for case in run.cases):
        lines.append(f"  {count(lost, 'sample')} failed and counted as wrong; the report lists them")
    lines += _unscored(run.cases)
    if compared := published.line(run.published):
        lines.append(f"  {compared}")
    if run.baseline and run.baseline.comparison is None:
        why = shorten(f"not compared with the baseline: {visible(run.baseline.reason)}", SHOWN, placeholder=" ...")
        lines += wrap(f"  {why}", WIDTH, subsequent_indent="    ")
    lines += gate_lines(run.gates, WIDTH)
    return [*lines, f"report: {visible(str(run.report_dir / 'report.html'))}"]


def _shard(run: Run) -> list[str]:
    """What the run is a part of, and what makes the parts one."""
    about = run.shard or {}
    part = f"shard {about['part']} of {about['of']}" + ("" if run.cases or run.audits else " holds no case")
    text = f"  {part}: a merge of all shards compares models and judges gates: python -m medrival merge DIR..."
    return wrap(text, WIDTH, subsequent_indent="    ")


def _rivalry(pairs: tuple[PairRecord, ...], alone: bool) -> list[str]:
    said = answers(pairs)
    if alone and not pairs:
        return ["  No general and medical model were compared: give the candidate a --rival MODEL"]
    if pairs and not any(answer.measured for answer in said):  # each has its reason, told below
        return ["  No general and medical model were compared: no pair was measured"]
    if not pairs:
        return wrap(
            "  No general and medical model were compared: no pair was measured. A pair needs two partners on one task: "
            "in-domain (the medical model's `saw` has the modality) both off the shelf, or the general one adapted; "
            "out of domain both adapted.",
            WIDTH,
            subsequent_indent="    ",
        )
    lines = ["Does the general model rival the medical one? (general - medical: mean, range)"]
    known = families(pairs)
    by_family = [answers(pairs, family) for family in known] if len(known) > 1 else []
    for answer, *parts in zip(said, *by_family, strict=True):
        lines += _answer(answer, f"  {answer.label:<24}  ")
        for part in parts:
            if part.measured or part.missing:
                lines += _answer(part, f"    {shorten(visible(str(part.family)), 22, placeholder='...'):<22}  ")
    if wins := sum(answer.wins for answer in said):
        lines.append(f"  after Holm's correction {sum(answer.held for answer in said)} of {count(wins, 'win')} left")
    return lines


def _answer(answer: Answer, indent: str) -> list[str]:
    """One line, or two where the counts and the difference do not fit one; the difference stays in one piece."""
    text = answer.sentence.replace(" in ", "\xa0in\xa0")
    if answer.differences:
        mean, low, high = (signed(f(answer.differences), 2) for f in (fmean, min, max))
        spread = f" ({low} to {high})" if len(answer.differences) > 1 else ""
        text += f"; {mean}{spread}".replace(" ", "\xa0").replace("\xa0", " ", 1)
    return _wrapped(text, indent, " " * 28)


def _unscored(cases: Iterable[CaseRecord]) -> list[str]:
    """One line a scorer that could not score all it was asked about (see `Scores.notes`)."""
    found: dict[str, list[tuple[int, int]]] = {}
    for name, about in (note for record in cases for note in record.notes.items()):
        match about:
            case {"asked": int(asked), "failed": int(failed)} if failed:
                found.setdefault(name, []).append((asked, failed))
    lines = []
    for name, counts in found.items():
        asked, failed = (sum(column) for column in zip(*counts, strict=True))
        text = f"{failed:,} of {asked:,} answers could not be scored: its metrics have no value in {count(len(counts), 'case')}"
        lines += wrap(f"  {visible(name)}: {text}; the report says why", WIDTH, subsequent_indent="    ")
    return lines


def _case(case: CaseRecord) -> list[str]:
    """All its metrics, and what they are without leaked samples where that is known."""
    said = [f"  {visible(case.id)}  n={len(case.predictions):,}", *_metrics(case, case.metrics)]
    if case.unleaked:
        said += [f"    without leaked samples  n={case.unleaked['n']:,}", *_metrics(case, case.unleaked["metrics"])]
    return said


def _metrics(case: CaseRecord, metrics: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Name and value with its interval, one after another, the primary metric first; each stays in one piece."""
    names = sorted(metrics, key=lambda name: name != case.primary)
    said = ", ".join(f"{visible(name)} {estimate(metrics[name])}".replace(" ", "\xa0") for name in names)
    return _wrapped(said, "    ")


def _pair(pair: PairRecord) -> list[str]:
    """The verdict with what it rests on: the margin, the interval, and p after Holm's correction across the run's pairs."""
    span = f"{signed(pair.difference)} [{signed(pair.low)}, {signed(pair.high)}]"
    about = [f"{pair.metric} {span}", f"margin {pair.margin:g}", f"corrected p {p_value(pair.p_adjusted)}", f"n={pair.n:,}"]
    said = ", ".join(visible(part).replace(" ", "\xa0") for part in about)
    return [f"  {visible(pair.id)}  {pair.verdict}", *_wrapped(said, "    ")]


def _not_planned(sentences: Sequence[str]) -> list[str]:
    """What was selected and makes no sense."""
    lines = []
    for sentence in sentences[:UNPLANNED]:
        lines += _wrapped(shorten(f"not planned: {visible(sentence)}", 2 * WIDTH - 12, placeholder=" ..."), "  ", "    ")
    if (more := len(sentences) - UNPLANNED) > 0:
        lines.append(f"  not planned: {more} more; report.json has them, in run.not_planned")
    return lines


def _wrapped(text: str, indent: str, deeper: str | None = None) -> list[str]:
    """Lines of at most 80 columns, broken at none of the spaces that do not break."""
    lines = wrap(text, WIDTH, initial_indent=indent, subsequent_indent=deeper or indent, break_on_hyphens=False)
    return [line.replace("\xa0", " ") for line in lines]


def _reasons(noun: str, records: Iterable[CaseRecord | PairRecord | AuditRecord]) -> list[str]:
    """Why cases, pairs or audits were not measured, one entry a reason, the most frequent first."""
    reasons = Counter((record.status, record.reason) for record in records if record.status != "measured")
    lines, told = [], set()
    for (status, reason), n in reasons.most_common(REASONS):
        length = SHOWN if status in told else SHOWN_OF_FIRST  # advice stands at the end, and is alike
        told.add(status)
        text = shorten(visible(reason) or "no reason given", length, placeholder=" ...")
        lines += wrap(f"  {count(n, noun)} {status}: {text}", WIDTH, subsequent_indent="    ")
    hidden = sum(reasons.values()) - sum(n for _, n in reasons.most_common(REASONS))
    return lines + ([f"  {count(hidden, noun)} more not measured, for other reasons: see the report"] if hidden else [])
