"""An earlier report.json and its predictions, against which a run is compared sample by sample."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from medrival.contracts import Prediction, TaskKind
from medrival.errors import BrokenBaseline, BrokenData, UnknownName

PREDICTIONS = re.compile(r"predictions/[A-Za-z0-9][A-Za-z0-9._-]*\.jsonl")  # as in report.schema.json
DIGEST = re.compile(r"\.([0-9a-f]{16})\.jsonl$")
THRESHOLD = "decision_threshold"
NOISE = 1e-9
"""How far a sum of the same numbers may be off on another machine."""

WAY_OUT = "name another baseline, or delete this one with its folder predictions/ and write it anew with --update-baseline"

LABELLED = ("accuracy_understanding", "accuracy_reasoning")
"""Metrics that --skills computes over labels which the predictions do not keep."""

Predictions = tuple[Prediction, ...]


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
            reason = f"{type(error).__name__}: {error}"
            raise BrokenBaseline(f"--baseline {path}: no report.json of medrival ({reason}); {WAY_OUT}") from error
        if not known:
            schema = report["schema"]
            raise BrokenBaseline(f"--baseline {path}: its schema is {schema!r}; this medrival reads schema '1'; {WAY_OUT}")
        return cls(path, started, cases)

    @staticmethod
    def names(file: str) -> bool:
        """Whether a report may call a file so: it stays in the folder predictions/."""
        return PREDICTIONS.fullmatch(file) is not None

    @staticmethod
    def named(file: str, content: bytes) -> str:
        """The file's name with a digest of its content in it, by which a later change is noticed."""
        return f"{file.removesuffix('.jsonl')}.{_digest(content)}.jsonl"

    def verified(self, case: str, kind: TaskKind, metric: str) -> tuple[Predictions, Predictions]:
        """What that run's model said about the test samples of a case that it measured, and about the validation samples.

        The latter are read only where the metric cannot be had without them, and are none elsewhere. The metric ("" is the
        primary one) is computed anew and must be what the report says, where it says anything: a damaged file must not decide a
        comparison.

        Raises:
            BrokenBaseline: a file is missing or damaged, or does not lead to the numbers that the report gives; or the metric
                rests on labels that no file keeps.
        """
        from medrival.tasks.metrics import primary, values

        if metric in LABELLED and "skills" in self.cases[case].get("notes", {}):
            raise BrokenBaseline(
                f"--baseline {self.path}: {metric} of {case} rests on labels of --skills, which no predictions keep; "
                "hold another metric against it"
            )
        row, said = self.cases[case], self.predictions(case)
        tuning: Predictions = ()
        try:
            metric, classes = metric or primary(kind, said), tuple(row.get("classes", ()))
            stored = {name: one["value"] for name, one in row["metrics"].items() if name == metric}
            found = values(kind, metric, said, classes)
            known = metric in stored and same(found[metric], stored[metric])
            if not known and (tuning := self.validation(case)):
                stored[THRESHOLD] = row["notes"].get(THRESHOLD)
                found = values(kind, metric, said, classes, validation=tuning)
            wrong = next((name for name in stored if not same(found.get(name), stored[name])), "")
        except (BrokenData, UnknownName, AttributeError, KeyError, TypeError, ValueError) as error:
            reason = f"{type(error).__name__}: {error}"
            raise BrokenBaseline(f"--baseline {self.path}: {case} cannot be measured again ({reason}); {WAY_OUT}") from error
        if wrong:
            raise BrokenBaseline(
                f"--baseline {self.path}: by its predictions {wrong} of {case} is {found.get(wrong)}, by its report "
                f"{stored[wrong]}: a file is damaged, or {wrong} is computed in another way since; {WAY_OUT}"
            )
        return said, tuning

    def predictions(self, case: str) -> Predictions:
        """What that run's model said about each test sample of a case that it measured.

        Raises:
            BrokenBaseline: the file is missing, damaged, or shorter than the report says.
        """
        found = self._read(case, self.cases[case].get("predictions"))
        if len(found) != (n := self.cases[case].get("n")):
            raise BrokenBaseline(f"--baseline {self.path}: {len(found)} predictions of {case} are there, not {n}; {WAY_OUT}")
        return found

    def validation(self, case: str) -> Predictions:
        """The same of the validation samples; none where that run kept none.

        Raises:
            BrokenBaseline: the file is missing or damaged.
        """
        name = self.cases[case].get("validation")
        return () if name is None else self._read(case, name)

    def _read(self, case: str, name: object) -> Predictions:
        if not isinstance(name, str) or not self.names(name):
            raise BrokenBaseline(f"--baseline {self.path}: {case} names no file of predictions")
        file = self.path.parent / name
        try:
            content = file.read_bytes()
            if (written := DIGEST.search(name)) and written[1] != _digest(content):
                raise ValueError("its content is not what was written")
            return tuple(_prediction(json.loads(line)) for line in content.splitlines())
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokenBaseline(
                f"--baseline {self.path}: the predictions of {case} cannot be read from {file} ({error}); "
                f"a baseline is report.json with the folder predictions/ beside it; {WAY_OUT}"
            ) from error


def _digest(content: bytes) -> str:
    return sha256(content).hexdigest()[:16]


def same(found: float | None, stored: float | None) -> bool:
    """Whether a metric that was computed again is what it was."""
    if found is None or stored is None:
        return found is stored
    return math.isclose(found, stored, rel_tol=0.0, abs_tol=NOISE)


def _prediction(line: Mapping[str, Any]) -> Prediction:
    known = {field.name for field in fields(Prediction)}
    if strange := sorted(set(line) - known):
        raise ValueError(f"unknown key {strange[0]!r}")
    return Prediction(**{**line, "scores": tuple(line["scores"]), "options": tuple(line["options"])})
