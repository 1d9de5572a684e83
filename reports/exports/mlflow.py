"""A report as MLflow runs: one for the report, and nested in it one a case and one a pair.

Runs are compared by the keys that they share, so that a metric has the same key in each: `auroc`, with its interval under
`low/auroc` and `high/auroc`. What has no value has no key; the tag `medrival.missing` says why.
"""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from medrival.errors import MedrivalError, first_line
from medrival.reports.escaping import clipped
from medrival.reports.figures import visible
from medrival.reports.github import markdown
from medrival.reports.record import CaseRecord, PairRecord, Run, plain

if TYPE_CHECKING:
    from mlflow.tracking import MlflowClient

EXPERIMENT = "medrival"
"""Where nobody names another one in MLFLOW_EXPERIMENT_NAME."""
FILES = ("report.html", "report.json")
FOLDERS = ("predictions", "samples")
LOCAL = ("samples", "local")
"""What a licence keeps on this machine."""
NOTES = ("fingerprint", "limit", "device", "dtype", "budget")
METRICS, TEXTS = 1000, 100
"""In one request MLflow takes no more metrics, and no more parameters or tags."""
LONGEST_PARAM, LONGEST_TAG = 6000, 8000
"""Characters of a value; MLflow takes no more."""
ENDED = {"measured": "FINISHED", "failed": "FAILED", "skipped": "KILLED"}
T = TypeVar("T")
PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9_. -]{0,60}")


@dataclass(frozen=True)
class Entry:
    """What one MLflow run holds.

    Attributes:
        seconds: its work took.
        status: MLflow's.
        metrics: by MLflow's key; None where there is no value.
    """

    name: str
    seconds: float | None
    status: str
    metrics: Mapping[str, float | None]
    params: Mapping[str, Any]
    tags: Mapping[str, Any]


def log(run: Run, uri: str = "") -> str:
    """Log a report, with its files as artifacts; return the id of its run.

    Args:
        run: as read from its folder.
        uri: of the tracking server; "" means MLflow's own choice (MLFLOW_TRACKING_URI).

    Raises:
        MedrivalError: MLflow is not installed, or it cannot log.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # else MLflow tells its makers of its use
    try:
        from mlflow.exceptions import MlflowException
        from mlflow.tracking import MlflowClient
    except ImportError as error:
        raise MedrivalError(f"MLflow cannot be imported ({error}): pip install 'medrival[mlflow]'") from error
    try:
        return _logged(run, MlflowClient(uri or None))
    except (MlflowException, OSError) as error:
        raise MedrivalError(f"MLflow at {uri or 'its default place'} cannot log the report: {first_line(error)}") from error


def _logged(run: Run, client: MlflowClient) -> str:
    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
    known = client.get_experiment_by_name(name)
    experiment = known.experiment_id if known else client.create_experiment(name)
    began, whole = _milliseconds(run.started), _report(run)
    with _open(client, experiment, began, whole) as parent:
        for entry in (*map(_case, run.cases), *map(_pair, run.pairs)):
            with _open(client, experiment, began, entry, parent) as child:
                _log(client, child, began, entry)
        _log(client, parent, began, whole)
        for path, folder in _files(run.report_dir):
            client.log_artifact(parent, str(path), folder)
    return parent


@contextmanager
def _open(client: MlflowClient, experiment: str, began: int, entry: Entry, parent: str = "") -> Iterator[str]:
    """The id of a new run, which ends with the block: as failed where that raises."""
    above = {"mlflow.parentRunId": parent} if parent else {}
    made: str = client.create_run(experiment, began, above, clipped(plain(entry.name), 250)).info.run_id
    try:
        yield made
    except BaseException:
        with suppress(Exception):  # a server that is gone; the first error says more
            client.set_terminated(made, "FAILED", _ended(began, entry))
        raise
    client.set_terminated(made, entry.status, _ended(began, entry))


def _log(client: MlflowClient, made: str, began: int, entry: Entry) -> None:
    """Give a run all that the entry holds."""
    from mlflow.entities import Metric, Param, RunTag

    numbers = {key: value for key, value in entry.metrics.items() if value is not None and isfinite(value)}
    for metrics in _in_turn([Metric(key, float(value), began, 0) for key, value in numbers.items()], METRICS):
        client.log_batch(made, metrics=metrics)
    for params in _in_turn([Param(key, text) for key, text in _texts(entry.params, LONGEST_PARAM)], TEXTS):
        client.log_batch(made, params=params)
    for tags in _in_turn([RunTag(key, text) for key, text in _texts(entry.tags, LONGEST_TAG)], TEXTS):
        client.log_batch(made, tags=tags)


def _in_turn(values: list[T], most: int) -> Iterator[list[T]]:
    return (values[at : at + most] for at in range(0, len(values), most))


def _texts(values: Mapping[str, Any], longest: int) -> Iterator[tuple[str, str]]:
    """Those that say something, in lines without what could steer a terminal."""
    for key, value in values.items():
        if value not in (None, ""):
            text = "\n".join(map(visible, plain(str(value)).splitlines()))
            yield key, text if len(text) <= longest else f"{text[: longest - 4]} ..."


def _milliseconds(started: str) -> int:
    try:
        return round(1000 * datetime.fromisoformat(started).timestamp())
    except ValueError as error:
        raise MedrivalError(f"report.json: the run's `started` is {started!r}, which is no time in ISO 8601") from error


def _ended(began: int, entry: Entry) -> int:
    """So long after the run's beginning as the entry's own work took: when each began is not known."""
    return began + round(1000 * (entry.seconds or 0))


def _key(*parts: str) -> str:
    """A key that MLflow takes; of a part that it would not, what is left and a hash."""
    return "/".join(part if PART.fullmatch(part) else _hashed(part) for part in parts)


def _hashed(part: str) -> str:
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', part)[:40].strip('_') or 'x'}-{sha256(repr(part).encode()).hexdigest()[:8]}"


def _report(run: Run) -> Entry:
    states: list[str] = [case.status for case in run.cases]
    held = [gate.holds for gate in run.gates]
    git = run.environment.get("git", {}).get("commit")
    return Entry(
        name=f"{run.suite} {run.started}",
        seconds=run.seconds,
        status="FAILED" if run.exit_status else "FINISHED",
        metrics={
            **{_key("cases", status): states.count(status) for status in ENDED},
            **({_key("gates", "hold"): held.count(True), _key("gates", "broken"): held.count(False)} if held else {}),
        },
        params={"suite": run.suite, "command": shlex.join(("pytest", *run.argv)), **run.environment.get("packages", {})},
        tags={
            "medrival.record": "report",
            "mlflow.source.git.commit": git,
            "mlflow.note.content": "\n".join(markdown(run)),
        },
    )


def _case(case: CaseRecord) -> Entry:
    metrics = {_key(name): found["value"] for name, found in case.metrics.items()}
    for name, found in case.metrics.items():
        metrics |= {_key(side, name): found.get(side) for side in ("low", "high", "n")}
    for name, classes in case.per_class.items():
        metrics |= {_key("per_class", name, of): found["value"] for of, found in classes.items()}
    for attribute, held in case.subgroups.items():
        metrics |= {_key("subgroup", attribute, group): found["value"] for group, found in held["groups"].items()}
        metrics[_key("gap", attribute)] = held["gap"]["value"]
    metrics |= {_key("cost", name): value for name, value in case.cost.items()}
    missing = [f"{name}: {found['reason']}" for name, found in case.metrics.items() if found.get("reason")]
    told = {name: getattr(case, name) for name in ("model", "kind", "task", "task_kind", "domain", "regime", "seed", "primary")}
    return Entry(
        name=case.id,
        seconds=case.cost.get("seconds"),
        status=ENDED[case.status],
        metrics=metrics,
        params=told | {name: case.notes.get(name) for name in NOTES},
        tags={"medrival.record": "case", **_fate(case), "medrival.missing": "\n".join(missing)},
    )


def _pair(pair: PairRecord) -> Entry:
    """One that was not measured states nothing."""
    stated = ("difference", "low", "high", "p_value", "p_adjusted") if pair.status == "measured" else ()
    sides = zip(("general", "medical"), pair.regimes, pair.seeds, strict=True)
    asked = {f"{side}_{what}": value for side, *of in sides for what, value in zip(("regime", "seeds"), of, strict=True)}
    told = ("general", "medical", "task", "task_kind", "family", "domain", "question", "metric", "margin")
    return Entry(
        name=pair.id,
        seconds=None,
        status=ENDED[pair.status],
        metrics={_key("pair", name): getattr(pair, name) for name in (*stated, "n")},
        params={name: getattr(pair, name) for name in told} | asked,
        tags={"medrival.record": "pair", **_fate(pair), "medrival.verdict": pair.verdict, "medrival.caution": pair.caution},
    )


def _fate(record: CaseRecord | PairRecord) -> dict[str, str]:
    return {"medrival.status": record.status, "medrival.reason": record.reason}


def _files(folder: Path) -> Iterator[tuple[Path, str | None]]:
    """The report's own files and where they go; nothing else that lies in its folder, no link, and nothing kept local."""
    folder = folder.resolve()
    found = [folder / name for name in FILES]
    found += [path for name in FOLDERS for path in sorted((folder / name).rglob("*"))]
    for path in found:
        inside = path.relative_to(folder)
        if path.is_file() and path.resolve() == path and inside.parts[:2] != LOCAL:
            yield path, inside.parent.as_posix() if inside.parts[1:] else None
