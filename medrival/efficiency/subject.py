"""What races: a model on a task, with a lab of its own."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from functools import cached_property

from PIL import Image as PIL

from medrival.case import Case
from medrival.contracts import Sample, Task
from medrival.decoded import Decoded
from medrival.evaluate import Lab, Model

MEASURED = ("outcomes", "features", "training", "adapters")


@dataclass(frozen=True)
class Subject:
    """A model on a task.

    Attributes:
        cases: all cases of the two that the run has; at least one.
        lab: on a store that nothing else uses.
    """

    cases: tuple[Case, ...]
    lab: Lab

    @property
    def name(self) -> str:
        """Such as "pocket-clip on phantom-chest"."""
        return f"{self.cases[0].model.name} on {self.cases[0].task.name}"

    @property
    def model(self) -> Model:
        """The loaded model."""
        return self.lab.model(self.cases[0].model)

    @property
    def task(self) -> Task:
        """The loaded task."""
        return self.lab.task(self.cases[0].task)

    @cached_property
    def samples(self) -> list[Sample]:
        """Every sample of it whose images can be read."""
        return Decoded().readable([*self.task.train, *self.task.validation, *self.task.test])

    @cached_property
    def images(self) -> list[PIL.Image]:
        """The first image of each of them, decoded."""
        return [sample.image.open() for sample in self.samples]

    @property
    def batch_size(self) -> int:
        """Of prediction."""
        return self.lab.settings.batch_size

    def forget(self) -> None:
        """Delete what the lab has measured."""
        for part in MEASURED:
            shutil.rmtree(self.lab.store.folder / part, ignore_errors=True)
