"""A case (what is asked), its outcome (what was measured) and a pair (two outcomes that are compared)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from medrival.catalog import Domain, ModelCard, RegimeCard, TaskCard, domain
from medrival.contracts import Prediction
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
        seconds: adapting and predicting, without loading the model.
        peak_memory_bytes: the GPU's where one was used, else the process's since it started.
        samples_per_second: of prediction; None where it came from stored features and says nothing about the model.
    """

    seconds: float
    train_seconds: float
    trainable_parameters: int
    total_parameters: int
    peak_memory_bytes: int
    samples_per_second: float | None


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

    A regime that adapts nothing has no seed: it appears once.
    """
    return [
        Case(model, task, regime, seed)
        for model in models
        for task in tasks
        for regime in regimes
        if regime.runner(task, model)
        for seed in (seeds if regime.adapts else (0,))
    ]


def pairs(selected: Sequence[Case]) -> list[Pair]:
    """The comparisons of paper A's three questions that the selected cases allow."""
    by_key = {(c.model.name, c.task.name, c.regime.name, c.seed): c for c in selected}
    found = []
    for general in selected:
        if general.model.kind != "general" or not general.model.partner:
            continue
        for regime in {general.regime.name: None, **{c.regime.name: None for c in selected if not c.regime.adapts}}:
            seed = general.seed if regime == general.regime.name else 0
            medical = by_key.get((general.model.partner, general.task.name, regime, seed))
            question = medical and _question(general, medical)
            if medical and question:
                found.append(Pair(general, medical, question))
    return found


def _question(general: Case, medical: Case) -> Question | None:
    adapted = (general.regime.adapts, medical.regime.adapts)
    questions: dict[tuple[str, tuple[bool, bool]], Question] = {
        ("in", (False, False)): 1,
        ("in", (True, False)): 2,
        ("ood", (True, True)): 3,
    }
    return questions.get((medical.domain, adapted))
