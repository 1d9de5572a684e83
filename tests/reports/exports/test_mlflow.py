"""A report in a real MLflow store, read back by MLflow's client."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from medrival.errors import MedrivalError
from medrival.reports.exports.mlflow import log
from medrival.reports.json_report import write_json
from medrival.reports.record import Run

mlflow = pytest.importorskip("mlflow", reason="MLflow is not installed: pip install 'medrival[mlflow]'")

HOSTILE = "../../x\n<script>\u202e\x1b[31m"
SPAN = {"value": 0.7, "low": 0.6, "high": 0.8}


@pytest.fixture
def uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "studies")
    return (tmp_path / "store").as_uri()


@pytest.fixture
def few(run: Run) -> Run:
    """Three cases and two pairs: a store in files is slow."""
    first, second, third = run.cases[0], run.cases[1], run.cases[-1]
    lost = replace(third, status="skipped", reason="no data", metrics={}, cost={}, predictions=())
    gap = {"metric": "auroc", "groups": {"a/b": SPAN, HOSTILE: SPAN}, "gap": SPAN}
    undefined = {"value": None, "low": None, "high": None, "n": 0, "reason": "one class"}
    told = replace(
        second,
        metrics=second.metrics | {"ece": undefined},
        per_class={"auroc": {HOSTILE: SPAN, "..": SPAN}},
        subgroups={"sex": gap},
    )
    pair = replace(run.pairs[1], id=HOSTILE, status="failed", reason=HOSTILE, verdict=None, difference=0.1)
    return replace(run, cases=(first, told, lost), pairs=(run.pairs[0], pair))


def logged(run: Run, uri: str) -> tuple[Any, dict[str, Any], Any]:
    """The report's run, those nested in it by name, and the client."""
    client = mlflow.tracking.MlflowClient(uri)
    parent = client.get_run(log(run, uri))
    found = client.search_runs([parent.info.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    return parent, {one.info.run_name: one for one in found}, client


def test_a_report_is_a_run_with_its_cases_and_pairs_nested_in_it(few: Run, uri: str) -> None:
    write_json(few)
    parent, nested, client = logged(few, uri)
    assert client.get_experiment(parent.info.experiment_id).name == "studies"
    assert parent.info.status == "FINISHED"
    assert parent.info.end_time - parent.info.start_time == round(1000 * few.seconds)
    assert parent.data.metrics == {"cases/measured": 2, "cases/failed": 0, "cases/skipped": 1}
    assert parent.data.params["command"] == "pytest benchmarks --suite pocket -n 2"
    assert "**Both off the shelf, in-domain**: No: medical ahead in 1 of 1" in parent.data.tags["mlflow.note.content"]
    assert len(nested) == 5
    case = few.cases[0]
    one = nested[case.id]
    assert one.data.metrics["auroc"] == case.metrics["auroc"]["value"]
    assert one.data.metrics["low/auroc"] == case.metrics["auroc"]["low"]
    assert one.data.metrics["cost/seconds"] == 7.4
    assert (one.data.params["model"], one.data.params["regime"], one.info.status) == (case.model, case.regime, "FINISHED")
    pair = few.pairs[0]
    assert nested[pair.id].data.metrics["pair/difference"] == pair.difference
    assert nested[pair.id].data.tags["medrival.verdict"] == pair.verdict
    assert nested[pair.id].data.params["general_regime"] == pair.regimes[0]


def test_what_has_no_value_has_no_key_and_says_why(few: Run, uri: str) -> None:
    write_json(few)
    _, nested, _ = logged(few, uri)
    told, lost = nested[few.cases[1].id], nested[few.cases[2].id]
    assert "ece" not in told.data.metrics
    assert told.data.tags["medrival.missing"] == "ece: one class"
    assert (lost.info.status, lost.data.metrics) == ("KILLED", {})
    assert (lost.data.tags["medrival.status"], lost.data.tags["medrival.reason"]) == ("skipped", "no data")


def test_names_from_data_make_keys_that_mlflow_takes_and_lose_no_figure(few: Run, uri: str, tmp_path: Path) -> None:
    write_json(few)
    _, nested, _ = logged(few, uri)
    metrics = nested[few.cases[1].id].data.metrics
    assert sum(key.startswith("per_class/auroc/") for key in metrics) == 2
    assert sum(key.startswith("subgroup/sex/") for key in metrics) == 2
    assert metrics["gap/sex"] == 0.7
    assert not any(".." in key or "\n" in key for key in metrics)
    (pair,) = [one for one in nested.values() if one.info.status == "FAILED"]
    assert "pair/difference" not in pair.data.metrics
    assert all(char.isprintable() or char == "\n" for char in pair.info.run_name + pair.data.tags["medrival.reason"])


def test_artifacts_are_the_reports_files_and_nothing_else(few: Run, uri: str) -> None:
    folder = write_json(few).parent
    (folder / "report.html").write_text("page")
    for name in ("samples/part-index.js", "samples/local/part-pictures-0-0.js", "adapters/x/adapter.bin", "secret.env"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("content")
    (folder / "samples" / "link.js").symlink_to(folder / "secret.env")
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "secret.js").write_text("content")
    (folder / "samples" / "linked").symlink_to(folder / "elsewhere")
    parent, _, client = logged(few, uri)
    run = parent.info.run_id
    assert {one.path for one in client.list_artifacts(run)} == {"report.html", "report.json", "predictions", "samples"}
    assert [one.path for one in client.list_artifacts(run, "samples")] == ["samples/part-index.js"]
    written = {f"predictions/{path.name}" for path in (folder / "predictions").iterdir()}
    assert {one.path for one in client.list_artifacts(run, "predictions")} == written


def test_no_link_leads_out_of_the_reports_folder(few: Run, uri: str, tmp_path: Path) -> None:
    folder = write_json(few).parent
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "key").write_text("content")
    (folder / "report.html").symlink_to(tmp_path / "secrets" / "key")
    (folder / "samples").symlink_to(tmp_path / "secrets")
    parent, _, client = logged(few, uri)
    assert {one.path for one in client.list_artifacts(parent.info.run_id)} == {"report.json", "predictions"}


def test_a_run_that_failed_is_one_in_mlflow(few: Run, uri: str) -> None:
    write_json(few)
    assert logged(replace(few, exit_status=1, cases=(), pairs=()), uri)[0].info.status == "FAILED"


def test_a_store_that_cannot_be_used_is_told_in_a_line(few: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    (tmp_path / "file").write_text("")
    with pytest.raises(MedrivalError, match=r"MLflow at .* cannot log the report"):
        log(few, (tmp_path / "file").as_uri())


def test_without_mlflow_the_error_says_what_to_install(few: Run, uri: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "mlflow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MedrivalError, match=r"pip install 'medrival\[mlflow\]'"):
        log(few, uri)
