"""Every view says what the records say, and leaves out none of them."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest

from medrival.commands import export, parser
from medrival.comparing import Compared, Comparison
from medrival.errors import MedrivalError, UnknownName
from medrival.gates import Judgement
from medrival.integrity import audit_from
from medrival.reports.against import Against
from medrival.reports.exports.formats import FORMATS, as_csv
from medrival.reports.exports.table import Cell, View
from medrival.reports.exports.views import VIEWS, view
from medrival.reports.json_report import write_json
from medrival.reports.published import Published
from medrival.reports.questions import questions
from medrival.reports.record import AuditRecord, CaseRecord, Run
from medrival.statistics import Difference, Verdict
from medrival.tasks.metrics import METRICS

SPAN = {"value": 0.7, "low": 0.6, "high": 0.8, "n": 90, "reason": "", "method": "wilson", "caution": "few"}
WHY = "no data: ask for it"


def lost(case: CaseRecord) -> CaseRecord:
    return replace(case, status="skipped", reason=WHY, metrics={}, primary="", predictions=(), cost={})


def rows(table: View) -> list[dict[str, Any]]:
    return [dict(zip(table.columns, row, strict=True)) for row in table.rows]


@pytest.fixture
def whole(run: Run) -> Run:
    """A run with something to say in every view, and a case and a pair that were not measured."""
    first, second, *cases = run.cases
    gap = {"metric": "auroc", "groups": {"female": SPAN, "male": {**SPAN, "value": None, "reason": "one class"}}, "gap": SPAN}
    told = replace(second, per_class={"auroc": {"opacity": SPAN}}, subgroups={"sex": gap})
    pair = replace(run.pairs[0], status="failed", reason="its general case failed", verdict=None, difference=None)
    gate = Judgement("keeps up", first.id, None, "failed", False, 0.6, 0.7, "auroc 0.6 is below 0.7")
    figure = Published(
        *(second.id, "A", "chest", "CLIP", "lora", "auroc", "auroc", 0.8, 0.7, 0.9, 90, 0.7, 0.6, 0.8, 240, -0.1, "ok", None),
        "published on 90 samples",
    )
    audits = (AuditRecord(second.task, "skipped", WHY),)
    cases = [lost(first), told, *cases]
    said = {"gates": (gate,), "published": (figure,), "audits": audits, "baseline": Against("report.json", "", None, WHY)}
    return replace(run, cases=tuple(cases), pairs=(pair, *run.pairs[1:]), **said)


@pytest.mark.parametrize(
    ("given", "idle"),
    [(("--mlflow", "--metrics", "ece"), "--metrics"), (("--model-index", "my-clip", "--regimes", "lora"), "--regimes")],
)
def test_an_option_that_would_do_nothing_is_refused(given: tuple[str, ...], idle: str) -> None:
    options = parser().parse_args(["export", "report", *given])
    with pytest.raises(MedrivalError, match=rf"{idle} does not go with {given[0]}"):
        export.run(options)


def test_the_command_offers_every_view_and_format() -> None:
    assert list(export.VIEWS) == list(VIEWS)
    assert list(export.FORMATS) == list(FORMATS)


@pytest.mark.parametrize("name", VIEWS)
def test_every_view_is_written_in_every_format(whole: Run, name: str) -> None:
    table = view(whole, name)
    assert table.rows
    assert all(len(row) == len(table.columns) for row in table.rows)
    assert len(set(table.columns)) == len(table.columns)
    for as_text in FORMATS.values():
        assert as_text(table)
    assert "medrival" in table.caption
    assert whole.started in table.caption


def test_cases_have_a_row_each_with_figures_to_the_last_digit(whole: Run) -> None:
    written = list(csv.DictReader(io.StringIO(as_csv(view(whole, "cases")))))
    assert [row["case"] for row in written] == [case.id for case in whole.cases]
    for row, case in zip(written, whole.cases, strict=True):
        assert (row["status"], row["reason"]) == (case.status, case.reason)
        if case.status == "measured":
            assert float(row["value"]) == case.metrics[case.primary]["value"]
            assert float(row["high"]) == case.metrics[case.primary]["high"]
            assert int(row["peak_memory_bytes"]) == case.cost["peak_memory_bytes"]
        else:
            assert row["value"] == row["low"] == row["seconds"] == ""


def test_pairs_have_a_row_each_and_those_that_were_not_measured_state_nothing(whole: Run) -> None:
    written = rows(view(whole, "pairs"))
    assert [row["pair"] for row in written] == [pair.id for pair in whole.pairs]
    failed, second = written[0], written[1]
    assert (failed["status"], failed["reason"], failed["verdict"], failed["p_value"]) == (
        "failed",
        "its general case failed",
        None,
        None,
    )
    pair = whole.pairs[1]
    assert (second["general_regime"], second["medical_regime"]) == pair.regimes
    assert (second["difference"], second["p_adjusted"]) == (pair.difference, pair.p_adjusted)


def test_answers_are_those_of_the_report(whole: Run) -> None:
    written, told = rows(view(whole, "answers")), questions(whole.pairs)
    assert [row["sentence"] for row in written] == [answer["sentence"] for answer in told]
    for row, answer in zip(written, told, strict=True):
        assert {verdict: row[verdict] for verdict in get_args(Verdict)} == answer["verdicts"]


def test_metrics_have_a_row_a_case_and_metric_and_keep_cases_without(whole: Run) -> None:
    written = rows(view(whole, "metrics"))
    assert len(written) == 1 + sum(len(case.metrics) for case in whole.cases)
    assert (written[0]["case"], written[0]["reason"], written[0]["metric"]) == (whole.cases[0].id, WHY, None)
    chosen = rows(view(whole, "metrics", ["accuracy"]))
    assert {row["metric"] for row in chosen} == {None, "accuracy"}
    assert len(chosen) == len(whole.cases)


def test_classes_and_groups_have_a_row_each(whole: Run) -> None:
    skipped, opacity = rows(view(whole, "per-class"))
    assert (skipped["status"], skipped["reason"]) == ("skipped", WHY)
    assert (opacity["metric"], opacity["class"], opacity["value"], opacity["caution"]) == ("auroc", "opacity", 0.7, "few")
    _, female, male, gap = rows(view(whole, "subgroups"))
    assert (female["group"], female["value"], male["value"], male["missing"]) == ("female", 0.7, None, "one class")
    assert (gap["is_gap"], gap["group"], gap["value"]) == (True, None, 0.7)


def test_gates_and_published_figures_are_the_records(whole: Run) -> None:
    (gate,) = rows(view(whole, "gates"))
    assert (gate["name"], gate["case"], gate["holds"], gate["required"]) == ("keeps up", whole.cases[0].id, False, 0.7)
    (figure,) = rows(view(whole, "published"))
    assert figure == vars(whole.published[0])


def test_a_run_beside_its_baseline_has_a_row_a_case_compared_or_not(whole: Run) -> None:
    difference = Difference(-0.1, -0.15, -0.05, 0.001, 90)
    one = Compared((("a", "b"),), "chest", "auroc", 90, (0.8, 0.7), (0, 2), difference, "worse", p_adjusted=0.002)
    found = Comparison((one,), 0.05, only_a=("gone",), left_out={"odd": WHY})
    compared, gone, odd = rows(view(replace(whole, baseline=Against("report.json", "", found)), "baseline"))
    assert (compared["case"], compared["baseline_value"], compared["value"], compared["failed"]) == ("b", 0.8, 0.7, 2)
    assert (compared["difference"], compared["high"], compared["verdict"]) == (-0.1, -0.05, "worse")
    assert (gone["case"], gone["status"], gone["reason"]) == ("gone", "not compared", "only in the baseline")
    assert (odd["case"], odd["reason"]) == ("odd", WHY)
    (nothing,) = rows(view(replace(whole, baseline=Against("report.json", "", None, WHY)), "baseline"))
    assert (nothing["case"], nothing["reason"]) == (None, WHY)


def test_data_has_a_row_a_task_audited_or_not(whole: Run) -> None:
    found = rows(view(whole, "data"))
    assert {row["task"] for row in found} == {case.task for case in whole.cases}
    assert [row["reason"] for row in found if row["status"] == "skipped"] == [WHY]
    assert {row["status"] for row in found} == {"skipped", "not audited"}


def test_data_says_what_an_audit_found(run: Run) -> None:
    one = {"test": 2, "train": 5}
    found = {
        "task": run.cases[0].task, "fingerprint": "f", "limit": None, "counts": one, "published": {"test": 3},
        "images": {"distinct": {"all": 7}, "unreadable": ["x.png"], "plain": 0},
        "duplicates": {
            "exact": {"test-train": 1}, "near": {}, "turned": {}, "within": 1, "turned_within": 1, "bits": 255,
            "examples": [], "turned_examples": [],
        },
        "leakage": {
            "test_samples": 2, "on_training_images": 1, "on_turned_images": 0, "of_training_groups": 0,
            "like_training_images": 0, "leaked": ["a"],
        },
        "repeats": {}, "balance": {},
        "constant": {"answers": "no", "learnt_on": "train", "primary": "auroc", "metrics": {"auroc": 0.5}},
        "question_only": None,
        "findings": [{"severity": "warning", "text": "leaks"}, {"severity": "warning", "text": "small"}],
    }  # fmt: skip
    audited = replace(run, audits=(AuditRecord(run.cases[0].task, "measured", "", audit_from(found)),))
    row = rows(view(audited, "data"))[0]
    assert (row["test"], row["published_test"], row["distinct_images"], row["unreadable_images"]) == (2, 3, 7, 1)
    assert (row["exact_duplicates"], row["leaked"], row["leaked_share"], row["blind_constant"]) == (1, 1, 0.5, 0.5)
    assert (row["warning"], row["broken"]) == ("leaks; small", "")


# results


def cells(run: Run, *metrics: str, **chosen: Any) -> dict[tuple[Any, ...], Any]:
    table = rows(view(run, "results", metrics, chosen))
    return {(row["regime"], row["model"], column): row[column] for row in table for column in row if "(" in column}


def test_results_are_models_by_tasks_with_every_case_in_a_cell(whole: Run) -> None:
    found = cells(whole)
    for case in whole.cases[1:]:
        metric = case.metrics[case.primary]
        cell = found[case.regime, case.model, f"{case.task} ({case.primary})"]
        assert cell.text == f"{metric['value']:.3f} [{metric['low']:.3f}, {metric['high']:.3f}]"
    first = whole.cases[0]
    assert found[first.regime, first.model, f"{first.task} (auroc)"] == Cell("skipped", note=WHY)
    assert sum(cell is not None for cell in found.values()) == len(whole.cases)


def test_the_best_of_a_column_within_a_regime_is_marked(run: Run) -> None:
    best = {key for key, cell in cells(run).items() if cell and cell.best}
    assert len(best) == len({(case.task, case.regime) for case in run.cases})
    for case in run.cases:
        rivals = [c.metrics[c.primary]["value"] for c in run.cases if (c.task, c.regime) == (case.task, case.regime)]
        is_best = case.metrics[case.primary]["value"] == max(rivals)
        assert ((case.regime, case.model, f"{case.task} ({case.primary})") in best) == is_best


def test_of_an_error_the_smallest_is_best_and_of_an_unknown_metric_none(run: Run) -> None:
    assert METRICS["diagnosis"]["ece"].lower_is_better
    values = {"ece": (0.1, 0.2), "judged": (0.9, 0.8)}
    pair = [c for c in run.cases if (c.task, c.regime) == ("phantom-chest", "zero-shot")]
    cases = tuple(
        replace(case, metrics=case.metrics | {name: {**SPAN, "value": value[i]} for name, value in values.items()})
        for i, case in enumerate(pair)
    )
    found = cells(replace(run, cases=cases), "ece", "judged")
    assert [cell.best for key, cell in found.items() if "ece" in key[2]] == [True, False]
    assert not any(cell.best for key, cell in found.items() if "judged" in key[2])


def test_figures_that_look_the_same_are_both_best_and_one_alone_is_not(run: Run) -> None:
    pair = [c for c in run.cases if (c.task, c.regime) == ("phantom-chest", "zero-shot")]
    same = [replace(c, metrics={"auroc": {**SPAN, "value": 0.70001 + i / 1e5}}) for i, c in enumerate(pair)]
    assert [cell.best for cell in cells(replace(run, cases=tuple(same))).values()] == [True, True]
    assert [cell.best for cell in cells(replace(run, cases=tuple(same[:1]))).values()] == [False]


def test_seeds_have_rows_of_their_own(run: Run) -> None:
    again = tuple(replace(case, seed=1, id=f"{case.id}-seed1") for case in run.cases if case.regime == "lora")
    table = view(replace(run, cases=run.cases + again), "results")
    assert table.columns[3] == "seed"
    assert len(table.rows) == len(view(run, "results").rows) + 4


def test_cases_can_be_chosen_and_what_is_not_there_is_refused(run: Run) -> None:
    found = cells(run, task=["*-chest"], regime=["lora", "zero-*"], model=["pocket-clip"])
    assert list(found) == [(regime, "pocket-clip", "phantom-chest (auroc)") for regime in ("zero-shot", "lora")]
    for name, metrics, chosen, says in (
        ("results", (), {"regime": ["nope"]}, "regime 'nope'; there are linear-probe"),
        ("metrics", ("auc",), {}, "metric 'auc'; there are accuracy, auroc"),
        ("gates", ("auroc",), {}, "not of metrics"),
        ("answers", (), {"model": ["x"]}, "not of cases: --models"),
    ):
        with pytest.raises(UnknownName, match=says):
            view(run, name, metrics, chosen)


def test_the_caption_says_n_and_what_is_missing_and_that_a_look_was_quick(whole: Run) -> None:
    limited = tuple(replace(case, notes={"limit": 24}) for case in whole.cases)
    said = view(replace(whole, cases=limited), "results", ["auroc"]).caption
    assert "n: phantom-chest 240, phantom-histology 240" in said
    assert "Without this metric: phantom-chest-vqa" in said
    assert "Limited to 24 samples of each split: a quick look, not a result." in said


# the command


def test_the_command_prints_or_writes_in_the_format_of_the_name(whole: Run, tmp_path: Path, capsys: Any) -> None:
    from medrival.__main__ import main

    folder = str(write_json(whole).parent)
    assert main(["export", folder]) == 0
    assert capsys.readouterr().out.startswith("| regime | model | kind |")
    for name, begins in (("a.csv", '"pair","general"'), ("a.tex", "% needs"), ("a.json", "{"), ("a.md", "| pair |")):
        out = tmp_path / name
        assert main(["export", folder, "--view", "pairs", "--out", str(out)]) == 0
        assert out.read_text(encoding="utf-8").startswith(begins)
    out = tmp_path / "b.csv"
    arguments = ["--view", "pairs", "--columns", "verdict,general", "--format", "json", "--out", str(out)]
    assert main(["export", folder, *arguments]) == 0
    assert json.loads(out.read_text())["columns"] == ["verdict", "general"]
    assert capsys.readouterr().out.splitlines()[-1] == str(out)
    assert main(["export", folder, "--columns", "nope"]) == 2
    assert "has no column 'nope'; it has regime, model" in capsys.readouterr().err
    assert main(["export", folder, "--out", str(tmp_path / "a.xlsx")]) == 2
    assert ".xlsx names no format; .md, .csv, .tex, .json do" in capsys.readouterr().err
    assert not (tmp_path / "a.xlsx").exists()
