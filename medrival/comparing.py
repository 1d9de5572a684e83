"""Two runs compared sample by sample, on the cases that both measured."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Literal

from medrival.comparable import Sides, check, differ, unfit, unlike_cases, unmeasured, value
from medrival.errors import MedrivalError, UnknownName
from medrival.gates.margins import identical
from medrival.reports.figures import count
from medrival.reports.record import CaseRecord, Run
from medrival.rivalry import ASKED
from medrival.sense import hint
from medrival.statistics import Difference, holm, verdict

Verdict = Literal["better", "worse", "equivalent", "inconclusive"]
Ids = tuple[str, str]
"""Of a case in A and the one that it is compared with in B."""
Matched = tuple[CaseRecord, CaseRecord]


@dataclass(frozen=True)
class Compared:
    """What a case of B is beside one of A; over all seeds of training that were compared, where there are several.

    Attributes:
        ids: the cases, A's and B's, one pair a seed.
        n: how many samples the difference is computed from.
        values: of A and of B; the mean of their seeds.
        failed: how many predictions failed in A and in B; they count as wrong.
        difference: B minus A, in units of the metric.
        verdict: of B, by its interval against the margin; "better" minds whether more is better of this metric.
        identical: whether both said the same of every sample; then they are equivalent, whatever the interval, which allows
            for chance: there is none between a model and itself.
        p_adjusted: the p-value after Holm's correction across all cases of the comparison.
    """

    ids: tuple[Ids, ...]
    task: str
    metric: str
    n: int
    values: tuple[float | None, float | None]
    failed: tuple[int, int]
    difference: Difference
    verdict: Verdict
    identical: bool = False
    p_adjusted: float | None = None


@dataclass(frozen=True)
class Comparison:
    """Two runs beside each other.

    Attributes:
        only_a: cases that only A has; `only_b` those that only B has.
        left_out: cases of both that were not compared, each with the reason.
        unaudited: tasks of which it is not known what is leaked, where leaked samples were to be left out.
    """

    cases: tuple[Compared, ...]
    margin: float
    only_a: tuple[str, ...] = ()
    only_b: tuple[str, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)
    unaudited: tuple[str, ...] = ()


def compare_runs(
    a: Run,
    b: Run,
    *,
    metric: str = "",
    margin: float = 0.05,
    cases: Sequence[str] = (),
    drop_leaked: bool = False,
    sides: Sides = ("A", "B"),
    strict: bool = True,
) -> Comparison:
    """Compare what two runs measured; differences are B minus A.

    Args:
        a: one run.
        b: another, or the same.
        metric: "" for the primary one of each case.
        margin: differences smaller than this count as none.
        cases: which to compare, "ID" of both or "ID=ID" where they are called differently; a * on both sides stands for the
            same. None for all that are in both.
        drop_leaked: leave out the test samples that the audit of either run found to be leaked.
        sides: what the runs are called where something is said of one of them.
        strict: raise where cases are not of the same samples, limit or data, or a file is damaged; else they are left out.

    Raises:
        UnknownName: there is no such case or metric.
        MedrivalError: nothing can be compared, or see `strict`.
    """
    ours, theirs = ({case.id: case for case in run.cases} for run in (a, b))
    wanted = [ids for text in cases for ids in _meant(text, ours, theirs)]
    wanted = list(dict.fromkeys(wanted)) if cases else [(name, name) for name in {**ours, **theirs}]
    matched = [(ours[one], theirs[other]) for one, other in wanted if one in ours and other in theirs]
    known = list(dict.fromkeys(name for pair in matched for case in pair for name in case.metrics))
    if metric and known and metric not in known:
        raise UnknownName(f"unknown metric {metric!r}.{hint(metric, known)} There are {', '.join(known)}")
    why = {(one.id, other.id): unmeasured(one, other, metric, sides) for one, other in matched}
    if not strict:
        why = {(one.id, other.id): why[one.id, other.id] or unfit(one, other, metric, sides) for one, other in matched}
    groups = _over_seeds(pair for pair, reason in zip(matched, why.values(), strict=True) if not reason)
    if not groups:
        raise MedrivalError(_nothing(ours, theirs, [reason for reason in why.values() if reason], sides, strict))
    reasons = ((called((one.id, other.id)), unlike_cases(one, other, sides)) for group in groups for one, other in group)
    if apart := [f"{name}: {reason}" for name, reason in reasons if reason]:
        more = f"; and {count(len(apart) - 1, 'more case')} likewise" if len(apart) > 1 else ""
        raise MedrivalError(f"{apart[0]}{more}; run one of them anew, or choose others with --cases")
    leaked = _leaked(a, b) if drop_leaked else {}
    found = [_compared(group, metric, margin, frozenset[str]().union(*_audited(leaked, group[0])), sides) for group in groups]
    adjusted = holm([one.difference.p_value for one in found])
    return Comparison(
        tuple(replace(one, p_adjusted=p) for one, p in zip(found, adjusted, strict=True)),
        margin,
        tuple(one for one, other in wanted if one in ours and other not in theirs),
        tuple(other for one, other in wanted if one not in ours and other in theirs),
        {name: reason for ids, reason in why.items() for name in [called(ids)] if reason},
        tuple(dict.fromkeys(group[0][0].task for group in groups if drop_leaked and not _audited(leaked, group[0]))),
    )


def called(ids: Ids) -> str:
    """A case's name, or both of them where they differ, as --cases has it."""
    return ids[0] if ids[0] == ids[1] else "=".join(ids)


def _meant(text: str, ours: Mapping[str, CaseRecord], theirs: Mapping[str, CaseRecord]) -> list[Ids]:
    """The cases of A that "ID", "ID=ID" or a pattern means, each with that of B, which may not be there.

    Raises:
        UnknownName: A has no such case, or B none of those.
    """
    one, sign, other = text.partition("=")
    other = other if sign else one
    if one.count("*") > 1 or one.count("*") != other.count("*"):
        raise UnknownName(f"--cases {text!r}: it may have one * on each side, which stands for the same")
    head, star, tail = one.partition("*")
    like = [name for name in ours if name.startswith(head) and name.endswith(tail) and len(name) >= len(head) + len(tail)]
    found = [(name, other.replace("*", name[len(head) : len(name) - len(tail)])) for name in like] if star else [(one, other)]
    for side, known, names in (("A", ours, [ids[0] for ids in found]), ("B", theirs, [ids[1] for ids in found])):
        if not any(name in known for name in names):
            pattern = one if side == "A" else other
            raise UnknownName(f"--cases {text!r}: {side} has no case {pattern!r}.{hint(pattern, known)}")
    return found


def _nothing(
    ours: Mapping[str, CaseRecord], theirs: Mapping[str, CaseRecord], reasons: Sequence[str], sides: Sides, strict: bool
) -> str:
    if reasons:
        return f"of {count(len(reasons), 'case')} in both runs none can be compared: {reasons[0]}"
    held = [
        f"{side} has {f'such as {next(iter(known))!r}' if known else 'none'}"
        for side, known in zip(sides, (ours, theirs), strict=True)
    ]
    advice = "; name cases that are called differently with --cases ID=ID" if strict else ""
    return f"no case is in both runs: {'; '.join(held)}{advice}"


def _over_seeds(matched: Iterable[Matched]) -> list[list[Matched]]:
    """Cases that differ in the seed alone are one comparison."""
    groups: dict[tuple[str, ...], list[Matched]] = {}
    for one, other in matched:
        groups.setdefault(tuple(word for case in (one, other) for word in (case.model, case.task, case.regime)), []).append(
            (one, other)
        )
    return list(groups.values())


def _compared(group: Sequence[Matched], metric: str, margin: float, leaked: frozenset[str], names: Sides) -> Compared:
    """One comparison, over the seeds of a group.

    Raises:
        MedrivalError: predictions do not lead to the figures that their report gives.
    """
    from medrival.tasks import metrics

    first = group[0][0]
    kind = first.task_kind
    chosen = metric or metrics.primary(kind, first.predictions)
    for pair in group:
        for side, case in zip(names, pair, strict=True):
            check(case, chosen, side)
    sides = [[_without(leaked, case) for case in side] for side in zip(*group, strict=True)]
    said, tuned = ([[getattr(case, which) for case in side] for side in sides] for which in ("predictions", "validation"))
    ours, theirs = (tuple(value(case, chosen) for case in side) for side in sides)
    gap = metrics.compare(kind, chosen, said[1], said[0], first.classes, validation=(tuned[1], tuned[0]))
    cautions = [gap.caution, *(_asked(note, words, group[0], names) for note, words in ASKED.items())]
    alike = gap.value == 0 and all(identical(one, other) for one, other in zip(*said, strict=True))
    return Compared(
        tuple((one.id, other.id) for one, other in group),
        first.task,
        chosen,
        gap.n,
        (_mean(ours), _mean(theirs)),
        tuple(sum(len(case.failed) for case in side) for side in sides),  # type: ignore[arg-type]  # there are two sides
        replace(gap, caution="; ".join(filter(None, cautions))),
        "equivalent" if alike else _verdict(gap, margin, metrics.METRICS[kind][chosen].lower_is_better),
        alike,
    )


def _without(leaked: frozenset[str], case: CaseRecord) -> CaseRecord:
    return replace(case, predictions=tuple(said for said in case.predictions if said.id not in leaked)) if leaked else case


def _leaked(*runs: Run) -> dict[str, frozenset[str]]:
    """By audited task, the test samples that either run found to be leaked."""
    found: dict[str, frozenset[str]] = {}
    for record in (record for run in runs for record in run.audits):
        if record.audit:
            found[record.task] = found.get(record.task, frozenset()) | frozenset(record.audit.leakage.leaked)
    return found


def _audited(leaked: Mapping[str, frozenset[str]], pair: Matched) -> list[frozenset[str]]:
    """What is known to be leaked of a case's samples; the task that has them may be called otherwise in the other run."""
    return [leaked[name] for name in dict.fromkeys(case.task for case in pair) if name in leaked]


def _asked(note: str, words: str, pair: Matched, names: Sides) -> str:
    ours, theirs = (case.notes.get(note) for case in pair)
    return f"{names[0]} {words.format(ours)}, {names[1]} {words.format(theirs)}" if differ(ours, theirs) else ""


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return fmean(known) if len(known) == len(values) else None


def _verdict(gap: Difference, margin: float, lower_is_better: bool) -> Verdict:
    found = verdict(gap, margin)
    if found in ("equivalent", "inconclusive"):
        return found
    return "better" if (found == "general wins") != lower_is_better else "worse"
