"""A case (what is asked), its outcome (what was measured) and a pair (two outcomes that are compared)."""

from __future__ import annotations

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
    """A general and a medical case on one task: one comparison.

    `question` is paper A's: 1 both off the shelf, in-domain; 2 general adapted against medical off the shelf, in-domain;
    3 both adapted, out of domain. Domain is the medical model's.
    """

    general: Case
    medical: Case
    question: Question

    @property
    def id(self) -> str:
        """Such as `pocket-clip~pocket-medclip-phantom-chest-lora`; the regime is the general model's."""
        return f"{self.general.model.name}~{self.medical.model.name}-{self.general.asked}"


@dataclass(frozen=True)
class Cost:
    """What a case cost.

    Attributes:
        seconds: adapting and predicting, without loading the model; stored features count with what they once took.
        train_seconds: the part of it that a regime needed to adapt.
        peak_memory_bytes: during the case, the GPU's where one was used, else the process's; None where that is unknown.
        samples_per_second: of prediction.
    """

    seconds: float
    train_seconds: float
    trainable_parameters: int
    total_parameters: int
    peak_memory_bytes: int | None
    samples_per_second: float


@dataclass(frozen=True)
class Outcome:
    """What a case measured.

    Attributes:
        key: sha256 over everything that can change it.
        metrics: by name, each with its 95% interval.
        predictions: one a test sample, in test order.
        notes: the task's notes, what was chosen on validation, which samples of which split failed.
    """

    key: str
    classes: tuple[str, ...]
    metrics: Mapping[str, Estimate]
    predictions: tuple[Prediction, ...]
    cost: Cost
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Comparison:
    """What a pair measured: general minus medical on one metric, and the verdict against the margin."""

    metric: str
    difference: Difference
    verdict: Verdict
    margin: float


def cases(
    models: Iterable[ModelCard], tasks: Sequence[TaskCard], regimes: Sequence[RegimeCard], seeds: Sequence[int]
) -> list[Case]:
    """Every combination that makes sense, sorted by model, task and regime so that each model is loaded once.

    A regime in which chance plays no part appears once, with seed 0.
    """
    return [
        Case(model, task, regime.given(model.budget), seed)
        for model in models
        for task in tasks
        for regime in regimes
        if regime.runner(task, model)
        for seed in (seeds if regime.seeded else (0,))
    ]


def pairs(selected: Sequence[Case]) -> list[Pair]:
    """The comparisons of paper A's three questions that the selected cases allow.

    An adapted general model meets the medical one off the shelf (question 2) in the first such regime that is selected.
    """
    off_the_shelf = next((case.regime.name for case in selected if not case.regime.adapts), "")
    medical = {(c.model.name, c.task.name, c.regime.name, c.seed): c for c in selected if c.model.kind == "medical"}
    models = {case.model.name: case.model for case in medical.values()}
    found = []
    for general in (case for case in selected if case.model.kind == "general"):
        asked = {(general.regime.name, general.seed), (off_the_shelf, 0)}
        for rival in (name for name, model in models.items() if partners(general.model, model)):
            for regime, seed in sorted(asked):
                other = medical.get((rival, general.task.name, regime, seed))
                question = _question(general, other) if other else None
                if other and question:
                    found.append(Pair(general, other, question))
    return found


def _question(general: Case, medical: Case) -> Question | None:
    if medical.domain == "ood":
        return 3 if general.regime.adapts and medical.regime.adapts else None
    if medical.domain == "unknown" or medical.regime.adapts:
        return None
    if general.regime.adapts:
        return 2
    return 1 if general.regime == medical.regime else None
