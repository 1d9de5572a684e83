"""A worker that is killed costs its case; what nobody runs then is listed, fails a gate, and runs when the run is resumed."""

from pathlib import Path

import pytest

pytest.importorskip("xdist")

KILLED = "pocket-medclip-phantom-chest-zero-shot"
SMALL = ("--models", "pocket-*clip", "--tasks", "phantom-chest", "--regimes", "zero-shot,linear-probe", "-k", "test_diagnosis")


@pytest.fixture
def killer(tmp_path) -> Path:
    """A folder with a plugin that kills the worker in the middle of a case, with SIGKILL, as a system short of memory does."""
    (tmp_path / "killer.py").write_text(
        "import os, signal, pytest\n"
        "@pytest.hookimpl(wrapper=True)\n"
        "def pytest_runtest_call(item):\n"
        f"    if '[{KILLED}]' in item.nodeid: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return (yield)\n"
    )
    (tmp_path / "gates.toml").write_text('[[gate]]\nname = "above nothing"\ncases = "*"\nat-least = 0.01\n')
    return tmp_path


def statuses(report: dict) -> dict[str, str]:
    return {case["id"]: case["status"] for case in report["cases"]}


def test_its_case_fails_the_others_are_measured_and_a_resumed_run_measures_that_case_alone(study, killer):
    crashed = study(*SMALL, "--limit", "12", "-p", "killer", "-n", "2", PYTHONPATH=str(killer))
    assert crashed.status == 1
    found = {case["id"]: case for case in crashed.report["cases"]}
    assert len(found) == 4
    assert {name for name, case in found.items() if case["status"] != "measured"} == {KILLED}
    assert "crashed" in found[KILLED]["reason"]
    stored = {path: path.stat().st_mtime_ns for path in (killer / "store").glob("outcomes/*/*.json")}
    assert len(stored) >= 3
    resumed = study(*SMALL, "--limit", "12", "-n", "2")
    assert resumed.status == 0, resumed.output
    assert set(statuses(resumed.report).values()) == {"measured"}
    assert {path: path.stat().st_mtime_ns for path in stored} == stored, "nothing is measured twice"


@pytest.mark.parametrize("workers", ["1", "2"])
def test_without_another_worker_what_did_not_run_is_listed_and_fails_its_gate(study, killer, workers):
    arguments = ("-p", "killer", "-n", workers, "--max-worker-restart", "0", "--gate", str(killer / "gates.toml"))
    crashed = study(*SMALL, "--limit", "12", *arguments, PYTHONPATH=str(killer))
    assert crashed.status != 0
    found = {case["id"]: (case["status"], case["reason"]) for case in crashed.report["cases"]}
    assert len(found) == 4
    assert found[KILLED][0] == "failed"
    lost = {name for name, (status, _) in found.items() if status != "measured"}
    assert {found[name] for name in lost - {KILLED}} <= {("skipped", "not reached: the run was stopped before")}
    assert lost > {KILLED} or workers == "2", "one worker leaves what came behind; of two, the other may take it"
    gates = {gate["case"]: (gate["holds"], gate["explanation"]) for gate in crashed.report["gates"]}
    assert {name for name, (_, said) in gates.items() if said.startswith("it was not measured")} == lost
    assert not any(gates[name][0] for name in lost)
