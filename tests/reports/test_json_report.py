"""report.json and the per-sample files."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

import medrival.reports
from medrival.contracts import Prediction
from medrival.errors import MedrivalError, ReportNotWritten
from medrival.reports.json_report import write_json
from medrival.reports.reading import read_run
from medrival.reports.record import CaseRecord, PairRecord, Run, plain

SCHEMA = json.loads((Path(medrival.reports.__path__[0]) / "report.schema.json").read_text())


def written(run: Run) -> dict[str, Any]:
    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is no JSON")

    report: dict[str, Any] = json.loads(write_json(run).read_text(encoding="utf-8"), parse_constant=refuse)
    return report


def complaints(report: dict[str, Any]) -> Iterator[str]:
    validator = jsonschema.Draft202012Validator(SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER)
    return (f"{error.json_path}: {error.message}" for error in validator.iter_errors(report))


def not_measured(case: CaseRecord, status: Any, reason: str) -> CaseRecord:
    return replace(case, status=status, reason=reason, metrics={}, cost={}, predictions=())


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_a_study_of_40_cases_and_18_pairs_follows_the_schema(run: Run) -> None:
    report = written(run)
    assert (len(report["cases"]), len(report["pairs"])) == (40, 18)
    assert list(complaints(report)) == []


def test_failed_and_skipped_cases_and_pairs_are_listed_with_their_reason(run: Run) -> None:
    cases = (not_measured(run.cases[0], "failed", "out of memory"), not_measured(run.cases[1], "skipped", "no data"))
    pair = replace(run.pairs[0], status="failed", reason="its general case failed")
    report = written(replace(run, cases=cases, pairs=(pair,)))
    assert list(complaints(report)) == []
    assert [(c["status"], c["reason"], c["n"], c["predictions"]) for c in report["cases"]] == [
        ("failed", "out of memory", 0, None),
        ("skipped", "no data", 0, None),
    ]
    listed = report["pairs"][0]
    assert (listed["status"], listed["reason"]) == ("failed", "its general case failed")
    assert (listed["difference"], listed["low"], listed["p_value"], listed["verdict"]) == (None, None, None, None)


def test_what_was_not_planned_is_in_the_report_and_read_back(run: Run) -> None:
    run = replace(run, not_planned=("ham10000 is not for lora: it has no training split",))
    report = written(run)
    assert list(complaints(report)) == []
    assert report["run"]["not_planned"] == [*run.not_planned]
    assert read_run(run.report_dir).not_planned == run.not_planned


def test_a_run_without_cases_follows_the_schema(run: Run) -> None:
    assert list(complaints(written(replace(run, cases=(), pairs=())))) == []


@pytest.mark.parametrize(
    ("where", "change"),
    [
        ("cases", {"status": "done"}),
        ("cases", {"domain": "out"}),
        ("cases", {"predictions": "/etc/passwd"}),
        ("cases", {"predictions": "predictions/../../x.jsonl"}),
        ("cases", {"status": "failed", "reason": ""}),
        ("cases", {"metrics": {}}),
        ("cases", {"metrics": {"auroc": {"value": "high", "low": 0.1, "high": 0.2}}}),
        ("cases", {"surprise": 1}),
        ("pairs", {"question": 4}),
        ("pairs", {"verdict": None}),
        ("pairs", {"verdict": "draw"}),
        ("pairs", {"status": "failed", "reason": "why"}),
        ("pairs", {"p_value": 1.5}),
        ("pairs", {"regimes": ["lora"]}),
    ],
)
def test_the_schema_refuses_what_is_wrong(run: Run, where: str, change: dict[str, Any]) -> None:
    report = written(run)
    report[where][0].update(change)
    assert list(complaints(report))


def test_the_schema_misses_every_key_of_a_report_a_run_a_case_and_a_pair(run: Run) -> None:
    report = written(replace(run, cases=run.cases[:1], pairs=run.pairs[:1]))
    for part in (report, report["run"], report["cases"][0], report["pairs"][0]):
        for key in list(part):
            value = part.pop(key)
            assert any(f"'{key}' is a required" in complaint for complaint in complaints(report)), key
            part[key] = value


def test_predictions_come_back_as_they_were(run: Run) -> None:
    report = written(run)
    for case, listed in zip(run.cases, report["cases"], strict=True):
        lines = (run.report_dir / listed["predictions"]).read_text(encoding="utf-8").splitlines()
        assert tuple(_prediction(json.loads(line)) for line in lines) == case.predictions


def test_what_thresholds_are_chosen_on_lies_beside_the_predictions(run: Run) -> None:
    diagnosis, question = run.cases[0], run.cases[-1]
    tuned = replace(diagnosis, validation=tuple(replace(p, id=f"v{p.id}") for p in diagnosis.predictions[:7]))
    report = written(replace(run, cases=(tuned, question)))
    assert list(complaints(report)) == []
    assert [case["validation"] for case in report["cases"]] == [f"predictions/{diagnosis.id}.validation.jsonl", None]
    lines = (run.report_dir / report["cases"][0]["validation"]).read_text(encoding="utf-8").splitlines()
    assert tuple(_prediction(json.loads(line)) for line in lines) == tuned.validation
    assert (report["cases"][0]["n"], report["cases"][1]["n"]) == (240, 240)


def test_no_case_takes_the_file_of_anothers_validation_samples(run: Run) -> None:
    tuned = replace(run.cases[0], id="a", validation=run.cases[0].predictions)
    assert replace(tuned, id="a.validation").predictions_file != tuned.validation_file


def _prediction(line: dict[str, Any]) -> Prediction:
    return Prediction(**line | {"scores": tuple(line["scores"]), "options": tuple(line["options"])})


def test_failed_samples_are_counted(run: Run) -> None:
    predictions = [replace(p, error="unreadable") if i < 3 else p for i, p in enumerate(run.cases[0].predictions)]
    listed = written(replace(run, cases=(replace(run.cases[0], predictions=tuple(predictions)),)))["cases"][0]
    assert (listed["n"], listed["failed_samples"]) == (240, 3)


def test_what_is_no_number_becomes_null_and_numpy_becomes_plain(run: Run) -> None:
    cost: Any = {"seconds": np.float32(1.5), "peak_memory_bytes": np.int64(7), "samples_per_second": float("inf")}
    metrics = {"auroc": {"value": np.float64("nan"), "low": None, "high": float("-inf"), "n": np.int32(4), "reason": "x"}}
    case = replace(run.cases[0], cost=cost, metrics=metrics, notes={"path": Path("a"), "flags": np.array([True, False])})
    pair = replace(run.pairs[0], difference=float("nan"), low=float("nan"), high=float("nan"), verdict="inconclusive")
    report = written(replace(run, cases=(case,), pairs=(pair,)))
    assert list(complaints(report)) == []
    assert report["cases"][0]["cost"] == {"seconds": 1.5, "peak_memory_bytes": 7, "samples_per_second": None}
    assert report["cases"][0]["metrics"]["auroc"] == {"value": None, "low": None, "high": None, "n": 4, "reason": "x"}
    assert report["cases"][0]["notes"] == {"path": "a", "flags": [True, False]}
    assert report["pairs"][0]["difference"] is None


def test_half_a_surrogate_pair_in_an_answer_does_not_spoil_the_file(run: Run) -> None:
    said = replace(run.cases[-1].predictions[0], answer="a\ud800b\u2028c")
    listed = written(replace(run, cases=(replace(run.cases[-1], predictions=(said,)),)))["cases"][0]
    lines = (run.report_dir / listed["predictions"]).read_bytes().splitlines()
    assert [json.loads(line)["answer"] for line in lines] == ["a?b\u2028c"]


@pytest.mark.parametrize("value", [True, 3, 0.25, None, "x", {"a": [1, {"b": None}]}])
def test_what_is_plain_stays_as_it_is(value: object) -> None:
    assert plain(value) == value
    assert type(plain(value)) is type(value)


@pytest.mark.parametrize(
    "name", ["../../escape", "/etc/passwd", "a/b\\c", "..", ".hidden", "x" * 5000, "test[a-b]", "con\n", "é\ud800", ""]
)
def test_no_case_id_leaves_the_folder(run: Run, name: str) -> None:
    write_json(replace(run, cases=(replace(run.cases[0], id=name),)))
    files = [path for path in run.report_dir.parent.rglob("*") if path.is_file()]
    assert {path.parent for path in files} == {run.report_dir, run.report_dir / "predictions"}
    assert len(files) == 2


def test_ids_that_look_alike_as_file_names_keep_apart(run: Run) -> None:
    files = {replace(run.cases[0], id=name).predictions_file for name in ("a/b", "a_b", "a\\b", "a b")}
    assert len(files) == 4


def test_an_ordinary_id_is_the_file_name(run: Run) -> None:
    assert run.cases[0].predictions_file == "predictions/pocket-clip-phantom-chest-zero-shot.jsonl"


def test_a_second_report_replaces_the_first_and_leaves_nothing_else(run: Run) -> None:
    write_json(run)
    before = sorted(run.report_dir.rglob("*"))
    assert written(replace(run, suite="clip"))["run"]["suite"] == "clip"
    assert sorted(run.report_dir.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_one_clear_error(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ReportNotWritten, match="--report-dir") as caught:
        write_json(replace(run, report_dir=tmp_path / "file" / "latest"))
    assert str(tmp_path / "file") in str(caught.value)
    assert isinstance(caught.value, MedrivalError)


def test_a_failed_write_keeps_the_old_report_and_no_half_of_the_new_one(run: Run) -> None:
    (run.report_dir / "report.json").mkdir(parents=True)
    with pytest.raises(ReportNotWritten):
        write_json(replace(run, cases=()))
    assert [path.name for path in run.report_dir.iterdir()] == ["report.json"]


def test_pairs_keep_margin_and_seed(run: Run) -> None:
    pair: PairRecord = replace(run.pairs[0], margin=0.02, seeds=(1, 3))
    listed = written(replace(run, pairs=(pair,)))["pairs"][0]
    assert (listed["margin"], listed["seeds"], listed["regimes"]) == (0.02, [1, 3], ["zero-shot", "zero-shot"])


def test_what_an_earlier_run_said_does_not_stay_beside_a_report_that_does_not_name_it(run: Run) -> None:
    write_json(run)
    kept, own = run.cases[:3], run.report_dir / "predictions" / "of-mine.jsonl"
    own.write_text("")
    write_json(replace(run, cases=kept, pairs=()))
    there = {file.name for file in own.parent.iterdir()}
    assert there == {Path(str(case.predictions_file)).name for case in kept} | {own.name}
