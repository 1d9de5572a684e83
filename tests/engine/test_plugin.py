"""The suite as a user starts it: options, collection, workers, resuming, and what ends in the reports."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import jsonschema
import pytest

from tests.conftest import SHARED, Study, command, surroundings
from tests.reports.screen import in_terminal

SMALL = ("--limit", "24", "--tasks", "phantom-chest,phantom-fundus", "--models", "pocket-*clip")
ROOT = Path(__file__).parents[2]
ANATOMIES = ("chest", "histology", "dermoscopy", "fundus")


def collected(study: Study) -> list[str]:
    return [line.partition("[")[2].removesuffix("]") for line in study.output.splitlines() if "::" in line]


def test_collecting_imports_no_torch(tmp_path):
    code = (
        "import sys, pytest\n"
        "class Spy:\n"
        "    def pytest_unconfigure(self): print(*(name in sys.modules for name in ('torch', 'transformers', 'sklearn')))\n"
        "pytest.main(['-p', 'medrival.plugin', '--pyargs', 'medrival.benchmarks', '--collect-only', '-q'], plugins=[Spy()])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False False False"
    assert "77 tests collected" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("-k", "lora and fundus-lora and pocket-clip-"), {"pocket-clip-phantom-fundus-lora"}),
        (("-m", "ood and linear_probe and medical and not rivalry"), {"pocket-medclip-phantom-fundus-linear-probe"}),
        (
            ("--models", "pocket-medclip", "--tasks", "phantom-chest", "--regimes", "zero-shot,lora", "--seeds", "0,2"),
            {
                "pocket-medclip-phantom-chest-zero-shot",
                "pocket-medclip-phantom-chest-lora",
                "pocket-medclip-phantom-chest-lora-seed2",
                "phantom-chest",
            },
        ),
        (("-m", "integrity", "--tasks", "phantom-*-vqa"), {f"phantom-{one}-vqa" for one in ANATOMIES}),
        (
            ("-m", "rivalry and ood", "--models", "pocket-*clip"),
            {
                "pocket-clip~pocket-medclip-phantom-fundus-linear-probe",
                "pocket-clip~pocket-medclip-phantom-fundus-lora",
            },
        ),
    ],
)
def test_cases_are_selected_by_name_mark_and_option(study, arguments, expected):
    assert set(collected(study("--collect-only", "-q", *arguments))) == expected


def test_cases_are_listed_for_another_machine(study):
    assert collected(study("--collect-only", "-q", "--device", "cuda:99", "-k", "fundus-lora and pocket-clip-"))


def test_a_kind_of_which_nothing_is_selected_leaves_no_placeholder(study):
    done = study("--collect-only", "-q", "--tasks", "phantom-chest-vqa", "--models", "pocket-llava")
    assert "NOTSET" not in done.output
    assert len(collected(done)) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--models", "pocket-clipp"), "unknown model 'pocket-clipp'. Did you mean 'pocket-clip'"),
        (("--tasks", "phantom-lung"), "unknown task 'phantom-lung'. Did you mean"),
        (("--regimes", "loora"), "unknown regime 'loora'. Did you mean 'lora'"),
        (("--suite", "pocked"), "unknown suite 'pocked'. Did you mean 'pocket'"),
        (("--seeds", "one"), "--seeds one: seeds are whole numbers"),
        (("--seeds", "-1"), "--seeds -1: seeds are whole numbers"),
        (("--models", ""), "the selection holds no case"),
        (("--models", "pocket-clip", "--tasks", "vqa-rad"), "the selection holds no case"),
        (("--limit", "0"), "'0' is not a whole number of at least 1"),
        (("--catalog", "missing.toml"), "missing.toml: there is no such file"),
        (("--assets", "nowhere"), "--assets nowhere: there is no such folder"),
        (("--store", f"{__file__}/below"), f"--store {__file__}/below: no folder can be made there: Not a directory"),
        (("--device", "toaster"), "--device toaster"),
        (("--device", "mps:1"), "--device mps:1: it must be auto, cpu, cuda, cuda:N or mps"),
        (("--device", "cuda:99", "-n", "2"), "--device cuda:99: this machine has no such device; torch finds cpu"),
    ],
)
def test_a_wrong_option_is_one_clear_error(study, arguments, message):
    done = study(*arguments)
    assert done.status == pytest.ExitCode.USAGE_ERROR
    assert done.output.count(message) == 1
    assert "Traceback" not in done.output


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> Study:
    """A small study on one process."""
    folder = tmp_path_factory.mktemp("serial")
    (folder / "empty").mkdir()
    done = subprocess.run(
        command(folder, *SMALL), cwd=folder / "empty", env=surroundings(), capture_output=True, text=True, check=False
    )
    return Study(done.returncode, done.stdout + done.stderr, folder)


def test_a_study_measures_every_case_and_pair_and_says_the_answer(serial):
    assert serial.status == 0, serial.output
    report = serial.report
    assert len(report["cases"]) == 2 * 2 * 3
    assert all(case["status"] == "measured" and case["notes"]["limit"] == 24 for case in report["cases"])
    jsonschema.validate(report, json.loads((ROOT / "reports" / "report.schema.json").read_text()))
    assert {pair["question"] for pair in report["pairs"]} == {1, 2, 3}
    assert "Does the general model rival the medical one?" in serial.output
    assert (serial.folder / "report" / "report.html").stat().st_size > 10_000
    for case in report["cases"]:
        lines = (serial.folder / "report" / case["predictions"]).read_text().splitlines()
        assert len(lines) == case["n"] == 24


def test_a_second_run_measures_nothing_and_reports_the_same(serial, study, monkeypatch):
    again = study(*SMALL, "--report-dir", str(serial.folder / "again"), folder=serial.folder)
    first, second = serial.report, json.loads((serial.folder / "again" / "report.json").read_text())
    assert [case["cost"] for case in first["cases"]] == [case["cost"] for case in second["cases"]], "costs are the first run's"
    assert first["pairs"] == second["pairs"]
    assert again.status == 0


def test_two_workers_give_the_same_numbers_as_one_process(serial, study):
    parallel = study(*SMALL, "-n", "2")
    assert parallel.status == 0, parallel.output
    assert parallel.numbers == serial.numbers


def test_a_killed_run_goes_on_where_it_was_and_ends_in_the_same_report(serial, study, tmp_path):
    (tmp_path / "empty").mkdir()
    process = subprocess.Popen(
        command(tmp_path, *SMALL),
        cwd=tmp_path / "empty",
        env=surroundings(),
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )
    while len(stored := list((tmp_path / "store").glob("outcomes/*/*.json"))) < 2:
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.05)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    written = {path: path.stat().st_mtime_ns for path in stored}
    resumed = study(*SMALL)
    assert resumed.status == 0
    assert resumed.numbers == serial.numbers
    assert {path: path.stat().st_mtime_ns for path in stored} == written, "what was measured is not measured again"


def test_no_resume_measures_anew_and_each_case_once(study):
    arguments = ("--limit", "12", "--tasks", "phantom-chest", "--models", "pocket-*clip", "--regimes", "zero-shot")
    first = study(*arguments).report
    second = study(*arguments, "--no-resume").report
    assert [c["metrics"] for c in first["cases"]] == [c["metrics"] for c in second["cases"]]
    assert all(a["cost"] != b["cost"] for a, b in zip(first["cases"], second["cases"], strict=True))


def test_missing_data_skips_with_advice_or_fails_where_assets_are_strict(study):
    arguments = ("--limit", "12", "--tasks", "vqa-rad,phantom-chest-vqa", "--models", "pocket-llava", "--regimes", "zero-shot")
    lenient = study(*arguments)
    assert lenient.status == 0
    assert {c["id"]: c["status"] for c in lenient.report["cases"]} == {
        "pocket-llava-phantom-chest-vqa-zero-shot": "measured",
        "pocket-llava-vqa-rad-zero-shot": "skipped",
    }
    assert "1 skipped" in lenient.output
    assert "--assets DIR" in lenient.output
    strict = study(*arguments, "--strict-assets")
    assert strict.status == 1
    assert "1 failed" in strict.output


def test_a_broken_model_fails_its_cases_with_one_message_and_the_others_go_on(study, tmp_path):
    (tmp_path / "hollow").mkdir()
    rows = (
        '[models.hollow]\nkind = "medical"\ntype = "dual-encoder"\nfamily = "x"\nweights = "hollow"\n'
        'adapter = "medrival.models.dual_encoder:transformers"\n'
    )
    (tmp_path / "my.toml").write_text(rows)
    arguments = ("--models", "hollow,pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot", "--limit", "12")
    done = study("--catalog", str(tmp_path / "my.toml"), *arguments)
    assert done.status == 1
    assert {c["model"]: c["status"] for c in done.report["cases"]} == {"hollow": "failed", "pocket-clip": "measured"}
    assert "is no model directory: it has no config.json" in done.output
    assert "Traceback" not in done.output


def test_a_report_folder_that_cannot_be_written_fails_the_run_and_keeps_the_outcomes(study, tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "predictions").write_text("where a folder should be")
    arguments = ("--models", "pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot", "--limit", "12")
    done = study(*arguments, "--report-dir", str(tmp_path / "full"))
    assert done.status == 1
    assert "ERROR" in done.output
    assert "2 passed" in done.output
    assert len(list((tmp_path / "store").glob("outcomes/*/*.json"))) == 1
    assert study(*arguments).status == 0


def test_a_fault_in_the_page_costs_neither_report_json_nor_the_summary(study, tmp_path):
    (tmp_path / "faulty.py").write_text(
        "from medrival.reports import html\ndef _page(*_): raise KeyError('oops')\ndef pytest_configure(): html._page = _page\n"
    )
    arguments = ("--models", "pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot", "--limit", "12")
    done = study(*arguments, "-p", "faulty", PYTHONPATH=str(tmp_path))
    assert done.status == 1
    assert [case["status"] for case in done.report["cases"]] == ["measured"]
    assert "1 case measured" in done.output
    assert "report.json was written, report.html was not (KeyError: 'oops')" in done.output


def test_a_report_folder_that_cannot_be_made_is_refused_before_anything_runs(study, tmp_path):
    (tmp_path / "file").write_text("")
    done = study("--models", "pocket-clip", "--report-dir", str(tmp_path / "file" / "report"))
    assert done.status == 4
    assert f"{tmp_path / 'file'} is no folder; name another folder" in done.output


def test_a_store_that_cannot_be_written_costs_a_warning_and_no_result(study, tmp_path):
    (tmp_path / "store").mkdir()
    for part in ("outcomes", "features"):
        (tmp_path / "store" / part).write_text("where a folder should be")
    arguments = ("--models", "pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot", "--limit", "12")
    done = study(*arguments, "--store", str(tmp_path / "store"))
    assert done.status == 0, done.output
    assert [case["status"] for case in done.report["cases"]] == ["measured"]
    assert "cannot be written" in done.output


def test_a_crashed_worker_costs_its_case_alone(study, tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "killer.py").write_text(
        "import os, pytest\n"
        "def pytest_runtest_setup(item):\n"
        "    if 'pocket-clip-phantom-chest-linear-probe' in item.nodeid and '~' not in item.nodeid: os.kill(os.getpid(), 9)\n"
    )
    arguments = ("--models", "pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot,linear-probe", "--limit", "12")
    done = study("-p", "killer", "-n", "1", *arguments, PYTHONPATH=str(tmp_path))
    assert done.status == 1
    statuses = {c["regime"]: (c["status"], c["reason"]) for c in done.report["cases"]}
    assert statuses["zero-shot"][0] == "measured"
    assert statuses["linear-probe"][0] == "failed"
    assert "crashed" in statuses["linear-probe"][1]


def test_a_run_that_was_stopped_does_not_read_like_a_whole_one(study, tmp_path):
    stopped = study(*SMALL, "-p", "stopper", PYTHONPATH=str(stopper(tmp_path)))
    assert stopped.status != 0
    assert len(stopped.report["cases"]) == 12
    reasons = {case["reason"] for case in stopped.report["cases"] if case["status"] == "skipped"}
    assert reasons == {"not reached: the run was stopped before"}
    assert "not reached" in stopped.output


@pytest.mark.skipif(sys.platform == "win32", reason="it has no SIGTERM to handle")
@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_run_whose_time_is_up_writes_its_reports(study, tmp_path, workers):
    (tmp_path / "timeout.py").write_text(
        "import os, signal, time\n"
        "def pytest_configure(config):\n"
        "    if not hasattr(config, 'workerinput'): os.environ['WHOLE'] = str(os.getpid())\n"
        "def pytest_runtest_teardown(item):\n"
        "    if 'test_diagnosis' in item.nodeid:\n"
        "        os.kill(int(os.environ['WHOLE']), signal.SIGTERM)\n"
        "        time.sleep(1)\n"
    )
    done = study(*SMALL, "-p", "timeout", "-n", workers, PYTHONPATH=str(tmp_path))
    assert done.status == pytest.ExitCode.INTERRUPTED
    told = done.report["cases"]
    assert {case["status"] for case in told} >= {"skipped"}
    assert {case["reason"] for case in told if case["status"] == "skipped"} == {"not reached: the run was stopped before"}
    assert "report: " in done.output


def stopper(folder: Path) -> Path:
    """A plugin that stops the run after its third test, as Ctrl-C would."""
    (folder / "stopper.py").write_text(
        "done = []\n"
        "def pytest_runtest_teardown(item):\n"
        "    done.append(item)\n"
        "    if len(done) == 3: item.session.shouldstop = 'enough'\n"
    )
    return folder


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_a_person_sees_the_progress_of_a_long_case(tmp_path):
    (tmp_path / "empty").mkdir()
    training = ("--models", "pocket-llava", "--tasks", "phantom-chest-vqa", "--regimes", "lora", "--limit", "48")
    found = {"PYTHONPATH": surroundings()["PYTHONPATH"]}
    _, seen = in_terminal(command(tmp_path, *training), tmp_path / "empty", 100, 24, found)
    assert "pocket-llava-phantom-chest-vqa-lora: epoch 1/4" in seen
    assert "2 passed" in seen


def test_tests_that_only_look_like_cases_write_no_report(tmp_path):
    (tmp_path / "test_alike.py").write_text(
        "import pytest\n@pytest.mark.parametrize('x', ['pocket-clip-phantom-chest-lora'])\ndef test_alike(x): assert x\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "medrival.plugin", "test_alike.py", "--report-dir", "report"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0
    assert not (tmp_path / "report").exists()


@pytest.mark.skipif(not (SHARED / "vqa_rad").is_dir(), reason="needs the real VQA-RAD beside the checkout")
def test_real_images_are_measured_with_the_overlap_of_train_and_test_reported(study):
    done = study(
        *("--assets", str(SHARED), "--tasks", "vqa-rad,vqa-rad-organ", "--regimes", "zero-shot,linear-probe"),
        *("--models", "pocket-clip,pocket-llava", "--limit", "60"),
    )
    assert done.status == 0, done.output
    cases = {case["id"]: case for case in done.report["cases"]}
    notes = cases["pocket-llava-vqa-rad-zero-shot"]["notes"]
    assert 0 < notes["test_images_in_train"] <= notes["test_images"] <= 60
    assert cases["pocket-clip-vqa-rad-organ-linear-probe"]["metrics"]["balanced_accuracy"]["value"] > 1 / 3


def test_rows_in_place_of_built_in_ones_and_words_that_nothing_else_has_are_told_once_at_the_head(study, tmp_path):
    row = 'kind = "medical"\ntype = "dual-encoder"\nfamily = "x"\nadapter = "x:y"\nweights = "x"\nbudget = "pocket"\n'
    (tmp_path / "my.toml").write_text(f"[models.pocket-medclip]\n{row}saw = ['Phantom histologi']\n")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "config.json").write_text('{"architectures": ["CLIPModel"]}')
    mine = ("--candidate", str(tmp_path / "mine"), "--candidate-saw", "ultrasond,ultrasound")
    done = study("--catalog", str(tmp_path / "my.toml"), *mine, "--collect-only")
    for line in (
        f"medrival: {tmp_path}/my.toml: [models.pocket-medclip] takes the place of the built-in row",
        "medrival: pocket-medclip: saw 'Phantom histologi', a modality of no task and no other model",
        "medrival: mine: saw 'ultrasond', a modality of no task and no other model; it has no effect. Did you mean 'ultra",
    ):
        assert done.output.count(line) == 1, done.output
    assert done.output.count("a modality of no task") == 2
