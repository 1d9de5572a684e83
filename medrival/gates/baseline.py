"""An earlier report.json and its predictions, against which a run is compared sample by sample."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from medrival.contracts import Prediction
from medrival.errors import BrokenBaseline

PREDICTIONS = re.compile(r"predictions/[A-Za-z0-9][A-Za-z0-9._-]*\.jsonl")  # as in report.schema.json


@dataclass(frozen=True)
class Baseline:
    """An earlier report.

    Attributes:
        path: of its report.json.
        started: when that run began, ISO 8601.
        cases: its rows of cases, by id.
    """

    path: Path
    started: str
    cases: Mapping[str, Mapping[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Baseline:
        """Read a report.json; the predictions beside it are read case by case.

        Raises:
            BrokenBaseline: there is no such file, or it is no report of medrival's.
        """
        try:
            report = json.loads(path.read_bytes())
            known = report["schema"] == "1"
            cases = {str(row["id"]): row for row in report["cases"]}
            started = str(report["run"]["started"])
        except OSError as error:
            raise BrokenBaseline(
                f"--baseline {path}: cannot be read ({error.strerror or error}); name the report.json of an earlier run, "
                "or write one with --update-baseline"
            ) from error
        except (ValueError, KeyError, TypeError) as error:
            raise BrokenBaseline(f"--baseline {path}: no report.json of medrival ({type(error).__name__}: {error})") from error
        if not known:
            raise BrokenBaseline(f"--baseline {path}: its schema is {report['schema']!r}; this medrival reads schema '1'")
        return cls(path, started, cases)

    @staticmethod
    def names(file: str) -> bool:
        """Whether a report may call a file so: it stays in the folder predictions/."""
        return PREDICTIONS.fullmatch(file) is not None

    def predictions(self, case: str) -> tuple[Prediction, ...]:
        """What that run's model said about each test sample of a case that it measured.

        Raises:
            BrokenBaseline: the file is missing, damaged, or shorter than the report says.
        """
        found = self._read(case, self.cases[case].get("predictions"))
        if len(found) != (n := self.cases[case].get("n")):
            raise BrokenBaseline(f"--baseline {self.path}: {len(found)} predictions of {case} are there, not {n}")
        return found

    def validation(self, case: str) -> tuple[Prediction, ...]:
        """The same of the validation samples; none where that run kept none.

        Raises:
            BrokenBaseline: the file is missing or damaged.
        """
        name = self.cases[case].get("validation")
        return () if name is None else self._read(case, name)

    def _read(self, case: str, name: object) -> tuple[Prediction, ...]:
        if not isinstance(name, str) or not self.names(name):
            raise BrokenBaseline(f"--baseline {self.path}: {case} names no file of predictions")
        file = self.path.parent / name
        try:
            return tuple(_prediction(json.loads(line)) for line in file.read_bytes().splitlines())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokenBaseline(
                f"--baseline {self.path}: the predictions of {case} cannot be read from {file} ({error}); "
                "a baseline is report.json with the folder predictions/ beside it"
            ) from error


def _prediction(line: Mapping[str, Any]) -> Prediction:
    known = {field.name for field in fields(Prediction)}
    if strange := sorted(set(line) - known):
        raise ValueError(f"unknown key {strange[0]!r}")
    return Prediction(**{**line, "scores": tuple(line["scores"]), "options": tuple(line["options"])})
