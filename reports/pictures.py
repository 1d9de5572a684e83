"""The images of test samples, as their tasks' loaders find them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from medrival.catalog import imported
from medrival.contracts import Sample, Task
from medrival.errors import BrokenData, MedrivalError

if TYPE_CHECKING:
    from PIL import Image as PIL

    from medrival.cards import TaskCard


class Pictures:
    """Opens the image of a test sample; each task is loaded once, when the first of its images is asked for.

    Args:
        cards: the tasks by name.
        assets: folder with data sets.
        scratch: folder of the store for what loaders unpack.
        fingerprints: of the data that a run was made on, by task; no image of other data is shown for it.
    """

    def __init__(
        self, cards: Mapping[str, TaskCard], assets: Path | None, scratch: Path, fingerprints: Mapping[str, str] | None = None
    ) -> None:
        self._cards = cards
        self._fingerprints = fingerprints or {}
        self._assets = assets
        self._scratch = scratch
        self._known: dict[str, Mapping[str, Sample] | MedrivalError] = {}

    def __call__(self, task: str, sample: str) -> PIL.Image | None:
        """The decoded image; None where no task of that name is known, or it has no such test sample.

        Raises:
            MedrivalError: the task's data is missing or broken, or the image cannot be read.
        """
        if task not in self._known:
            self._known[task] = self._loaded(task)
        samples = self._known[task]
        if isinstance(samples, MedrivalError):
            raise samples
        found = samples.get(sample)
        return found.image.open() if found else None

    def _loaded(self, task: str) -> Mapping[str, Sample] | MedrivalError:
        """The test samples by id, or why there are none: data that is missing is not looked for again with each image."""
        card = self._cards.get(task)
        if card is None:
            return {}
        try:
            loaded: Task = imported(card.loader)(card, self._assets, self._scratch)
        except MedrivalError as error:
            return error
        except Exception as error:  # a third party's loader may fail in any way, and no picture is worth the page
            return BrokenData(f"the data of {task} cannot be loaded ({type(error).__name__}: {error})")
        if loaded.fingerprint != self._fingerprints.get(task, loaded.fingerprint):
            return BrokenData(f"the data of {task} on this machine is not that of the run: its fingerprint is another")
        return {sample.id: sample for sample in loaded.test}
