"""Gates as a user meets them: real runs of the pocket suite that pass or fail for them."""

import io
import json
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import Study, command, surroundings

ROOT = Path(__file__).parents[2]
GENERAL, MEDICAL = "pocket-clip-phantom-chest-zero-shot", "pocket-medclip-phantom-chest-zero-shot"
PAIR = "pocket-clip~pocket-medclip-phantom-chest-zero-shot"
SMALL = ("--models", "pocket-*clip", "--tasks", "phantom-chest", "--regimes", "zero-shot")

GATES = f"""
[[gate]]
name = "above nothing"
cases = "pocket-*"
at-least = 0.01
[[gate]]
name = "perfect"
cases = "{GENERAL}"
at-least = 0.999
[[gate]]
name = "cheap"
cases = "*"
cost = "trainable_parameters"
at-most = 10
[[gate]]
name = "keeps up"
cases = "{GENERAL}"
not-worse-than = {{ model = "pocket-medclip", margin = 0.01 }}
[[gate]]
name = "ahead"
cases = "{MEDICAL}"
not-worse-than = {{ model = "pocket-clip", margin = 0.01 }}
[[gate]]
name = "no regression"
cases = "pocket-*"
no-regression-from = "baseline"
margin = 0.01
[[gate]]
name = "rivals"
pairs = "*"
verdict = ["general wins", "equivalent"]
[[gate]]
name = "everything ran"
required = "*"
"""
HOLD = {"above nothing", "cheap", "ahead", "no regression", "everything ran"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, drawn) -> Path:
    """One store for all runs of this file, with a gate file and a baseline that the first of them wrote."""
    folder = tmp_path_factory.mktemp("gates")
    (folder / "store").mkdir()
    (folder / "store" / "tasks").symlink_to(drawn)
    (folder / "gates.toml").write_text(GATES)
    written = inline(folder, *SMALL, "--baseline", folder / "before" / "report.json", "--update-baseline")
    assert written.status == 0, written.output
    return folder


def run(folder: Path, *arguments: object, **environment: str) -> Study:
    (folder / "empty").mkdir(exist_ok=True)
    done = subprocess.run(
        command(folder, *map(str, arguments)),
        cwd=folder / "empty",
        env=surroundings(**environment),
        capture_output=True,
        text=True,
        check=False,
    )
    return Study(done.returncode, done.stdout + done.stderr, folder)


def inline(folder: Path, *arguments: object) -> Study:
    """The same in this process, which is quicker where nothing is to be measured."""
    (folder / "empty").mkdir(exist_ok=True)
    said = io.StringIO()
    with chdir(folder / "empty"), redirect_stdout(said), redirect_stderr(said):
        status = pytest.main(command(folder, *map(str, arguments))[3:])
    return Study(int(status), said.getvalue(), folder)


def gated(folder: Path) -> tuple[object, ...]:
    """The arguments of a small study that is held to all gates."""
    return (*SMALL, "--gate", folder / "gates.toml", "--baseline", folder / "before" / "report.json")


def properties(path: Path) -> dict[str, dict[str, str]]:
    """By case, the properties of a JUnit file."""
    return {
        case.attrib["name"].partition("[")[2].removesuffix("]"): {
            p.attrib["name"]: p.attrib["value"] for p in case.iter("property")
        }
        for case in ElementTree.parse(path).iter("testcase")  # noqa: S314 - our own file
    }


@pytest.fixture(scope="module")
def done(folder) -> Study:
    arguments = ("--junitxml", folder / "junit.xml", "-o", "junit_family=xunit1")
    return run(folder, *gated(folder), *arguments, GITHUB_STEP_SUMMARY=str(folder / "job.md"))


def test_a_broken_gate_fails_its_case_with_one_sentence_and_the_case_stays_measured(done):
    assert done.status == 1
    assert {case["id"]: case["status"] for case in done.report["cases"]} == {GENERAL: "measured", MEDICAL: "measured"}
    assert [pair["verdict"] for pair in done.report["pairs"]] == ["medical wins"]
    assert "2 failed, 2 passed" in done.output, "the general model's case and the pair; the audit has no gate"
    failures, _, _ = done.output.partition("short test summary info")  # which repeats them, whole where CI is set
    said = [line for line in failures.splitlines() if line.startswith("FAILED gate")]
    assert [line.partition(":")[0] for line in said] == [
        "FAILED gate 'perfect'",
        "FAILED gate 'keeps up'",
        "FAILED gate 'rivals'",
    ]
    assert "on 238 samples must be at least 0.999, and its whole interval is below that" in said[0]
    assert "below pocket-medclip (margin 0.01; 90% interval of the difference [-0." in said[1]
    assert "Error" not in done.output


def test_the_report_lists_every_gate_and_follows_the_schema(done):
    jsonschema.validate(done.report, json.loads((ROOT / "reports" / "report.schema.json").read_text()))
    assert done.report["run"]["exit_status"] == 1
    gates = done.report["gates"]
    assert {gate["name"] for gate in gates if gate["holds"]} == HOLD
    assert {(gate["name"], gate["case"], gate["pair"]) for gate in gates if not gate["holds"]} == {
        ("perfect", GENERAL, None),
        ("keeps up", GENERAL, None),
        ("rivals", None, PAIR),
    }
    (perfect,) = [gate for gate in gates if gate["name"] == "perfect"]
    measured = next(case for case in done.report["cases"] if case["id"] == GENERAL)["metrics"]["auroc"]
    assert (perfect["measured"], perfect["required"], perfect["status"]) == (measured["value"], 0.999, "failed")


def test_an_unchanged_run_has_not_regressed_from_the_baseline_it_wrote(done, folder):
    found = [gate for gate in done.report["gates"] if gate["name"] == "no regression"]
    assert [(gate["case"], gate["status"]) for gate in found] == [(GENERAL, "passed"), (MEDICAL, "passed")]
    before = json.loads((folder / "before" / "report.json").read_text())
    assert all((folder / "before" / case["predictions"]).is_file() for case in before["cases"])


def test_terminal_page_and_job_summary_tell_the_gates(done, folder):
    assert "Gates: 5 of 8 hold" in done.output
    page = (folder / "report" / "report.html").read_text()
    job = (folder / "job.md").read_text()
    assert ">Gates</h2>" in page
    assert "### Gates" in job
    for gate in done.report["gates"]:
        assert gate["name"] in page
        assert gate["name"] in job


def test_junit_has_metrics_and_gates_as_properties(done, folder):
    cases = properties(folder / "junit.xml")
    auroc = next(case for case in done.report["cases"] if case["id"] == GENERAL)["metrics"]["auroc"]
    assert [float(cases[GENERAL][name]) for name in ("auroc", "auroc.low", "auroc.high")] == [
        auroc["value"],
        auroc["low"],
        auroc["high"],
    ]
    assert cases[GENERAL]["gate perfect"].startswith("failed: auroc 0.")
    assert cases[MEDICAL]["gate cheap"] == "passed: trainable_parameters 0 is at most 10"
    assert cases[PAIR]["verdict"] == "medical wins"


def test_two_workers_decide_the_same(done, folder):
    parallel = run(folder, *gated(folder), "-n", "2", "--junitxml", folder / "parallel.xml", "--report-dir", folder / "report2")
    report = json.loads((folder / "report2" / "report.json").read_text())
    assert parallel.status == 1
    assert report["gates"] == done.report["gates"]
    assert {name: set(case) for name, case in properties(folder / "parallel.xml").items()} == {
        name: set(case) for name, case in properties(folder / "junit.xml").items()
    }


def test_stored_outcomes_are_decided_anew_without_a_model(done, folder):
    (folder / "lenient.toml").write_text(f'[[gate]]\nname = "sees"\ncases = "{GENERAL}"\nat-least = 0.2\n')
    arguments = command(folder, *SMALL, "--gate", str(folder / "lenient.toml"), "--report-dir", str(folder / "report3"))[3:]
    code = (
        "import sys, pytest\n"
        "class Spy:\n"
        "    def pytest_unconfigure(self): print(*(name in sys.modules for name in ('torch', 'transformers')))\n"
        f"sys.exit(pytest.main({arguments!r}, plugins=[Spy()]))"
    )
    again = subprocess.run(
        [sys.executable, "-c", code], cwd=folder / "empty", env=surroundings(), capture_output=True, text=True, check=False
    )
    assert again.returncode == 0, again.stdout
    assert "2 of them were in the store from an earlier run" in again.stdout
    assert again.stdout.splitlines()[-1] == "False False"


def test_a_case_that_is_not_selected_fails_the_gates_that_are_about_it(folder):
    left_out = inline(
        folder, *gated(folder), "-k", "pocket-medclip-phantom and not rivalry", "--report-dir", folder / "report4"
    )
    assert left_out.status == 1
    assert "1 passed" in left_out.output
    gates = json.loads((folder / "report4" / "report.json").read_text())["gates"]
    lost = {gate["case"]: gate["explanation"] for gate in gates if gate["name"] == "above nothing" and not gate["holds"]}
    assert lost == {GENERAL: "it was not measured (missing): it was not selected"}
    (ran,) = [gate for gate in gates if gate["name"] == "everything ran"]
    assert ran["explanation"].startswith("1 of 3 required cases and pairs were measured; missing: ")


def test_a_run_of_nothing_passes_no_gate(folder):
    nothing = inline(folder, *gated(folder), "-k", "nothing_is_called_so", "--report-dir", folder / "report5")
    assert nothing.status == 1
    report = json.loads((folder / "report5" / "report.json").read_text())
    assert not any(gate["holds"] for gate in report["gates"])


def test_under_a_limit_nothing_passes_and_no_baseline_is_written(folder):
    before = (folder / "before" / "report.json").read_bytes()
    arguments = ("--limit", "12", "--update-baseline", "--report-dir", folder / "report6", "-k", "pocket-clip-phantom")
    limited = inline(folder, *gated(folder), *arguments)
    assert limited.status == 1
    gates = json.loads((folder / "report6" / "report.json").read_text())["gates"]
    assert not any(gate["holds"] for gate in gates)
    assert "was not written, for this run is not whole: it is limited to 12 samples" in limited.output
    assert (folder / "before" / "report.json").read_bytes() == before


def test_a_change_is_accepted_by_update_baseline_where_the_old_one_cannot_be_compared_with(folder, tmp_path):
    path = tmp_path / "before" / "report.json"
    shutil.copytree(folder / "before", path.parent)
    old = json.loads(path.read_text())
    for case in old["cases"]:
        case["metrics"]["auroc"]["value"] -= 0.01  # as computed in another way
    path.write_text(json.dumps(old))
    arguments = (*SMALL, "--gate", folder / "gates.toml", "--baseline", path, "--report-dir", folder / "report9")
    refused = inline(folder, *arguments)
    assert refused.status == pytest.ExitCode.USAGE_ERROR
    assert "auroc is computed in another way since" in refused.output
    updated = inline(folder, *arguments, "--update-baseline")
    gates = json.loads((folder / "report9" / "report.json").read_text())["gates"]
    said = [gate["explanation"] for gate in gates if gate["name"] == "no regression" and gate["status"] == "failed"]
    assert len(said) == 2
    assert all("it cannot be judged: --baseline" in one for one in said)
    assert f"baseline: {path}" in updated.output
    assert inline(folder, *arguments).status == 1, "other gates fail, and no option is wrong"


def test_missing_data_fails_under_a_gate_instead_of_being_skipped(folder):
    (folder / "real.toml").write_text('[[gate]]\nname = "answers"\ncases = "*"\nat-least = 0.1\n')
    selected = ("--models", "pocket-llava", "--tasks", "vqa-rad", "--regimes", "zero-shot")
    missing = inline(folder, *selected, "--gate", folder / "real.toml", "--report-dir", folder / "report7")
    assert missing.status == 1
    report = json.loads((folder / "report7" / "report.json").read_text())
    assert [case["status"] for case in report["cases"]] == ["failed"]
    assert [gate["status"] for gate in report["gates"]] == ["failed"]
    assert "--assets DIR" in report["gates"][0]["explanation"]


def test_a_case_whose_worker_crashed_fails_its_gate(folder, tmp_path):
    (tmp_path / "killer.py").write_text(
        "import os\n"
        "def pytest_runtest_setup(item):\n"
        f"    if '{GENERAL}' in item.nodeid and '~' not in item.nodeid: os.kill(os.getpid(), 9)\n"
    )
    (folder / "crash.toml").write_text('[[gate]]\nname = "above nothing"\ncases = "pocket-*"\nat-least = 0.01\n')
    arguments = ("-p", "killer", "-n", "1", *SMALL, "--gate", folder / "crash.toml", "--report-dir", folder / "report8")
    crashed = run(folder, *arguments, PYTHONPATH=str(tmp_path))
    assert crashed.status == 1
    gates = json.loads((folder / "report8" / "report.json").read_text())["gates"]
    said = {gate["case"]: (gate["holds"], gate["explanation"]) for gate in gates}
    assert said[MEDICAL][0]
    assert not said[GENERAL][0]
    assert said[GENERAL][1].startswith("it was not measured (failed)")
    assert "it was not measured (failed)" in " ".join(crashed.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--gate", "none.toml"), "--gate none.toml: not a readable TOML file"),
        (("--gate", "gates.toml"), "a gate against regression needs --baseline FILE"),
        (("--baseline", "none.json"), "--baseline none.json: cannot be read (No such file or directory)"),
        (("--update-baseline",), "--update-baseline needs --baseline FILE"),
        (("--baseline", "report/report.json", "--report-dir", "report"), "this run's report goes there"),
        (("--baseline", "a.json", "--baseline", "b.json"), "--baseline b.json: there is a --baseline a.json before"),
        (("--gate", "more.toml", "--gate", "gates.toml"), "a gate against regression needs --baseline FILE"),
        (("--gate", "gates.toml", "--gate", "more.toml"), "a gate against regression needs --baseline FILE"),
        (("--gate", "more.toml", "--gate", "more.toml"), "is a second gate of that name"),
        (("--baseline", "damaged.json", "--update-baseline"), "delete this one with its folder predictions/ and write it anew"),
    ],
)
def test_a_wrong_option_is_one_clear_error_before_anything_runs(tmp_path, arguments, message):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "gates.toml").write_text(GATES)
    (tmp_path / "empty" / "more.toml").write_text('[[gate]]\nname = "all"\nrequired = "*"\n')
    (tmp_path / "empty" / "damaged.json").write_text("{")
    refused = inline(tmp_path, *SMALL, *arguments)
    assert refused.status == pytest.ExitCode.USAGE_ERROR
    assert message in refused.output
    assert "Traceback" not in refused.output
