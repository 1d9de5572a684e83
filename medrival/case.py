"""A case (what is asked), its outcome (what was measured) and a pair (two outcomes that are compared)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medrival.catalog import Domain, ModelCard, RegimeCard, TaskCard, domain, partners
from medrival.contracts import Prediction
from medrival.errors import BrokenCatalog
from medrival.statistics import Difference, Estimate, Verdict

Question = Literal[1, 2, 3]


@dataclass(frozen=True)
class Case:
    """Model x task x regime x seed: one pytest case."""

    model: ModelCard
    task: TaskCard
    regime: RegimeCard
    seed: int = 0

    @property
    def id(self) -> str:
        """Such as `pocket-clip-phantom-chest-lora`."""
        return f"{self.model.name}-{self.asked}"

    @property
    def asked(self) -> str:
        """What is asked of the model: `phantom-chest-lora`, with `-seed1` behind it for a seed other than 0."""
        return f"{self.task.name}-{self.regime.name}" + (f"-seed{self.seed}" if self.seed else "")

    @property
    def runner(self) -> str:
        """The "module:function" that adapts the model.

        Raises:
            BrokenCatalog: the regime makes no sense for this model and task; `cases` plans no such case.
        """
        place = self.regime.runner(self.task, self.model)
        if place is None:
            raise BrokenCatalog(f"{self.regime.name} adapts no {self.model.type} to a {self.task.kind} task")
        return place

    @property
    def domain(self) -> Domain:
        """Whether the model's pretraining saw the task's modality."""
        return domain(self.model, self.task)


@dataclass(frozen=True)
class Pair:
    """A general and a medical model on one task: one comparison, over all seeds of either.

    `question` is paper A's: 1 both off the shelf, in-domain; 2 general adapted against medical off the shelf, in-domain;
    3 both adapted, out of domain. Domain is the medical model's; where it is unknown, both have the same regime and the pair
    has a verdict, but belongs to no question.

    Attributes:
        general: the general model's cases, one a seed; `medical` the medical model's.
    """

    general: tuple[Case, ...]
    medical: tuple[Case, ...]
    question: Question | None

    @property
    def id(self) -> str:
        """Such as `pocket-clip~pocket-medclip-phantom-chest-lora`; the regime is the general model's."""
        one = self.general[0]
        return f"{one.model.name}~{self.medical[0].model.name}-{one.task.name}-{one.regime.name}"

    @property
    def task(self) -> TaskCard:
        """What both are tested on."""
        return self.general[0].task

    @property
    def domain(self) -> Domain:
        """Whether the medical model's pretraining saw the task's modality."""
        return self.medical[0].domain


@dataclass(frozen=True)
class Cost:
    """What a case cost.

    Attributes:
        seconds: adapting and predicting, without loading the model; stored features count with what they once took.
        train_seconds: the part of it that a regime needed to adapt.
        total_parameters: the model's; None where that is unknown.
        peak_memory_bytes: during the case, the GPU's where one was used, else the process's; None where that is unknown.
        samples_per_second: of prediction.
        steps: of the optimiser, over all that was tried; `samples_seen` the training samples of these steps.
    """

    seconds: float
    train_seconds: float
    trainable_parameters: int
    total_parameters: int | None
    peak_memory_bytes: int | None
    samples_per_second: float
    steps: int = 0
    samples_seen: int = 0


@dataclass(frozen=True)
class Subgroups:
    """The primary metric in each group of one attribute, such as sex.

    Attributes:
        groups: by the attribute's value.
        gap: the largest difference between two groups in which it is defined.
    """

    metric: str
    groups: Mapping[str, Estimate]
    gap: Estimate


@dataclass(frozen=True)
class Outcome:
    """What a case measured.

    Attributes:
        key: sha256 over everything that can change it.
        metrics: by name, each with its 95% interval.
        predictions: one a test sample, in test order.
        validation: one a validation sample (diagnosis), from which thresholds are chosen.
        per_class: AUROC and average precision of each class against the rest (diagnosis).
        subgroups: the primary metric by attribute, such as sex, and group.
        notes: the task's notes, what was chosen on validation, which samples of which split failed.
    """

    key: str
    classes: tuple[str, ...]
    metrics: Mapping[str, Estimate]
    predictions: tuple[Prediction, ...]
    cost: Cost
    notes: Mapping[str, Any] = field(default_factory=dict)
    validation: tuple[Prediction, ...] = ()
    per_class: Mapping[str, Mapping[str, Estimate]] = field(default_factory=dict)
    subgroups: Mapping[str, Subgroups] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What a pair measured: general minus medical on one metric, and the verdict against the margin."""

    metric: str
    difference: Difference
    verdict: Verdict
    margin: float


def planned(model: ModelCard, task: TaskCard, regime: RegimeCard, seed: int, budget: str = "") -> Case:
    """The case under the budget of the model's row, or under another; with seed 0 where chance plays no part.

    Raises:
        UnknownName: the regime has no such budget.
    """
    given = regime.given(budget or model.budget, model.type)
    return Case(model, task, given, seed if given.seeded else 0)


def cases(
    models: Iterable[ModelCard],
    tasks: Sequence[TaskCard],
    regimes: Sequence[RegimeCard],
    seeds: Sequence[int],
    budget: str = "",
) -> list[Case]:
    """Every combination that makes sense, sorted by model, task and regime so that each model is loaded once.

    A regime in which chance plays no part appears once, with seed 0. Each model has the budget of its row, or all have another.

    Raises:
        UnknownName: a regime has no such budget.
    """
    return [
        Case(model, task, given, seed)
        for model in models
        for task in tasks
        for regime in regimes
        if regime.runner(task, model)
        for given in [regime.given(budget or model.budget, model.type)]
        for seed in (seeds if given.seeded else (0,))
    ]


def pairs(selected: Sequence[Case]) -> list[Pair]:
    """The comparisons of paper A's three questions that the selected cases allow, and those of unknown domain.

    An adapted general model meets the medical one off the shelf (question 2) in the first such regime that is selected.
    """
    seeds: dict[tuple[str, str, str], list[Case]] = defaultdict(list)
    for case in selected:
        seeds[case.model.name, case.task.name, case.regime.name].append(case)
    off_the_shelf = next((case.regime.name for case in selected if not case.regime.adapts), "")
    rivals = {case.model.name: case.model for case in selected if case.model.kind == "medical"}
    found = []
    for (_, task, regime), general in seeds.items():
        model = general[0].model
        for rival in (name for name, other in rivals.items() if model.kind == "general" and partners(model, other)):
            for theirs in sorted({regime, off_the_shelf}):
                medical = seeds.get((rival, task, theirs))
                question = _question(general[0], medical[0]) if medical else None
                if medical and (question or (medical[0].domain == "unknown" and regime == theirs)):
                    found.append(Pair(tuple(general), tuple(medical), question))
    return found


def _question(general: Case, medical: Case) -> Question | None:
    if medical.domain == "ood":
        return 3 if general.regime.adapts and medical.regime.adapts else None
    if medical.domain == "unknown" or medical.regime.adapts:
        return None
    if general.regime.adapts:
        return 2
    return 1 if general.regime == medical.regime else None
