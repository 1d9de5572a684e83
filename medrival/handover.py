"""Adapters that --keep-adapters asks for: kept in the store beside their outcome, and handed over to the report's folder."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from medrival.case import Case, Outcome
from medrival.errors import MedrivalWarning, ReportNotWritten, first_line
from medrival.store import Store


@dataclass(frozen=True)
class Handover:
    """What a run does with what was trained.

    Attributes:
        folder: where the user wants it; None where nothing is to be kept.
        told: the functions of which it was said that they leave nothing.
    """

    folder: Path | None
    store: Store
    told: set[str] = field(default_factory=set)

    def keep(self, key: str, save: Callable[[Path], object]) -> None:
        """In the store, whole or not at all: what a killed run left is no adapter."""
        kept = self.store.adapters(key)
        unfinished = kept.with_name(f"{key}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        save(unfinished)
        shutil.rmtree(kept, ignore_errors=True)
        unfinished.rename(kept)

    def lacking(self, outcome: Outcome) -> bool:
        """Whether adapters are wanted that there could be, and were not kept."""
        return (
            self.folder is not None and outcome.notes.get("adapter") == "peft" and not self.store.adapters(outcome.key).is_dir()
        )

    def hand_over(self, case: Case, outcome: Outcome) -> None:
        """What the store has of the case; where it has none to give, that is said once for each function that adapts models.

        Raises:
            ReportNotWritten: the folder cannot be written.
        """
        kept = self.store.adapters(outcome.key)
        if not self.folder:
            return
        if kept.is_dir():
            with self.store.lock(outcome.key):  # another run may be keeping its own in this place
                self._copy(kept, self.folder / case.id)
        elif case.regime.adapts and outcome.notes.get("adapter") != "peft" and case.runner not in self.told:
            self.told.add(case.runner)
            why = f"{case.regime.name} trains no adapters that peft could load on this model"
            others = "other cases of this run may be like it"
            warnings.warn(f"--keep-adapters: {case.id} leaves nothing: {why}; {others}", MedrivalWarning, stacklevel=2)

    def _copy(self, kept: Path, target: Path) -> None:
        try:
            shutil.copytree(kept, target, dirs_exist_ok=True)
        except OSError as error:
            raise ReportNotWritten(
                f"the adapters of {target.name} cannot be written to {target} ({first_line(error)}). Outcomes that the store "
                f"holds are not lost, nor are these, which lie in {kept}: run again with --report-dir and a folder that can be "
                "written"
            ) from error
