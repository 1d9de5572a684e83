"""One run in several parts, as the jobs of a CI matrix run it: which part runs which case."""

from __future__ import annotations

import argparse
import json
from collections.abc import Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate, groupby
from pathlib import Path
from typing import Any

import pytest

from medrival import fingerprints
from medrival.case import Case, Pair
from medrival.errors import BrokenGates
from medrival.gates import Baseline, Gates
from medrival.plan import Plan, identity, ours

SLACK = 1.2
"""A model that takes so many shares of the work stays whole: to load it twice and to repeat its features costs more."""
SAMPLES = 1000
"""Of a task whose row does not say how many it has."""

REPLAYED = (
    *("--suite", "--models", "--tasks", "--regimes", "--budget", "--seeds", "--limit", "--catalog", "--strict-assets"),
    *("--candidate", "--candidate-kind", "--candidate-saw", "--candidate-thinking", "--rival", "--trust-remote-code"),
    *("--backend", "--drop-leaked", "--gate", "--baseline"),
)
"""Options that decide what is run and how it is judged: a merge is given them anew."""
COMPARED = ("--dtype", "--batch-size", "--bertscore", "--judge", "--judge-model", "--skills", "--lock")
"""Options that decide what is measured: equal in all shards, but nothing to a merge."""

BY_ESTIMATE = "estimates from parameters and samples"
ELSEWHERE = "the models of a pair are in different shards; python -m medrival merge compares them"


@dataclass(frozen=True)
class Shard:
    """One part of a run: `part` counts from 1 to `of`."""

    part: int
    of: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """Such as 2/5.

        Raises:
            argparse.ArgumentTypeError: there is no such part.
        """
        part, _, of = text.partition("/")
        if not (part.isdecimal() and of.isdecimal() and 1 <= int(part) <= int(of)):
            raise argparse.ArgumentTypeError(f"{text!r} is no part of a run; the second of five is 2/5, the last 5/5")
        return cls(int(part), int(of))

    def __str__(self) -> str:
        return f"{self.part} of {self.of}"


@dataclass(frozen=True)
class Work:
    """What each case of a plan is expected to take: the same on every machine that has the same options and files.

    Outcomes in a store are not asked, since no two machines of a matrix have the same.

    Attributes:
        milliseconds: by case; whole, so that sums do not depend on the machine or on Python's version.
        source: where they are from.
    """

    milliseconds: Mapping[str, int]
    source: str

    @classmethod
    def of(cls, cases: Iterable[Case], limit: int | None, baseline: Baseline | None) -> Work:
        """As long as the cases took in the baseline; what it has not measured is estimated, and scaled by what it has."""
        rough = {case.id: _estimate(case, limit) for case in cases}
        rows = baseline.cases if baseline else {}
        seconds = {name: row["cost"].get("seconds") for name, row in rows.items() if name in rough and "cost" in row}
        known = {name: 1 + round(1000 * value) for name, value in seconds.items() if value is not None}
        if baseline is None or not known:
            return cls(rough, BY_ESTIMATE)
        measured, estimated = sum(known.values()), sum(rough[name] for name in known)
        return cls({name: known.get(name, 1 + one * measured // estimated) for name, one in rough.items()}, str(baseline.path))


def _estimate(case: Case, limit: int | None) -> int:
    """Parameters times the samples that pass through them; its unit is no second."""
    sizes = {split: case.task.sizes.get(split, SAMPLES) for split in ("train", "validation", "test")}
    seen = {split: min(size, limit or size) for split, size in sizes.items()}
    epochs = int(case.regime.budget.get("epochs", 1)) if case.regime.adapts else 0
    passes = seen["test"] + seen["validation"] + epochs * seen["train"]
    return 1 + round(1000 * (case.model.parameters or 1.0)) * passes


def cut(models: Iterable[Sequence[str]], work: Mapping[str, int], parts: int) -> dict[str, int]:
    """Which part, from 1, runs each case.

    Where models are fewer than parts, all cases in a row are cut into equal parts. Else a model's cases stay together unless
    they are clearly more than a part's share; the longest comes first, to the part with the least to do (Graham 1969,
    "Bounds on multiprocessing timing anomalies").

    Args:
        models: the ids of each model's cases, in the order they run in.
        work: what each case takes.
        parts: how many there are.
    """
    whole = [list(cases) for cases in models]
    if len(whole) < parts:
        return _in_a_row([case for cases in whole for case in cases], work, parts)
    share = sum(work[case] for cases in whole for case in cases) / parts
    pieces = [(piece, sum(work[case] for case in piece)) for cases in whole for piece in _pieces(cases, work, share)]
    loads = [0] * parts
    found: dict[str, int] = {}
    for piece, load in sorted(pieces, key=lambda piece: -piece[1]):
        part = loads.index(min(loads))
        loads[part] += load
        found |= dict.fromkeys(piece, part + 1)
    return found


def _in_a_row(cases: Sequence[str], work: Mapping[str, int], parts: int) -> dict[str, int]:
    """Each case belongs to the part in which the middle of its work lies."""
    ends = dict(zip(cases, accumulate(work[case] for case in cases), strict=True))
    total = max(ends.values(), default=0)
    return {case: 1 + (2 * end - work[case]) * parts // (2 * total) for case, end in ends.items()}


def _pieces(cases: list[str], work: Mapping[str, int], share: float) -> list[list[str]]:
    """A model's cases whole, or where that is too much in pieces of at most a share, or of one case."""
    if sum(work[case] for case in cases) <= SLACK * share:
        return [cases]
    pieces: list[list[str]] = [[]]
    for case in cases:
        if pieces[-1] and sum(work[one] for one in pieces[-1]) + work[case] > share:
            pieces.append([])
        pieces[-1].append(case)
    return pieces


def options(config: pytest.Config) -> dict[str, Any]:
    """What the shards of one run must have in common, in JSON's own types, with digests of the files that decide it."""
    given = {name: _plain(config.getoption(name)) for name in (*REPLAYED, *COMPARED)}
    paths = config.args if config.args_source is pytest.Config.ArgsSource.ARGS else []
    files = [*config.getoption("--catalog"), *filter(None, [config.getoption("--baseline")])]
    return given | {
        "-k": config.getoption("keyword"),
        "-m": config.getoption("markexpr"),
        "--pyargs": config.getoption("pyargs"),
        "paths": list(paths),
        "files": {str(file): sha256(file.read_bytes()).hexdigest() for file in files},
    }


def _plain(value: Any) -> Any:
    return [str(one) for one in value] if isinstance(value, list) else str(value) if isinstance(value, Path) else value


def code_of(plan: Plan) -> str:
    """Sha256 over all code that the plan's cases run."""
    places = {place for case in plan.cases.values() for place in (case.model.adapter, case.task.loader, case.runner)}
    return fingerprints.code(tuple(sorted(places)))


class Sharding:
    """The pytest plugin that leaves a run its shard.

    The cut is of what -k, -m and paths select. A pair runs where all of its cases do; one whose cases are in different shards
    is skipped in one of them, for a merge to compare. Cases that only a pair asks for are run for it.
    """

    def __init__(self, shard: Shard, plan: Plan, work: Work) -> None:
        self._shard = shard
        self._plan = plan
        self._work = work

    @staticmethod
    def check(gates: Gates | None) -> None:
        """Refuse gates that a merge could not judge; it judges all of them, for no shard has all cases.

        Raises:
            BrokenGates: a gate compares with a case that no shard runs.
        """
        if gates is None:
            return
        for (gate, case), rival in gates.rivals.items():
            if rival.id not in gates.plan.cases:
                raise BrokenGates(
                    f"--shard: gate {gate!r} compares {case} with {rival.id}, which is no case of this run: "
                    "add it with --models and --regimes, so that a shard measures it"
                )

    def about(self, config: pytest.Config) -> Mapping[str, Any]:
        """What a report says of its shard, by which a merge knows what belongs together."""
        work = json.dumps(self._work.milliseconds, sort_keys=True)
        return {
            "part": self._shard.part,
            "of": self._shard.of,
            "cut_by": self._work.source,
            "work": sha256(work.encode()).hexdigest(),
            "code": code_of(self._plan),
            "options": options(config),
        }

    def pytest_report_header(self) -> str:
        """Say which part this is and how it was cut."""
        advice = "; --baseline FILE, an earlier report.json, has measured seconds" if self._work.source == BY_ESTIMATE else ""
        return f"medrival: shard {self._shard}, cut by {self._work.source}{advice}"

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> Generator[None, object, object]:
        """Leave what this shard runs, once others have selected."""
        collected = {identity(item.nodeid): item for item in items if ours(item)}
        result = yield
        selected = dict.fromkeys(identity(item.nodeid) for item in items if ours(item))
        pairs = [self._plan.pairs[name] for name in selected if name in self._plan.pairs]
        asked = dict.fromkeys(case.id for pair in pairs for case in (*pair.general, *pair.medical))
        more = [collected[name] for name in asked if name in collected and name not in selected]
        parts = self._parts([*selected, *(identity(item.nodeid) for item in more)], pairs)
        for pair in pairs:
            sides = {parts.get(case.id, parts[pair.id]) for case in (*pair.general, *pair.medical)}
            if len(sides) > 1:
                collected[pair.id].add_marker(pytest.mark.skip(reason=ELSEWHERE))

        def name(item: pytest.Item) -> str:
            return identity(item.nodeid) if ours(item) else ""

        there = [item for item in (*items, *more) if parts.get(name(item), 1) == self._shard.part]
        if gone := [item for item in items if parts.get(name(item), 1) != self._shard.part]:
            config.hook.pytest_deselected(items=gone)
        items[:] = sorted(there, key=lambda item: self._plan.rank(name(item)))
        return result

    def _parts(self, selected: Iterable[str], pairs: Sequence[Pair]) -> dict[str, int]:
        """Where each selected test runs: audits and pairs beside a case of theirs, or in turn where no case is selected."""
        chosen = [self._plan.cases[name] for name in sorted(set(selected), key=self._plan.rank) if name in self._plan.cases]
        models = [[case.id for case in cases] for _, cases in groupby(chosen, key=lambda case: case.model.name)]
        parts = cut(models, self._work.milliseconds, self._shard.of)
        beside: dict[tuple[str, ...], int] = {}
        for case in reversed(chosen):
            beside[case.task.name,] = parts[case.id]

        def of(*alike: str) -> int:
            return beside.setdefault(alike, 1 + len(beside) % self._shard.of)

        audits = {name: of(name) for name in selected if name in self._plan.tasks}
        compared = {
            pair.id: parts.get(pair.general[0].id) or of(pair.general[0].model.name, pair.medical[0].model.name)
            for pair in pairs
        }
        return parts | audits | compared
