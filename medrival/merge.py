"""The shards of a run made one: the run once more, with what they measured in place of models and data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, NoReturn

import pytest

from medrival.cards import TaskCard
from medrival.case import Case, Outcome
from medrival.errors import BrokenShard, MissingAsset, Recorded
from medrival.gates import Baseline
from medrival.integrity import Audit, audit_from
from medrival.plan import identity, ours
from medrival.shards import REPLAYED
from medrival.store import outcome_from

UNTIMED = ("cost",)
"""What may differ where two shards measured one case."""


@dataclass(frozen=True)
class Report:
    """The report.json of one shard."""

    folder: Path
    content: Mapping[str, Any]

    @classmethod
    def read(cls, folder: Path) -> Report:
        """Read it.

        Raises:
            BrokenShard: there is none, or it is of a whole run.
        """
        try:
            content = json.loads((folder / "report.json").read_bytes())
            if not (content["schema"] == "1" and content["run"].get("shard")):
                raise BrokenShard(f"{folder}: its report.json is of no shard; a run with --shard writes one")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenShard(
                f"{folder}: there is no report.json of a shard ({error}); name the shards' --report-dir"
            ) from error
        return cls(folder, content)

    @property
    def run(self) -> Mapping[str, Any]:
        """When, where and with what it ran."""
        about: Mapping[str, Any] = self.content["run"]
        return about

    @property
    def shard(self) -> Mapping[str, Any]:
        """Which part it is, and of what."""
        about: Mapping[str, Any] = self.run["shard"]
        return about

    @property
    def rows(self) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Its cases, pairs and audits, by the ids of their tests."""
        for kind, key in (("cases", "id"), ("pairs", "id"), ("integrity", "task")):
            yield from ((row[key], row) for row in self.content[kind])

    def outcome(self, row: Mapping[str, Any]) -> Outcome:
        """What a case measured, with its predictions.

        Raises:
            BrokenShard: they are missing or damaged.
        """
        try:
            said = {key: self._predictions(row[key]) for key in ("predictions", "validation")}
            if len(said["predictions"]) != row["n"]:
                raise ValueError(f"{len(said['predictions'])} predictions are there, not {row['n']}")
            return outcome_from({**row, **said, "key": ""})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BrokenShard(f"{self.folder}: {row['id']} cannot be read ({error}); keep the report folder whole") from error

    def _predictions(self, name: str | None) -> list[Any]:
        if name is None:
            return []
        if not Baseline.names(name):
            raise ValueError(f"{name!r} is no file of predictions")
        return [json.loads(line) for line in (self.folder / name).read_bytes().splitlines()]


class Shards:
    """All shards of one run, and the pytest plugin that selects what they ran."""

    def __init__(self, reports: Sequence[Report]) -> None:
        self._reports = sorted(reports, key=lambda report: report.shard["part"])
        self._rows: dict[str, tuple[Report, Mapping[str, Any]]] = {}
        for report in self._reports:
            for name, row in report.rows:
                self._add(name, row, report)

    @classmethod
    def read(cls, folders: Iterable[Path]) -> Shards:
        """Read their report folders.

        Raises:
            BrokenShard: a folder holds none, one is missing, or they are not of one run.
        """
        reports = [Report.read(folder) for folder in folders]
        for one, other in pairwise(reports):
            _check_alike(one, other)
        _check_whole(reports)
        return cls(reports)

    @property
    def options(self) -> Mapping[str, Any]:
        """Of the run."""
        found: Mapping[str, Any] = self._reports[0].shard["options"]
        return found

    @property
    def about(self) -> list[dict[str, Any]]:
        """When, where and with what each ran, in order."""
        return [{**report.run, "shard": f"{report.shard['part']}/{report.shard['of']}"} for report in self._reports]

    @property
    def exit_status(self) -> int:
        """The gravest; a shard without a case is no failure."""
        return max(report.run["exit_status"] for report in self._reports)

    def evaluate(self, case: Case) -> Outcome:
        """What a shard measured.

        Raises:
            MissingAsset: weights or data were missing where it ran.
            Recorded: it failed, as the shard said.
            BrokenShard: no shard has it, or its predictions cannot be read.
        """
        if case.id not in self._rows:
            raise BrokenShard(f"{case.id} is in none of the shards; select its model, task and regime in the run")
        report, row = self._rows[case.id]
        if row["status"] != "measured":
            _tell(row)
        return report.outcome(row)

    def audit(self, card: TaskCard) -> Audit:
        """What a shard found in a task's data; raises as `evaluate`."""
        _, row = self._rows[card.name]
        if "fingerprint" not in row:
            _tell(row)
        return audit_from({field.name: row[field.name] for field in fields(Audit)})

    @pytest.hookimpl(tryfirst=True)
    def pytest_configure(self, config: pytest.Config) -> None:
        """Be found by what asks for outcomes."""
        config.stash[SHARDS] = self

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Leave the cases, pairs and audits that the shards list."""
        listed = [ours(item) and identity(item.nodeid) in self._rows for item in items]
        if gone := [item for item, there in zip(items, listed, strict=True) if not there]:
            config.hook.pytest_deselected(items=gone)
        items[:] = [item for item, there in zip(items, listed, strict=True) if there]

    def _add(self, name: str, row: Mapping[str, Any], report: Report) -> None:
        if name in self._rows:
            before, other = self._rows[name]
            if not _agree(before, other, report, row):
                raise BrokenShard(
                    f"{before.folder} and {report.folder} have different outcomes of {name}; run one of them anew"
                )
        else:
            self._rows[name] = report, row


SHARDS = pytest.StashKey[Shards]()
"""Where shards are merged: what they measured."""


def merge(folders: Sequence[Path], arguments: Sequence[str], gates: Sequence[Path], baseline: Path | None) -> int:
    """Run pytest on what the shards measured; return its exit status.

    Args:
        folders: report folders of all shards.
        arguments: more of pytest's.
        gates: files that are judged by in place of those that the shards were given.
        baseline: in place of theirs.

    Raises:
        BrokenShard: as `Shards.read`.
    """
    shards = Shards.read(folders)
    options = dict(shards.options)
    if gates:
        options["--gate"] = gates
    if baseline or not options["--gate"]:  # without gates it only told how long cases take
        options["--baseline"] = baseline
    paths = [*options["paths"], *(["--pyargs"] if options["--pyargs"] else [])]
    given = [word for name in REPLAYED for word in _words(name, options[name])]
    return int(pytest.main(["-p", "medrival.plugin", "-n0", *paths, *given, *arguments], plugins=[shards]))


def _words(name: str, value: Any) -> list[str]:
    if value is True:
        return [name]
    values = value if isinstance(value, (list, tuple)) else [] if value in (None, False) else [value]
    return [f"{name}={one}" for one in values]


def _tell(row: Mapping[str, Any]) -> NoReturn:
    raise (MissingAsset if row["status"] == "skipped" else Recorded)(row["reason"])


def _agree(one: Report, row: Mapping[str, Any], other: Report, twin: Mapping[str, Any]) -> bool:
    """Whether two shards say the same of a case, but for what it cost."""
    files = ("predictions", "validation")
    said = [{name: value for name, value in each.items() if name not in (*UNTIMED, *files)} for each in (row, twin)]
    if said[0] != said[1] or row["status"] != "measured" or "predictions" not in row:
        return said[0] == said[1]
    ours, theirs = one.outcome(row), other.outcome(twin)
    return (ours.predictions, ours.validation) == (theirs.predictions, theirs.validation)


def _check_alike(one: Report, other: Report) -> None:
    ours, theirs = one.shard, other.shard
    between = f"{one.folder} and {other.folder} are not of one run"
    for name, value in ours["options"].items():
        if value != theirs["options"].get(name):
            raise BrokenShard(
                f"{between}: {name} was {_shown(value)} in one and {_shown(theirs['options'].get(name))} in the other"
            )
    if ours["code"] != theirs["code"]:
        raise BrokenShard(f"{between}: they ran different code ({_difference(one.run, other.run)})")
    if ours["of"] != theirs["of"]:
        raise BrokenShard(f"{between}: one is a part of {ours['of']}, the other of {theirs['of']}")
    if ours["work"] != theirs["work"]:
        raise BrokenShard(f"{between}: they were not cut alike, for their catalogs are not equal")


def _check_whole(reports: Sequence[Report]) -> None:
    parts: dict[int, Report] = {}
    for report in reports:
        if (twin := parts.setdefault(report.shard["part"], report)) is not report:
            raise BrokenShard(f"{twin.folder} and {report.folder} are the same shard; name one of them")
    of = reports[0].shard["of"]
    if missing := [str(part) for part in range(1, of + 1) if part not in parts]:
        raise BrokenShard(
            f"of {of} shards, {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; name all of them"
        )


def _shown(value: Any) -> str:
    return json.dumps(value) if value not in (None, "", [], False) else "not given"


def _difference(one: Mapping[str, Any], other: Mapping[str, Any]) -> str:
    """Which package or commit differs, where that is known."""
    packages = [about["packages"] for about in (one, other)]
    differ = [name for name in sorted({*packages[0], *packages[1]}) if packages[0].get(name) != packages[1].get(name)]
    if differ:
        return f"{differ[0]} {packages[0].get(differ[0])} and {packages[1].get(differ[0])}"
    commits = [about["git"]["commit"] or "no commit" for about in (one, other)]
    return f"commits {commits[0]} and {commits[1]}" if commits[0] != commits[1] else "the sources themselves"
