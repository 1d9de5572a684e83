"""The gates of a run: which cases, pairs and tasks each is about, what it says of them, and what became of the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path

from medrival.backends import run_by
from medrival.case import Case, Comparison, Outcome, planned
from medrival.catalog import Catalog, imported, unknown
from medrival.errors import BrokenGates, MedrivalError
from medrival.gates.baseline import Baseline
from medrival.gates.judgement import Finding, Judgement, failed
from medrival.gates.reading import Gate, read
from medrival.gates.rules import Evidence, MaxLeakage, MetricBound, NoRegression, NotWorseThan, Required, VerdictIn
from medrival.integrity import Audit
from medrival.plan import Plan

NO_GROUND = "medvlmbench_"
"""Metrics that decide no gate: paper A's own, which count some wrong answers as right."""

NOT_ALONE = "judge_"
"""Metrics that no gate may rest on alone: another model's opinion."""

SCORED = ("judge_", "bertscore")
"""Metrics that an option of the run adds to answers; they have intervals, but no paired differences."""

Fate = tuple[str, str]
"""What became of a case, pair or task: measured, failed or skipped, and why."""

Measured = Outcome | Comparison | Audit

NOT_SELECTED: Fate = ("missing", "it was not selected")


@dataclass(frozen=True)
class Gates:
    """The gates of a run.

    Attributes:
        rivals: by gate name and case id, the case that a `not-worse-than` compares with.
        limit: of `--limit`; under one nothing passes.
    """

    gates: tuple[Gate, ...]
    plan: Plan
    rivals: Mapping[tuple[str, str], Case]
    baseline: Baseline | None = None
    limit: int | None = None

    @classmethod
    def of(cls, paths: Iterable[Path], plan: Plan, rows: Catalog, baseline: Baseline | None, limit: int | None) -> Gates:
        """Read the gate files of a run, all of which hold.

        Raises:
            BrokenGates: for what cannot be judged: an unknown metric, a rival that there is not, a judge's word alone.
        """
        gates = read(*paths)
        chosen = {gate.name: [plan.cases[one] for one in subjects(gate, plan) if one in plan.cases] for gate in gates}
        for gate in gates:
            _check_metric(gate, chosen[gate.name])
        _check_company(gates, chosen)
        rivals = {
            (gate.name, case.id): _rival(gate.where, case, gate.rule, rows, plan)
            for gate in gates
            if isinstance(gate.rule, NotWorseThan)
            for case in chosen[gate.name]
        }
        return cls(gates, plan, rivals, baseline, limit)

    @property
    def idle(self) -> list[str]:
        """The gates of which a glob matches nothing in this run, and which will fail for it."""
        return [gate.name for gate in self.gates if self._lost_globs(gate)]

    @cached_property
    def waiting(self) -> frozenset[str]:
        """The cases that are judged beside a rival and better run after it: then each model is loaded once."""
        return frozenset(case for _, case in self.rivals)

    @property
    def asked_of_baseline(self) -> list[tuple[str, str]]:
        """The cases whose baseline is asked for, each with the metric that is; "" is the primary one."""
        asked = ((gate.rule.metric, gate) for gate in self.gates if isinstance(gate.rule, NoRegression))
        return sorted({(case, metric) for metric, gate in asked for case in subjects(gate, self.plan)})

    def check_baseline(self) -> None:
        """Read and measure again all of the baseline that a gate will ask for.

        Raises:
            BrokenBaseline: for the first case of which a file is missing or damaged.
        """
        if self.baseline is None:
            return
        for case, metric in self.asked_of_baseline:
            if self.baseline.cases.get(case, {}).get("status") == "measured":
                self.baseline.verified(case, self.plan.cases[case].task.kind, metric)

    def judge(self, subject: str, measured: Measured, evaluate: Callable[[Case], Outcome]) -> tuple[Judgement, ...]:
        """What every gate that is about a case, pair or task says of what it measured."""
        evidence = Evidence(self.rivals, self.baseline, evaluate)
        kind = "cases" if isinstance(measured, Outcome) else "tasks" if isinstance(measured, Audit) else "pairs"
        chosen = (gate for gate in self.gates if gate.about == kind and _matches(subject, gate.globs))
        return tuple(self._judgement(gate, subject, self._finding(gate, subject, measured, evidence)) for gate in chosen)

    def settle(self, judged: Iterable[Judgement], fates: Mapping[str, Fate]) -> tuple[Judgement, ...]:
        """All judgements of a run, in the order of gates and cases, once it is over.

        A gate counts only where its case was measured; a case that failed, was skipped or was not reached fails it.
        """
        known = {(one.name, one.subject): one for one in judged}
        return tuple(one for gate in self.gates for one in self._settled(gate, known, fates))

    def _settled(
        self, gate: Gate, known: Mapping[tuple[str, str], Judgement], fates: Mapping[str, Fate]
    ) -> Iterator[Judgement]:
        if gate.about == "required":
            yield self._judgement(gate, "", self._all_there(gate, fates))
            return
        if lost := self._lost_globs(gate):
            globs = " or ".join(map(repr, lost))
            yield self._judgement(gate, "", failed(f"none of the {gate.about} of this run matches {globs}"))
        for subject in subjects(gate, self.plan):
            state, why = fates.get(subject, NOT_SELECTED)
            judgement = known.get((gate.name, subject))
            if state != "measured":
                yield self._judgement(gate, subject, failed(f"it was not measured ({state}): {why}"))
            elif judgement is None:
                yield self._judgement(gate, subject, failed("it was measured, but no test held it to its gates"))
            else:
                yield judgement

    def _all_there(self, gate: Gate, fates: Mapping[str, Fate]) -> Finding:
        """What a `required` gate says: counts, and the first of what is missing."""
        wanted = {subject: fates.get(subject, NOT_SELECTED) for subject in subjects(gate, self.plan)}
        there = sum(state == "measured" for state, _ in wanted.values())
        absent = [f"{glob} (matches nothing in this run)" for glob in self._lost_globs(gate)]
        absent += [f"{subject} ({state}: {why})" for subject, (state, why) in wanted.items() if state != "measured"]
        figures = f"{there:,} of {there + len(absent):,} required cases and pairs were measured"
        if self.limit and there:
            return failed(f"{figures}, on at most {self.limit:,} samples of each split: a --limit run never passes")
        if not absent:
            return Finding("passed", figures, there, there)
        rest = f" and {len(absent) - 5:,} more" if len(absent) > 5 else ""
        return Finding("failed", f"{figures}; missing: {'; '.join(absent[:5])}{rest}", there, there + len(absent))

    def _lost_globs(self, gate: Gate) -> list[str]:
        """Those that match nothing in this run: a typing error, or a case that is not run any more."""
        ids = _ids(gate, self.plan)
        return [glob for glob in gate.globs if not any(_matches(one, [glob]) for one in ids)]

    def _finding(self, gate: Gate, subject: str, measured: Measured, evidence: Evidence) -> Finding:
        if self.limit:
            return failed(f"it was measured on at most {self.limit:,} samples of each split: a --limit run never passes")
        try:
            if isinstance(measured, Outcome):
                assert not isinstance(gate.rule, VerdictIn | MaxLeakage | Required)
                return gate.rule.judge(gate.name, self.plan.cases[subject], measured, evidence)
            if isinstance(measured, Audit):
                assert isinstance(gate.rule, MaxLeakage)
                return gate.rule.judge(measured)
            assert isinstance(gate.rule, VerdictIn)
            return gate.rule.judge(measured)
        except MedrivalError as error:  # a rival that cannot be measured, a baseline that was deleted
            return failed(f"it cannot be judged: {error}")

    def _judgement(self, gate: Gate, subject: str, finding: Finding) -> Judgement:
        return Judgement(
            name=gate.name,
            case=subject if gate.about == "cases" else None,
            pair=subject if gate.about == "pairs" else None,
            status=finding.status,
            holds=finding.status == "passed" or (gate.lenient and finding.status == "inconclusive"),
            measured=_number(finding.measured),
            required=_number(finding.required),
            explanation=finding.explanation,
            task=subject if gate.about == "tasks" else None,
        )


def _number(value: float | None) -> float | None:
    """Python's own: xdist carries no numpy scalar."""
    return None if value is None else float(value)


def subjects(gate: Gate, plan: Plan) -> list[str]:
    """The ids of the cases, pairs or tasks that a gate is about, in the order they run in."""
    return [one for one in _ids(gate, plan) if _matches(one, gate.globs)]


def _ids(gate: Gate, plan: Plan) -> list[str]:
    required = [*plan.cases, *plan.pairs]
    return {"cases": [*plan.cases], "pairs": [*plan.pairs], "tasks": [*plan.tasks], "required": required}[gate.about]


def _matches(subject: str, globs: Iterable[str]) -> bool:
    return any(fnmatchcase(subject, glob) for glob in globs)


def _check_metric(gate: Gate, cases: Iterable[Case]) -> None:
    """A metric that a case cannot have would fail the gate only after hours."""
    from medrival.tasks.metrics import METRICS

    metric = getattr(gate.rule, "metric", "")
    if metric.startswith(NO_GROUND):
        raise BrokenGates(
            f"{gate.where}: {metric} decides no gate, for it counts some wrong answers as right (docs/answers.md); "
            "name another metric, such as closed_accuracy"
        )
    for case in cases if metric else ():
        known = METRICS[case.task.kind]
        if metric not in known:
            imported(case.task.data)  # a third party's metrics are defined beside its loader
        later = case.task.kind == "vqa" and metric.startswith(SCORED) and isinstance(gate.rule, MetricBound)
        if metric not in known and not later:
            near = get_close_matches(metric, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise BrokenGates(
                f"{gate.where}: {case.id} has no metric {metric!r} to go by.{hint} A {case.task.kind} case has "
                f"{', '.join(known)}; narrow `cases` where it is another kind's"
            )
        if isinstance(gate.rule, NotWorseThan | NoRegression) and metric in known and known[metric].interval:
            raise BrokenGates(
                f"{gate.where}: chance adds to {metric}, and more where the model is better, so that a model worse by the "
                "margin may pass; bound it with at-most, or use brier_score"
            )


def _check_company(gates: Sequence[Gate], chosen: Mapping[str, Sequence[Case]]) -> None:
    """No release rests on a judge alone."""
    rested = [(gate, metric) for gate in gates if (metric := getattr(gate.rule, "metric", "")).startswith(NOT_ALONE)]
    accompanied = {case.id for gate in gates for case in chosen[gate.name] if _vouches(gate, case)}
    for gate, metric in rested:
        if alone := [case.id for case in chosen[gate.name] if case.id not in accompanied]:
            raise BrokenGates(
                f"{gate.where} would rest on {metric} alone for {alone[0]}; "
                "add a gate for the same cases on another metric of quality, one that what is inconclusive fails and that a "
                "model can fail"
            )


def _vouches(gate: Gate, case: Case) -> bool:
    """Whether a gate on a case can stand beside a judge's: a strict one, on the quality of answers, that a model can fail."""
    from medrival.tasks.metrics import METRICS

    rule = gate.rule
    if gate.lenient or not isinstance(rule, MetricBound | NotWorseThan | NoRegression):
        return False
    if rule.metric.startswith((*SCORED, "unparseable_rate")):
        return False
    if not isinstance(rule, MetricBound):
        return rule.margin.width < 1
    known = METRICS[case.task.kind].get(rule.metric)
    if known and known.lower_is_better:
        return rule.side == "most" and rule.bound < 1
    return rule.side == "least" and rule.bound > 0


def _rival(where: str, case: Case, rule: NotWorseThan, rows: Catalog, plan: Plan) -> Case:
    """The case that another one must not be worse than: the same task and seed, run by the same backend."""
    for axis, name in (("models", rule.model), ("regimes", rule.regime or case.regime.name)):
        if name not in rows.axes[axis]:
            raise BrokenGates(f"{where}: {unknown(axis, name, rows.axes[axis])}")
    (model,) = run_by(plan.backend, rows, [rows.models[rule.model]], [], named=[rule.model]).models
    regime = rows.regimes[rule.regime or case.regime.name]
    if regime.runner(case.task, model) is None:
        raise BrokenGates(f"{where}: {regime.name} adapts no {model.type} such as {model.name} to {case.task.name}")
    rival = planned(model, case.task, regime, case.seed, plan.budget)
    if rival.id == case.id:
        raise BrokenGates(f"{where}: it would compare {case.id} with itself; narrow `cases`")
    return rival
