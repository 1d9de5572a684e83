"""The pytest plugin: options, markers, parametrisation, order of cases, and the reports at the end.

It is loaded on request (`-p medrival.plugin`, or by the project's conftest.py), never by installing.
"""

from __future__ import annotations

import argparse
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import platformdirs
import pytest

from medrival import catalog, tables
from medrival.candidate import Claims, entered, introduced
from medrival.catalog import Catalog, ModelCard
from medrival.efficiency.lane import asked
from medrival.errors import MedrivalError
from medrival.gates import Baseline, Gates
from medrival.lock import Lock
from medrival.parameters import known_here
from medrival.plan import Plan, Selection, identity, ours
from medrival.reports import published
from medrival.reports.progress import Progress
from medrival.reports.recorder import Recorder
from medrival.root import misled
from medrival.session import CANDIDATES, GATES, LOCK, PLAN, PROGRESS, ROWS, STARTED, STORE
from medrival.shards import Shard, Sharding, Work
from medrival.store import Store
from medrival.workers import ByModel, limit_threads, refuse_absent

KINDS = ("diagnosis", "vqa")

pytest_plugins = [
    "medrival.fixtures.scorers",
    "medrival.fixtures.cases",
    "medrival.fixtures.audit",
    "medrival.fixtures.gate",
    "medrival.fixtures.efficiency",
]


def pytest_addoption(parser: pytest.Parser) -> None:
    """All options of a study; a suite names the axes, and the options replace them."""
    group = parser.getgroup("medrival", "medrival: general against medical vision-language models")
    add = group.addoption
    add(
        "--suite",
        default="pocket",
        metavar="NAME",
        help="named selection of models, tasks and regimes (default: pocket)",
    )
    add("--models", metavar="NAMES", help="comma-separated names or globs instead of the suite's models")
    add("--tasks", metavar="NAMES", help="comma-separated names or globs instead of the suite's tasks")
    add("--regimes", metavar="NAMES", help="comma-separated names or globs instead of the suite's regimes")
    add("--budget", default="", metavar="NAME", help="of training, such as paper-a, instead of that of each model's row")
    add("--seeds", default="0", metavar="SEEDS", help="comma-separated seeds of training (default: 0)")
    add("--limit", type=_positive, metavar="N", help="at most N samples of each split, the same for every model")
    add("--assets", type=Path, metavar="DIR", help="folder with data sets and models")
    add("--strict-assets", action="store_true", help="fail, not skip, where weights or data are missing")
    add(
        "--catalog",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="TOML file with more rows (repeatable)",
    )
    add(
        "--candidate",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="directory of a checkpoint that joins the run (repeatable)",
    )
    add("--candidate-kind", choices=("general", "medical"), default="medical", help="of the candidates (default: medical)")
    add("--candidate-saw", metavar="WORDS", help="comma-separated modalities of their pretraining; unknown where not given")
    add(
        "--candidate-thinking",
        type=_tokens,
        metavar="N",
        help="tokens that the candidates may think with before they answer (default: as many as base model or rival)",
    )
    add("--rival", metavar="MODEL", help="the model of the other kind that the candidates are held against")
    add("--lock", type=Path, metavar="FILE", help="fail cases whose model's weights or task's data are not those of FILE")
    add("--update-lock", action="store_true", help="write this run's weights and data to the --lock file instead")
    add(
        "--trust-remote-code",
        action="append",
        default=[],
        metavar="MODEL",
        help="let transformers run code that lies beside this model's weights (repeatable; default: never)",
    )
    add("--device", default="auto", metavar="DEVICE", help="auto, cpu, cuda, cuda:1, mps (default: auto)")
    add(
        "--workers-per-gpu",
        type=_positive,
        default=1,
        metavar="N",
        help="workers (-n) that may share a GPU, each with that part of its memory (default: 1)",
    )
    add(
        "--dtype",
        default="auto",
        choices=("auto", "float32", "bfloat16", "float16", "4bit"),
        help="precision of the weights (default: auto, bfloat16 on CUDA and float32 elsewhere)",
    )
    add(
        "--batch-size",
        type=_positive,
        default=64,
        metavar="N",
        help="of prediction, halved where memory runs out (default: 64)",
    )
    add(
        "--gate",
        type=Path,
        action="append",
        default=[],
        metavar="FILE",
        help="TOML file of rules that cases and pairs must meet, or the run fails (repeatable)",
    )
    add(
        "--baseline", type=Path, action=_Once, metavar="FILE", help="an earlier run's report.json, for gates against regression"
    )
    add("--update-baseline", action="store_true", help="write this run's report and predictions to the --baseline file")
    add(
        "--shard",
        type=Shard.parse,
        metavar="I/N",
        help="run the I-th of N parts; cut by what cases took in --baseline, else by size; python -m medrival merge joins them",
    )
    add("--report-dir", type=Path, default=Path("reports/latest"), metavar="DIR", help="default: reports/latest")
    add(
        "--drop-leaked",
        action="store_true",
        help="report each score also without the test samples whose image or patient is in the training split",
    )
    add(
        "--keep-adapters",
        action="store_true",
        help="write what was trained, in peft's format, to adapters/ of the report folder",
    )
    add("--no-resume", action="store_true", help="measure anew what the store already has")
    add("--store", type=Path, metavar="DIR", help="where outcomes are kept (default: the user's cache folder)")


class _Once(argparse.Action):
    """Stores a value; a second one is an error, for it would take the place of the first."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: Any, option_string: str | None = None
    ) -> None:
        """Store the value."""
        if (first := getattr(namespace, self.dest)) is not None:
            parser.error(f"{option_string} {values}: there is a {option_string} {first} before; name one alone")
        setattr(namespace, self.dest, values)


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def _tokens(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of tokens")
    return int(text)


def pytest_configure(config: pytest.Config) -> None:
    """Read the catalogs, plan the cases; a mistake in the options ends the run here."""
    limit_threads()
    _check(config)
    try:
        config.stash[ROWS] = rows = catalog.load(config.getoption("--catalog"))
        config.stash[CANDIDATES] = candidates = _candidates(config, rows)
        rows = rows.joined_by(candidates).trusting(config.getoption("--trust-remote-code"))
        config.stash[PLAN] = plan = Plan.of(rows, _selection(config, candidates))
        published.check(plan.cases.values())
        gates, sharding = _gates(config, plan, rows), _sharding(config, plan)
        if sharding:
            sharding.check(gates)
        config.stash[GATES] = gates = None if sharding else gates
        config.stash[LOCK] = _lock(config)
        if not (config.option.collectonly or hasattr(config, "workerinput")):
            refuse_absent(config.getoption("--device"))
    except MedrivalError as error:
        raise pytest.UsageError(str(error)) from None
    for marker in plan.markers:
        config.addinivalue_line("markers", f"{marker}: set by medrival on the cases it describes")
    config.stash[STARTED] = getattr(config, "workerinput", {}).get("medrival_started", time.time())
    config.stash[STORE] = store = Store(config.getoption("--store") or platformdirs.user_cache_path("medrival"))
    config.stash[PROGRESS] = progress = Progress.of(config)
    config.pluginmanager.register(progress, "medrival-progress")
    if not asked(config):  # which measures no case, and so leaves the report of the last run alone
        config.pluginmanager.register(Recorder(config, plan, store, gates, sharding), "medrival-recorder")
    if sharding:
        config.pluginmanager.register(sharding, "medrival-sharding")


def _lock(config: pytest.Config) -> Lock | None:
    """What the run is held to; a run that writes the file is held to nothing."""
    path, update = config.getoption("--lock"), config.getoption("--update-lock")
    return Lock.read(path) if path is not None and not update else None


def _sharding(config: pytest.Config, plan: Plan) -> Sharding | None:
    """What leaves the run its shard, under --shard."""
    shard, baseline = config.getoption("--shard"), config.getoption("--baseline")
    if shard is None:
        return None
    if update := [f"--update-{what}" for what in ("baseline", "lock") if config.getoption(f"--update-{what}")]:
        raise pytest.UsageError(f"{update[0]}: a shard is no whole run; give it to python -m medrival merge")
    earlier = Baseline.read(baseline) if baseline else None
    return Sharding(shard, plan, Work.of(plan.cases.values(), config.getoption("--limit"), earlier))


def _gates(config: pytest.Config, plan: Plan, rows: Catalog) -> Gates | None:
    """The run's gates, or None; a baseline that cannot serve ends the run before it begins, unless the run replaces it."""
    paths, file, update = (config.getoption(name) for name in ("--gate", "--baseline", "--update-baseline"))
    if update and file is None:
        raise pytest.UsageError("--update-baseline needs --baseline FILE: where to write")
    if file is not None and file.resolve().parent == config.getoption("--report-dir").resolve():
        raise pytest.UsageError(f"--baseline {file}: this run's report goes there; keep a baseline in a folder of its own")
    baseline = None if file is None or (update and not file.exists()) else Baseline.read(file)
    if not paths:
        return None
    gates = Gates.of(paths, plan, rows, baseline, config.getoption("--limit"))
    if baseline is None and gates.asked_of_baseline and not update:
        raise pytest.UsageError("--gate: a gate against regression needs --baseline FILE, an earlier report.json")
    if not update and not hasattr(config, "workerinput"):
        gates.check_baseline()
    return gates


def _candidates(config: pytest.Config, rows: Catalog) -> list[ModelCard]:
    """The rows that --candidate enters."""
    paths, about = config.getoption("--candidate"), ("--rival", "--candidate-saw", "--candidate-thinking")
    rival, saw, thinking = (config.getoption(name) for name in about)
    if (rival, saw, thinking) != (None, None, None) and not paths:
        raise pytest.UsageError(f"{', '.join(about)} are about candidates: name one with --candidate PATH")
    claims = Claims(config.getoption("--candidate-kind"), rival or "", None if saw is None else _names(saw), thinking)
    return entered(rows, paths, claims, config.getoption("--assets"))


def _check(config: pytest.Config) -> None:
    assets, device = config.getoption("--assets"), config.getoption("--device")
    if config.getoption("--update-lock") and config.getoption("--lock") is None:
        raise pytest.UsageError("--update-lock needs --lock FILE: where to write")
    if assets is not None and not assets.is_dir():
        raise pytest.UsageError(f"--assets {assets}: there is no such folder")
    if store := config.getoption("--store"):
        try:
            store.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise pytest.UsageError(f"--store {store}: no folder can be made there: {error.strerror}") from None
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise pytest.UsageError(f"--device {device}: it must be auto, cpu, cuda, cuda:N or mps")


def _names(given: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in given.split(",") if name.strip())


def _selection(config: pytest.Config, candidates: Sequence[ModelCard]) -> Selection:
    def names(option: str) -> tuple[str, ...] | None:
        given = config.getoption(option)
        return None if given is None else _names(given)

    seeds = names("--seeds") or ()
    if not seeds or not all(seed.isdecimal() for seed in seeds):
        raise pytest.UsageError(f"--seeds {config.getoption('--seeds')}: seeds are whole numbers, such as --seeds 0,1,2")
    return Selection(
        config.getoption("--suite"),
        names("--models"),
        names("--tasks"),
        names("--regimes"),
        tuple(dict.fromkeys(map(int, seeds))),
        config.getoption("--budget"),
        joining=tuple(name for card in candidates for name in (card.name, card.partner) if name),
    )


def pytest_report_header(config: pytest.Config) -> list[str]:
    """Say at the beginning what rows are taken for or could be wrong in, what is not planned, and which gates will fail."""
    rows, plan, gates = config.stash[ROWS], config.stash[PLAN], config.stash[GATES]
    models = {case.model.name: case.model for case in plan.cases.values()}
    said = [introduced(card) for card in config.stash[CANDIDATES]]
    said += rows.replacing
    said += [line for model in models.values() for line in rows.unfamiliar(model)]
    said += [f"not planned: {one}" for one in plan.refused]
    said += [f"gate {name!r} matches nothing in this run and will fail" for name in (gates.idle if gates else ())]
    return [f"medrival: {line}" for line in said] + misled(config)


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> list[str]:
    """Where cases are only listed, list what is known of their models, too."""
    if not config.option.collectonly or config.option.verbose < 0 or not any(map(ours, items)):
        return []
    models = {case.model.name: case.model for case in config.stash[PLAN].cases.values()}
    return ["", *tables.overview([known_here(model, config.getoption("--assets")) for model in models.values()])]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a benchmark its cases: `outcome` those of its kind, `general` and `medical` the pairs, `audit` the tasks."""
    plan = metafunc.config.stash[PLAN]
    if "outcome" in metafunc.fixturenames:
        kinds = {mark.name for mark in metafunc.definition.iter_markers()} & set(KINDS)
        chosen = [case for case in plan.cases.values() if case.task.kind in kinds or not kinds]
        metafunc.parametrize(
            "outcome",
            [pytest.param(case.id, id=case.id, marks=_marks(plan.marks(case))) for case in chosen],
            indirect=True,
            scope="session",
        )
    elif {"general", "medical"} <= set(metafunc.fixturenames):
        metafunc.parametrize(
            ("general", "medical"),
            [
                pytest.param(pair.id, pair.id, id=pair.id, marks=_marks(plan.marks(pair.medical[0], pair.general[0])))
                for pair in plan.pairs.values()
            ],
            indirect=True,
            scope="session",
        )
    elif "audit" in metafunc.fixturenames:
        metafunc.parametrize("audit", list(plan.tasks), ids=list(plan.tasks), indirect=True, scope="session")


def _marks(names: Sequence[str]) -> list[pytest.MarkDecorator]:
    return [getattr(pytest.mark, name) for name in names]


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Sort audits, cases by model, those that a gate holds against a rival, pairs; drop pytest's placeholders for nothing."""
    plan, gates = config.stash[PLAN], config.stash[GATES]
    if placeholders := [item for item in items if ours(item) and identity(item.nodeid) == "NOTSET"]:
        config.hook.pytest_deselected(items=placeholders)
        items[:] = [item for item in items if item not in placeholders]

    def order(item: pytest.Item) -> tuple[bool, bool, int]:
        name = identity(item.nodeid) if ours(item) else ""
        return name in plan.pairs, gates is not None and name in gates.waiting, plan.rank(name)

    items.sort(key=order)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModel | None:
    """Group cases by model under xdist's default distribution; another `--dist` is the user's choice."""
    if config.getoption("dist") != "load":
        return None
    return ByModel(config, log, config.stash[PLAN])


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tell each worker when the session began, so that --no-resume means the same in all."""
    node.workerinput["medrival_started"] = node.config.stash[STARTED]
