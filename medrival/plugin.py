"""The pytest plugin: options, markers, parametrisation, order of cases, and the reports at the end.

It is loaded on request (`-p medrival.plugin`, or by the project's conftest.py), never by installing.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import platformdirs
import pytest

from medrival import backends, catalog, options
from medrival.candidate import Claims, entered, introduced
from medrival.catalog import Catalog, ModelCard
from medrival.efficiency.lane import asked
from medrival.errors import MedrivalError
from medrival.gates import Baseline, Gates
from medrival.lock import Lock
from medrival.merge import SHARDS
from medrival.noise import Quiet
from medrival.parameters import known_here
from medrival.plan import Plan, identity, ours
from medrival.reports import published
from medrival.reports.course import Course
from medrival.reports.progress import Progress
from medrival.reports.recorder import Recorder
from medrival.root import misled
from medrival.sense import names
from medrival.session import CANDIDATES, GATES, LOCK, PLAN, PROGRESS, ROWS, STARTED, STORE
from medrival.shards import Sharding, Work
from medrival.stopping import Stopping
from medrival.store import Store
from medrival.tables.models import overview
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
    options.add(parser)


def pytest_configure(config: pytest.Config) -> None:
    """Read the catalogs, plan the cases; a mistake in the options ends the run here."""
    limit_threads()
    options.check(config)
    try:
        config.stash[ROWS] = rows = catalog.load(config.getoption("--catalog"))
        config.stash[CANDIDATES] = candidates = _candidates(config, rows)
        rows = rows.joined_by(candidates).trusting(config.getoption("--trust-remote-code"))
        config.stash[PLAN] = plan = Plan.of(rows, options.selection(config, candidates))
        published.check(plan.cases.values())
        baseline = _baseline(config)
        work = Work.of(plan.cases.values(), config.getoption("--limit"), baseline)
        gates, sharding = _gates(config, plan, rows, baseline), _sharding(config, plan, work)
        if sharding:
            sharding.check(gates)
        config.stash[GATES] = gates = None if sharding else gates
        config.stash[LOCK] = _lock(config)
        if not (config.option.collectonly or hasattr(config, "workerinput")):
            refuse_absent(config.getoption("--device"))
            if SHARDS not in config.stash:  # a merge runs no model
                backends.check(config.getoption("--backend"))
    except MedrivalError as error:
        raise pytest.UsageError(str(error)) from None
    for marker in plan.markers:
        config.addinivalue_line("markers", f"{marker}: set by medrival on the cases it describes")
    config.stash[STARTED] = getattr(config, "workerinput", {}).get("medrival_started", time.time())
    config.stash[STORE] = store = Store(config.getoption("--store") or platformdirs.user_cache_path("medrival"))
    config.stash[PROGRESS] = progress = Progress(Course(plan, work), store, config.stash[STARTED])
    config.pluginmanager.register(progress, "medrival-progress")
    config.pluginmanager.register(Quiet(), "medrival-quiet")
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Stopping(), "medrival-stopping")
    if not asked(config):  # which measures no case, and so leaves the report of the last run alone
        config.pluginmanager.register(Recorder(config, plan, store, gates, sharding), "medrival-recorder")
    if sharding:
        config.pluginmanager.register(sharding, "medrival-sharding")


def _lock(config: pytest.Config) -> Lock | None:
    """What the run is held to; a run that writes the file is held to nothing."""
    path, update = config.getoption("--lock"), config.getoption("--update-lock")
    return Lock.read(path) if path is not None and not update else None


def _sharding(config: pytest.Config, plan: Plan, work: Work) -> Sharding | None:
    """What leaves the run its shard, under --shard."""
    shard = config.getoption("--shard")
    if shard is None:
        return None
    if update := [f"--update-{what}" for what in ("baseline", "lock") if config.getoption(f"--update-{what}")]:
        raise pytest.UsageError(f"{update[0]}: a shard is no whole run; give it to python -m medrival merge")
    return Sharding(shard, plan, work)


def _baseline(config: pytest.Config) -> Baseline | None:
    """The earlier run; one that cannot serve ends this one before it begins, unless this run replaces it."""
    file, update = config.getoption("--baseline"), config.getoption("--update-baseline")
    if update and file is None:
        raise pytest.UsageError("--update-baseline needs --baseline FILE: where to write")
    if file is not None and file.resolve().parent == config.getoption("--report-dir").resolve():
        raise pytest.UsageError(f"--baseline {file}: this run's report goes there; keep a baseline in a folder of its own")
    return None if file is None or (update and not file.exists()) else Baseline.read(file)


def _gates(config: pytest.Config, plan: Plan, rows: Catalog, baseline: Baseline | None) -> Gates | None:
    """The run's gates, or None."""
    paths, update = config.getoption("--gate"), config.getoption("--update-baseline")
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
    claims = Claims(config.getoption("--candidate-kind"), rival or "", None if saw is None else names(saw), thinking)
    return entered(rows, paths, claims, config.getoption("--assets"))


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
    return ["", *overview([known_here(model, config.getoption("--assets")) for model in models.values()])]


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
