"""Which cases and pairs a run holds, in which order, under which marks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.util import find_spec
from typing import TypeVar

import pytest

from medrival.backends import run_by
from medrival.cards import RegimeCard, TaskCard
from medrival.case import Case, Pair, cases, pairs
from medrival.catalog import Catalog, SuiteCard
from medrival.errors import BrokenCatalog, UnknownName

MARKS = {"in": "in_domain", "ood": "ood", "unknown": "domain_unknown"}


def identity(nodeid: str) -> str:
    """The id in the brackets of a test's name, or ""."""
    return nodeid.partition("[")[2].removesuffix("]")


def ours(item: pytest.Item) -> bool:
    """Whether a test is a case, a pair or an audit: parametrised by medrival, not merely named like one."""
    asked = set(getattr(item, "fixturenames", ()))
    return bool(asked & {"outcome", "audit"}) or {"general", "medical"} <= asked


@dataclass(frozen=True)
class Selection:
    """What the user asked for; None leaves an axis to the suite.

    Attributes:
        budget: name of the one that all models are given; "" for that of their rows.
        joining: models that are in whatever the suite or `models` names: candidates and their rival.
        backend: what has the generators answer; "" for transformers.
    """

    suite: str
    models: tuple[str, ...] | None = None
    tasks: tuple[str, ...] | None = None
    regimes: tuple[str, ...] | None = None
    seeds: tuple[int, ...] = (0,)
    budget: str = ""
    joining: tuple[str, ...] = ()
    backend: str = ""


@dataclass(frozen=True)
class Plan:
    """The cases and pairs of a run, by id, in the order they run in.

    Attributes:
        budget: the one that all models were given; "" for that of their rows.
        backend: what has the generators answer; "" for transformers.
        refused: which regimes were asked for on a task that nothing may be trained on, without a package that they need, or
            under a budget that only others have; what the backend does not run.
    """

    suite: SuiteCard
    cases: Mapping[str, Case]
    pairs: Mapping[str, Pair]
    budget: str = ""
    refused: tuple[str, ...] = ()
    backend: str = ""

    @classmethod
    def of(cls, catalog: Catalog, selection: Selection) -> Plan:
        """Plan the selected cases.

        Raises:
            UnknownName: a name that no catalog has, with the nearest; a budget that no regime has; or nothing is left to plan.
            MedrivalError: the backend does not run a candidate or its rival.
        """
        suite = catalog.suite(selection.suite)
        tasks = catalog.select("tasks", suite.tasks if selection.tasks is None else selection.tasks)
        asked = catalog.select("regimes", suite.regimes if selection.regimes is None else selection.regimes)
        budgets = {name for regime in catalog.regimes.values() for name in regime.budgets}
        if selection.budget and selection.budget not in budgets:
            raise UnknownName(f"no regime has a budget {selection.budget!r}; there are {', '.join(sorted(budgets))}")
        regimes = [regime for regime in asked if not _lacking(regime, selection.budget)]
        models = catalog.select(
            "models", (*(suite.models if selection.models is None else selection.models), *selection.joining)
        )
        run = run_by(selection.backend, catalog, models, regimes, selection.joining)
        selected = cases(run.models, tasks, regimes, selection.seeds, selection.budget)
        refused = (
            *run.refused,
            *_refused(tasks, regimes),
            *(why for regime in asked if (why := _lacking(regime, selection.budget))),
        )
        if not selected:
            axes = ("models", "tasks", "regimes")
            named = {axis: getattr(suite if getattr(selection, axis) is None else selection, axis) for axis in axes}
            chosen = "; ".join(f"{axis}: {', '.join(names) or 'none'}" for axis, names in named.items())
            why = f"no regime of it adapts a model of it to a task of it ({'; '.join([chosen, *refused])})"
            raise UnknownName(f"the selection holds no case: {why}")
        return cls(suite, _by_id(selected), _by_id(pairs(selected)), selection.budget, refused, selection.backend)

    @cached_property
    def tasks(self) -> Mapping[str, TaskCard]:
        """The tasks of the cases, by name: each is audited once."""
        return {case.task.name: case.task for case in self.cases.values()}

    def rank(self, identity: str) -> int:
        """Where a test with this id comes: tasks, cases by model, then pairs; what is not ours stays ahead, as it was."""
        return self._ranks.get(identity, -1)

    def groups(self, workers: int, collected: Collection[str]) -> dict[str, str]:
        """Which tests one worker should run together: a model's; each case by itself where models are fewer than workers."""
        chosen = {identity: case for identity, case in self.cases.items() if identity in collected}
        by_case = len({case.model.name for case in chosen.values()}) < workers
        groups = {identity: identity if by_case else case.model.name for identity, case in chosen.items()}
        return groups | {
            identity: f"{pair.general[0].model.name}~{pair.medical[0].model.name}" for identity, pair in self.pairs.items()
        }

    def marks(self, *described: Case) -> list[str]:
        """Marks of a case, or of the cases of a pair: kind, domain of the first, regime, family."""
        first = described[0]
        names = [MARKS[first.domain], first.task.kind, *(case.model.kind for case in described)]
        names += [case.regime.name for case in described]
        return list(dict.fromkeys(name.replace("-", "_") for name in names))

    @cached_property
    def markers(self) -> list[str]:
        """Every mark that may occur."""
        marks = {mark for case in self.cases.values() for mark in self.marks(case)}
        return sorted(marks | {*MARKS.values(), "diagnosis", "vqa", "rivalry", "integrity", "efficiency", "general", "medical"})

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {identity: rank for rank, identity in enumerate([*self.tasks, *self.cases, *self.pairs])}


def _refused(tasks: Iterable[TaskCard], regimes: Iterable[RegimeCard]) -> tuple[str, ...]:
    adapting = ", ".join(regime.name for regime in regimes if regime.adapts)
    of_one_class = ", ".join(regime.name for regime in regimes if regime.diagnosis and not regime.findings)
    several = "an image of it may have several findings or none"
    trained = [f"{task.name} is not for {adapting}: {task.test_only}" for task in tasks if adapting and task.test_only]
    fitted = [f"{task.name} is not for {of_one_class}: {several}" for task in tasks if of_one_class and task.findings]
    return (*trained, *fitted)


def _lacking(regime: RegimeCard, budget: str) -> str:
    """What a regime needs that is not installed, and how to get it, or which budget it has not that all were given; else ""."""
    if regime.dtype == "4bit" and find_spec("bitsandbytes") is None:
        return f"{regime.name} needs the package bitsandbytes: python -m pip install bitsandbytes"
    return regime.lacks(budget) if budget else ""


Named = TypeVar("Named", Case, Pair)


def _by_id(named: Iterable[Named]) -> dict[str, Named]:
    """One entry an id; two that read the same would hide each other."""
    known: dict[str, Named] = {}
    for one in named:
        if one.id in known:
            raise BrokenCatalog(f"two cases have the id {one.id!r}; rename a model, task or regime")
        known[one.id] = one
    return known
