"""What a regime is lent while it works on one case."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from medrival.cards import ModelCard
from medrival.case import Case
from medrival.contracts import Features, Form, Sample
from medrival.tasks.prompts import ask, reasoned
from medrival.weights import named

if TYPE_CHECKING:
    from medrival.evaluate import Lab

T = TypeVar("T")

MAX_NEW_TOKENS = 64
"""The answer length that both of a pair are given; what a row allows for thinking comes on top."""


def most_tokens(card: ModelCard) -> int:
    """How many tokens a model's answer and the thought before it may have."""
    return MAX_NEW_TOKENS + card.thinking


class Bench:
    """The `contracts.Workbench` of one case, and the clock of what working on it costs."""

    def __init__(self, lab: Lab, case: Case) -> None:
        self._lab = lab
        self._case = case
        self._started = time.perf_counter()
        self._paid: set[tuple[str, ...]] = set()
        self.seed = case.seed
        self.seeds = lab.settings.seeds
        self.device = lab.settings.device
        self.batch_size = lab.settings.batch_size
        self.max_new_tokens = most_tokens(case.model)

    @property
    def weights(self) -> str:
        """What an adapter says that it was trained on."""
        return named(self._case.model)

    @property
    def checkpoints(self) -> Path:
        """Where a training of this case may keep how far it is."""
        return self._lab.store.training(self._lab.key(self._case))

    def seconds(self) -> float:
        """Since the start, as if every stored feature had been computed now: a cost does not depend on what ran before."""
        return time.perf_counter() - self._started

    def once(self, name: str, work: Callable[[], T], cases: int = 1) -> T:
        """What `work` gives, done once for all cases of this model and task; its time counts as that of one of so many."""
        asked = time.perf_counter()
        result, seconds = self._lab.once((self._case.model.name, self._case.task.name, name), work)
        self._started += time.perf_counter() - asked - seconds / cases
        return result

    def ask(self, form: Form, question: str, options: Sequence[str] = ()) -> str:
        """The full prompt for a question, worded as the question tasks word theirs."""
        return ask(form, question, options)

    def reasoned(self, prompt: str) -> str:
        """The same prompt, asking to reason first."""
        return reasoned(prompt)

    def features(self, samples: Sequence[Sample]) -> Features:
        """Frozen image features of the case's model; what they took counts once, however often they are asked for."""
        asked = time.perf_counter()
        features = self._lab.features(self._case.model, samples)
        asked_for = tuple(sample.id for sample in samples)
        cost = 0.0 if asked_for in self._paid else features.seconds
        self._paid.add(asked_for)
        self._started += time.perf_counter() - asked - cost
        return features

    def progress(self, items: Iterable[T], label: str) -> Iterable[T]:
        """The same items, with a progress line where a person is watching."""
        return self._lab.progress(items, f"{self._case.id}: {label}")
