"""What a training tells of itself: each learning rate that was tried, and the one that remains."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Trial:
    """How a training at one learning rate went.

    Attributes:
        validation_scores: by epoch; the first is 1.
        epoch: the one that was kept.
        failed: why none could be, or "".
    """

    learning_rate: float
    validation_scores: tuple[float, ...]
    epoch: int
    steps: int
    samples_seen: int
    failed: str = ""

    @property
    def score(self) -> float:
        """Of the epoch that was kept."""
        return -math.inf if self.failed else self.validation_scores[self.epoch - 1]


@dataclass(frozen=True)
class Trained:
    """How a training went at each learning rate that was tried, and after how many epochs it had to go on, 0 for none."""

    trials: tuple[Trial, ...]
    resumed_after: int = 0

    @property
    def best(self) -> Trial:
        """The one that remains: of equal ones the first."""
        return max(self.trials, key=lambda trial: trial.score)

    @property
    def validation_scores(self) -> tuple[float, ...]:
        """Of the best, by epoch."""
        return self.best.validation_scores

    @property
    def epoch(self) -> int:
        """That was kept of the best; the first is 1."""
        return self.best.epoch

    @property
    def steps(self) -> int:
        """Of the optimiser, over all that was tried."""
        return sum(trial.steps for trial in self.trials)

    @property
    def samples_seen(self) -> int:
        """Over all that was tried, as often as they were."""
        return sum(trial.samples_seen for trial in self.trials)

    @property
    def notes(self) -> dict[str, Any]:
        """For the record of the outcome."""
        notes = {"epoch": self.epoch, "validation_scores": list(self.validation_scores)}
        tried = [
            {"learning_rate": one.learning_rate, "validation_scores": list(one.validation_scores)}
            | ({"failed": one.failed} if one.failed else {})
            for one in self.trials
        ]
        searched = {"learning_rate": self.best.learning_rate, "learning_rates": tried} if len(tried) > 1 else {}
        return notes | searched | ({"resumed_after_epochs": self.resumed_after} if self.resumed_after else {})
