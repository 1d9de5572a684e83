"""Collects what the cases measured, from xdist workers too, and writes the reports at the end of the session."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from medrival import lock
from medrival.case import Case, Comparison, Outcome
from medrival.errors import GateFailed, MedrivalError
from medrival.gates import Gates, Judgement
from medrival.integrity import Audit, audit_from
from medrival.merge import SHARDS
from medrival.plan import Plan, identity, ours
from medrival.reports import published
from medrival.reports.against import against
from medrival.reports.environment import environment
from medrival.reports.github import append_summary
from medrival.reports.integrity import beside, unaudited
from medrival.reports.record import AuditRecord, CaseRecord, PairRecord, Run, Status, corrected
from medrival.reports.recorded import case_record, measured_record, pair_record
from medrival.reports.summary import summary
from medrival.shards import Sharding
from medrival.store import Store, outcome_from

PASSABLE = (pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED)
NOT_REACHED = "not reached: the run was stopped before"
COMPARED = pytest.StashKey[Mapping[str, Outcome]]()
MEASURED = pytest.StashKey[Outcome | Comparison | Audit]()
JUDGED = pytest.StashKey[Sequence[Judgement]]()


class Recorder:
    """Attaches measurements to test reports where cases run; turns all test reports into the run's reports."""

    def __init__(
        self, config: pytest.Config, plan: Plan, store: Store, gates: Gates | None, sharding: Sharding | None = None
    ) -> None:
        self._config = config
        self._plan = plan
        self._store = store
        self._gates = gates
        self._sharding = sharding
        self._merged = config.stash.get(SHARDS, None)
        self._judged: list[Judgement] = []
        self._started = datetime.now(UTC)
        self._clock = time.monotonic()
        self._cases: dict[str, CaseRecord] = {}
        self._pairs: dict[str, PairRecord] = {}
        self._audits: dict[str, AuditRecord] = {}
        self._collected: set[str] = set()
        self._from_before: set[str] = set()
        self._lines: list[str] = []

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Where the case runs: attach what it measured; show an expected failure as its message alone."""
        report = yield
        if not ours(item):
            return report
        if call.excinfo is not None and isinstance(call.excinfo.value, MedrivalError):
            report.longrepr = str(call.excinfo.value)
        measured = item.stash.get(MEASURED, None)
        attached = self._portable(measured) if call.when == "call" and measured is not None else {}
        compared = item.stash.get(COMPARED, {}) if attached else {}
        attached["cases"] = {name: self._portable(outcome) for name, outcome in compared.items()}
        attached["gates"] = [asdict(judgement) for judgement in item.stash.get(JUDGED, ())] if call.when == "call" else []
        attached["broken"] = call.excinfo is not None and isinstance(call.excinfo.value, GateFailed)
        report.medrival = attached  # type: ignore[attr-defined]  # xdist carries a report's attributes to the controller
        return report

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Note what is going to run."""
        self._collected.update(identity(item.nodeid) for item in session.items if ours(item))

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: object, ids: list[str]) -> None:  # noqa: ARG002 - pytest names them
        """Note what is going to run in workers."""
        self._collected.update(identity(nodeid) for nodeid in ids if nodeid.partition("::")[2].startswith("test_"))

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """In the process that reports: note what became of the case. A crashed worker's case arrives here as failed."""
        crashed = report.when not in ("setup", "call", "teardown")
        measured = getattr(report, "medrival", {} if crashed else None)
        held = report.passed or (measured or {}).get("broken", False)  # a case that breaks a gate was measured
        status: Status = "measured" if held else "skipped" if report.skipped else "failed"
        if measured is None or (status == "measured" and not any(measured.values())):
            return
        for case, outcome in measured.get("cases", {}).items():  # a pair that runs alone brings its cases along
            if case in self._plan.cases and case not in self._cases:
                self._cases[case] = self._case(self._plan.cases[case], "measured", "", outcome)
        self._judged += [Judgement(**judgement) for judgement in measured.get("gates", ())]
        name = identity(report.nodeid)
        reason = "" if status == "measured" else _reason(report)
        if name in self._plan.cases:
            self._cases[name] = self._case(self._plan.cases[name], status, reason, measured)
        elif name in self._plan.pairs:
            self._pairs[name] = pair_record(
                self._plan.pairs[name], self._plan.suite.margin, status, reason, measured.get("comparison", {})
            )
        elif name in self._plan.tasks:
            found = audit_from(measured["audit"]) if "audit" in measured else None
            self._audits[name] = AuditRecord(name, status, reason, found)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        """Settle the gates and write the reports; where a gate does not hold or a report cannot be written, the run fails."""
        idle = not (self._cases or self._pairs or self._audits or self._gates or self._sharding)
        if idle or self._config.option.collectonly or hasattr(self._config, "workerinput"):
            return
        if self._sharding and exitstatus == pytest.ExitCode.NO_TESTS_COLLECTED:  # others have cases; a merge knows
            session.exitstatus = exitstatus = pytest.ExitCode.OK
        if self._merged and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = exitstatus = self._merged.exit_status
        self._note_what_was_not_reached()
        judgements = self._settled()
        if exitstatus in PASSABLE and not all(judgement.holds for judgement in judgements):
            session.exitstatus = exitstatus = pytest.ExitCode.TESTS_FAILED
        run = self._run(int(exitstatus), judgements)
        lost = self._written(run)
        alone = bool(self._config.getoption("--candidate")) and self._config.getoption("--rival") is None
        self._lines = summary(run, verbose=self._config.get_verbosity() > 0, alone=alone)
        if self._from_before:
            self._lines.insert(1, f"  {len(self._from_before)} of them were in the store from an earlier run")
        if self._config.getoption("--drop-leaked") and (tasks := unaudited(run.cases, run.audits)):
            self._lines.insert(-1, f"  --drop-leaked: not audited in this run: {', '.join(tasks)}; select test_integrity, too")
        if lost:
            self._lines[-1] = f"ERROR: {lost}"  # there is no page to point to
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        if not all([self._new_baseline(run), self._new_lock(run)]):
            session.exitstatus = session.exitstatus or pytest.ExitCode.TESTS_FAILED
        self._summarise_job(run)
        with suppress(OSError):
            self._store.prune()

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """End with the answer."""
        for line in self._lines:
            terminalreporter.write_line(line)

    def _written(self, run: Run) -> str:
        """Write report.json, which no fault of the page may cost, and the page; return why one of them is not there, or ""."""
        from medrival.reports.html import write_html
        from medrival.reports.json_report import write_json
        from medrival.reports.pictures import Pictures

        try:
            path = write_json(run)
        except MedrivalError as error:
            return str(error)
        cards = self._plan.tasks
        images = Pictures(cards, self._config.getoption("--assets"), self._store.scratch, run.fingerprints)
        try:
            write_html(run, images, {name for name, card in cards.items() if card.redistribute})
        except MedrivalError as error:
            return str(error)
        except Exception as error:  # a fault of ours must not cost the summary, the baseline and the lock, too
            again = f"python -m medrival report {run.report_dir}"
            return f"{path} was written, report.html was not ({type(error).__name__}: {error}); {again} tries again"
        return ""

    def _new_baseline(self, run: Run) -> bool:
        """Write the baseline where one was asked for; False where that cannot be."""
        from medrival.reports.baseline import write_baseline

        return self._updated("baseline", lambda path: write_baseline(path, run, self._plan.cases))

    def _new_lock(self, run: Run) -> bool:
        """Write the lock file where one was asked for; False where that cannot be."""
        models = {case.model: case.notes["weights"] for case in run.cases if "weights" in case.notes}
        return self._updated("lock", lambda path: lock.updated(path, models, run.fingerprints))

    def _updated(self, what: str, write: Callable[[Path], object]) -> bool:
        """Write the file that an option names where --update-... asks for it; False where that cannot be."""
        if not self._config.getoption(f"--update-{what}"):
            return True
        path = self._config.getoption(f"--{what}")
        try:
            write(path)
        except MedrivalError as error:
            self._lines.append(f"ERROR: {error}")
            return False
        self._lines.append(f"{what}: {path}")
        return True

    def _summarise_job(self, run: Run) -> None:
        """Add to the page of a GitHub job where this is one; that page lost is no result lost."""
        path = os.environ.get("GITHUB_STEP_SUMMARY")
        if path:
            try:
                append_summary(Path(path), run)
            except OSError as error:
                self._lines.append(f"the job summary {path} cannot be written: {error.strerror or error}")

    def _note_what_was_not_reached(self) -> None:
        """A run that was stopped must not read like a whole one."""
        for name in self._collected:
            if name in self._plan.cases and name not in self._cases:
                self._cases[name] = self._case(self._plan.cases[name], "skipped", NOT_REACHED, {})
            elif name in self._plan.pairs and name not in self._pairs:
                self._pairs[name] = pair_record(self._plan.pairs[name], self._plan.suite.margin, "skipped", NOT_REACHED)
            elif name in self._plan.tasks and name not in self._audits:
                self._audits[name] = AuditRecord(name, "skipped", NOT_REACHED)

    def _portable(self, measured: Outcome | Comparison | Audit) -> dict[str, Any]:
        """Plain values that xdist can carry; a stored outcome travels as its key alone."""
        if isinstance(measured, Comparison):
            return {"comparison": asdict(measured)}
        if isinstance(measured, Audit):
            return {"audit": asdict(measured)}
        if self._store.outcome(measured.key) == measured:
            return {"key": measured.key}
        return {"outcome": asdict(measured)}

    def _case(self, case: Case, status: Status, reason: str, measured: Mapping[str, Any]) -> CaseRecord:
        if status != "measured":
            return case_record(case, status, reason)
        outcome = self._outcome(measured)
        if outcome is None:
            return case_record(case, "failed", "its outcome was deleted from the store during the run")
        if "key" in measured and self._store.measured_at(measured["key"]) < self._started.timestamp():
            self._from_before.add(case.id)
        return measured_record(case, outcome)

    def _outcome(self, measured: Mapping[str, Any]) -> Outcome | None:
        return self._store.outcome(measured["key"]) if "key" in measured else outcome_from(measured["outcome"])

    def _settled(self) -> tuple[Judgement, ...]:
        records: list[CaseRecord | PairRecord] = [*self._cases.values(), *self._pairs.values()]
        fates = {record.id: (record.status, record.reason) for record in records}
        fates |= {record.task: (record.status, record.reason) for record in self._audits.values()}
        return self._gates.settle(self._judged, fates) if self._gates else ()

    def _run(self, exit_status: int, gates: tuple[Judgement, ...]) -> Run:
        audits = tuple(self._audits[name] for name in self._plan.tasks if name in self._audits)
        measured = [self._cases[name] for name in self._plan.cases if name in self._cases]
        cases = beside(measured, audits, drop_leaked=self._config.getoption("--drop-leaked"))
        parts = self._merged.about if self._merged else ()
        run = Run(
            started=min((part["started"] for part in parts), default=self._started.isoformat(timespec="seconds")),
            seconds=sum(part["seconds"] for part in parts) if parts else time.monotonic() - self._clock,
            suite=self._plan.suite.name,
            argv=tuple(self._config.invocation_params.args),
            exit_status=exit_status,
            cases=cases,
            pairs=corrected([self._pairs[name] for name in self._plan.pairs if name in self._pairs]),
            report_dir=self._config.getoption("--report-dir"),
            gates=gates,
            published=published.beside(cases, self._plan.cases),
            audits=audits,
            shard=self._sharding.about(self._config) if self._sharding else None,
            shards=tuple(parts),
            environment=environment(),
            not_planned=self._plan.refused,
        )
        baseline = self._config.getoption("--baseline")
        if self._sharding:  # it needs the baseline's durations; a merge compares the whole
            return run
        known = baseline is not None and baseline.exists()  # --update-baseline may be about to write the first
        return replace(run, baseline=against(baseline, run, self._plan.suite.margin)) if known else run


def _reason(report: pytest.TestReport) -> str:
    """What a person needs to know of a failure or skip: the message, or the last line of a traceback."""
    if isinstance(report.longrepr, tuple):
        return report.longrepr[2].removeprefix("Skipped: ")
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr).strip()
