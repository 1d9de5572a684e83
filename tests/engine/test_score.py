"""Files of predictions are scored without a model, to the figures that their makers and our own reports state."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import recall_score, roc_auc_score

from medrival.__main__ import main
from medrival.case import Case
from medrival.contracts import Sample, Task
from medrival.errors import BrokenData, MedrivalError, UnknownName
from medrival.predictions import Columns, joined, read, stated
from medrival.reports.json_report import sample_lines
from medrival.score import document, lines, score

SHARED = Path(__file__).parents[3] / "shared" / "data"
ORACLE = SHARED / "oracles" / "mumc_vqa_rad" / "compare.json"
MUMC = Columns(truth="gt", answer="pred", form="type")
has_oracle = pytest.mark.skipif(not ORACLE.exists(), reason="the published predictions are not at hand")
PLAIN = ("exact_match_plain", "exact_match_plain_closed", "exact_match_plain_open")
YES_NO = {"form": "closed", "options": ["yes", "no"]}


def question(name, truth="yes", answer="yes", **more):
    return {"id": name, "truth": truth, "answer": answer, **more}


def file(folder, name, content):
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


@pytest.fixture
def task():
    samples = tuple(
        Sample(f"q{i}", None, f"p{i // 2}", truth, question="?", form="closed", options=("yes", "no"))
        for i, truth in enumerate(["yes", "no", "yes", "no"])
    )
    return Task("asked", "vqa", (), (), samples, "print")


@has_oracle
def test_a_published_models_answers_score_what_its_authors_report():
    reported = json.loads(ORACLE.with_name("accuracy.json").read_text())
    found = score(ORACLE, kind="vqa", columns=MUMC).measured.metrics
    assert [round(100 * found[name].value, 2) for name in PLAIN] == [74.06, 84.56, 58.10]
    assert round(100 * found[PLAIN[0]].value, 2) == reported["overall"]
    assert [found[name].n for name in PLAIN] == [451, 272, 179]


@has_oracle
def test_the_command_prints_and_writes_the_same(capsys, tmp_path):
    asked = ["--kind", "vqa", "--truth", "gt", "--answer", "pred", "--form", "type", "--metrics", ",".join(PLAIN)]
    assert main(["score", str(ORACLE), *asked, "--json", str(tmp_path / "out.json")]) == 0
    printed = capsys.readouterr().out
    assert "451 samples, 0 failed" in printed
    assert [line.split()[1] for line in printed.splitlines()[1:]] == ["0.741", "0.846", "0.581"]
    written = json.loads((tmp_path / "out.json").read_text())["metrics"]
    assert [round(100 * written[name]["value"], 2) for name in PLAIN] == [74.06, 84.56, 58.10]


@has_oracle
def test_predictions_for_other_ids_are_refused_even_where_some_coincide(capsys):
    asked = ["--task", "vqa-rad", "--assets", str(SHARED), "--answer", "pred"]
    assert main(["score", str(ORACLE), *asked]) == 2
    assert "392 ids are none of its 451 test samples: '11', " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("model", "name"),
    [("pocket-medclip", "phantom-histology"), ("pocket-medllava", "phantom-chest-vqa")],
    ids=["scores", "words"],
)
def test_our_own_predictions_score_to_the_figures_of_their_report(new_lab, rows, tmp_path, model, name):
    lab = new_lab(limit=40)
    outcome = lab.evaluate(Case(rows.models[model], rows.tasks[name], rows.regimes["zero-shot"]))
    path = file(tmp_path, "said.jsonl", sample_lines(outcome.predictions))
    tuned = file(tmp_path, "said.validation.jsonl", sample_lines(outcome.validation)) if outcome.validation else None
    alone = score(path, kind=rows.tasks[name].kind, classes=outcome.classes, validation=tuned)
    with_task = score(path, task=lab.task(rows.tasks[name]), validation=tuned)
    assert alone.predictions == with_task.predictions == outcome.predictions
    assert alone.validation == with_task.validation == outcome.validation
    for found in (alone.measured, with_task.measured):
        assert found.metrics == outcome.metrics
        assert (found.per_class, found.subgroups) == (outcome.per_class, outcome.subgroups)


def test_the_files_of_a_report_score_to_its_figures(study, tmp_path, drawn):
    (tmp_path / "store" / "tasks").mkdir(parents=True)
    for phantoms in drawn.iterdir():  # drawing them anew takes longest
        (tmp_path / "store" / "tasks" / phantoms.name).symlink_to(phantoms)
    done = study("--models", "pocket-clip", "--tasks", "phantom-chest", "--regimes", "zero-shot", "--limit", "24")
    (case,) = done.report["cases"]
    said, tuned = (tmp_path / "report" / case[name] for name in ("predictions", "validation"))
    found = score(said, kind="diagnosis", classes=case["classes"], validation=tuned)
    assert document(found)["metrics"] == case["metrics"]
    assert case["metrics"]["sensitivity"]["value"] is not None


def test_json_jsonl_and_csv_are_the_same_predictions(tmp_path):
    rows = [
        question("a", "left", "(B)", form="choice", options=["left", "right"]),
        question("b"),
        question("ü", "no", "nicht, nö"),
    ]
    as_csv = [{**row, "options": "|".join(row.get("options", ())), "form": row.get("form", "")} for row in rows]
    with (tmp_path / "said.csv").open("w", newline="", encoding="utf-8") as stream:
        writer = csv.DictWriter(stream, ["id", "truth", "answer", "form", "options"])
        writer.writeheader()
        writer.writerows(as_csv)
    paths = [
        tmp_path / "said.csv",
        file(tmp_path, "list.json", rows),
        file(tmp_path, "object.json", {row["id"]: {k: v for k, v in row.items() if k != "id"} for row in rows}),
        file(tmp_path, "said.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n"),
    ]
    found = [stated(read(path), "vqa") for path in paths]
    assert found[0] == found[1] == found[2] == found[3]
    assert [p.form for p in found[0]] == ["choice", "closed", "closed"]


def test_a_diagnosis_may_have_scores_in_a_list_an_object_or_a_column_a_class(tmp_path):
    truth, scores = ["ill", "well", "ill", "well"], [0.9, 0.4, 0.6, 0.7]
    shapes = [
        [{"id": str(i), "truth": t, "scores": [1 - s, s]} for i, (t, s) in enumerate(zip(truth, scores, strict=True))],
        [
            {"id": str(i), "truth": t, "scores": {"ill": s, "well": 1 - s}}
            for i, (t, s) in enumerate(zip(truth, scores, strict=True))
        ],
        [
            {"id": str(i), "truth": t, "well": f"{1 - s}", "ill": f"{s}"}
            for i, (t, s) in enumerate(zip(truth, scores, strict=True))
        ],
    ]
    expected = roc_auc_score(np.array(truth) == "ill", scores)
    for rows in shapes:
        found = score(rows, kind="diagnosis", classes=("well", "ill")).measured.metrics["auroc"].value
        assert found == pytest.approx(expected, abs=1e-12)


ILL = ["ill", "well", "ill", "well", "ill", "well"]
TESTED = [0.9, 0.4, 0.6, 0.7, 0.2, 0.1]
TUNED = [0.8, 0.3, 0.65, 0.5, 0.7, 0.2]
"""Perfectly told apart from 0.65 on, so that is the threshold."""


def diagnosis(scores, prefix):
    return [
        {"id": f"{prefix}{i}", "truth": truth, "scores": [1 - s, s]}
        for i, (truth, s) in enumerate(zip(ILL, scores, strict=True))
    ]


def test_sensitivity_and_specificity_need_validation_predictions_and_are_scikit_learns_at_their_threshold():
    tested, asked = diagnosis(TESTED, "t"), {"kind": "diagnosis", "classes": ("well", "ill")}
    without = score(tested, **asked).measured.metrics
    assert (without["sensitivity"].value, without["specificity"].value) == (None, None)
    found = score(tested, **asked, validation=diagnosis(TUNED, "v"))
    called, ill = np.array(TESTED) >= 0.65, np.array(ILL) == "ill"
    assert found.measured.metrics["sensitivity"].value == pytest.approx(recall_score(ill, called))
    assert found.measured.metrics["specificity"].value == pytest.approx(recall_score(~ill, ~called))
    assert document(found)["notes"] == {"decision_threshold": 0.65}


def test_validation_predictions_that_failed_are_told():
    rows = diagnosis(TUNED, "v")
    rows[1] = {"id": "v1", "truth": "well", "error": "unreadable"}
    found = score(diagnosis(TESTED, "t"), kind="diagnosis", classes=("well", "ill"), validation=rows)
    assert "decision threshold 0.65, from 6 validation samples, 1 failed and left out" in list(lines(found))
    assert document(found)["validation"] == {"n": 6, "failed_samples": [{"id": "v1", "error": "unreadable"}]}


def test_a_threshold_is_not_chosen_on_what_is_tested_nor_for_questions():
    tested, asked = diagnosis(TESTED, "t"), {"kind": "diagnosis", "classes": ("well", "ill")}
    with pytest.raises(BrokenData, match=r"validation predictions: 6 ids of the tested samples, such as 't0'"):
        score(tested, **asked, validation=tested)
    with pytest.raises(BrokenData, match=r"validation predictions: row 1: there is no column 'truth'"):
        score(tested, **asked, validation=[{"id": "v", "scores": [0.5, 0.5]}])
    with pytest.raises(MedrivalError, match="for vqa there is none to choose"):
        score([question("a")], kind="vqa", validation=[question("b")])


def test_validation_predictions_of_a_task_are_those_of_its_validation_samples():
    samples = [Sample(f"{prefix}{i}", None, f"{prefix}{i}", truth) for prefix in "vt" for i, truth in enumerate(ILL)]
    task = Task("told", "diagnosis", (), tuple(samples[:6]), tuple(samples[6:]), "print", ("well", "ill"))
    found = score(diagnosis(TESTED, "t"), task=task, validation=diagnosis(TUNED, "v"))
    assert found.measured.notes == {"decision_threshold": 0.65}
    with pytest.raises(BrokenData, match=r"validation predictions: told: 6 ids are none of its 6 validation samples: 't0'"):
        score(diagnosis(TESTED, "t"), task=task, validation=diagnosis(TESTED, "t"))


def test_the_command_takes_a_file_of_validation_predictions(capsys, tmp_path):
    tested, tuned = (file(tmp_path, f"{name}.json", diagnosis(s, name)) for name, s in (("t", TESTED), ("v", TUNED)))
    asked = ["--kind", "diagnosis", "--classes", "well,ill", "--metrics", "sensitivity,specificity"]
    assert main(["score", str(tested), *asked, "--validation", str(tuned)]) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[:2] for line in printed[1:3]] == [["sensitivity", "0.333"], ["specificity", "0.667"]]
    assert "decision threshold 0.65, from 6 validation samples" in printed[3]


def test_a_json_object_is_read_by_its_keys_and_a_row_that_says_another_id_is_refused(tmp_path):
    said = {"12": {"truth": "yes", "answer": "yes", "qid": 12}, "13": {"truth": "no", "answer": "yes"}}
    path = file(tmp_path, "said.json", said)
    for columns in (Columns(), Columns(id="qid")):
        assert [p.id for p in score(path, kind="vqa", columns=columns).predictions] == ["12", "13"]
    with pytest.raises(BrokenData, match=r"said\.json: .* the row under the key '12' has the 'id' 5"):
        read(file(tmp_path, "said.json", {"12": {"id": 5, "truth": "yes"}}))


def test_samples_that_a_file_lacks_failed_and_count_as_wrong(task):
    found = score([question("q0"), question("q3", "no", "no")], task=task)
    assert [p.id for p in found.failed] == ["q1", "q2"]
    assert found.measured.metrics["closed_accuracy"].value == 0.5
    assert list(lines(found))[-2:] == ["failed: q1: no prediction in the file", "failed: q2: no prediction in the file"]
    assert [one["id"] for one in document(found)["failed_samples"]] == ["q1", "q2"]


def test_a_task_states_truth_form_and_group_whatever_the_file_says(task):
    rows = [{"id": f"q{i}", "answer": "yes", "truth": "", "form": "open", "group": "me"} for i in range(4)]
    found = score(rows, task=task)
    assert [p.truth for p in found.predictions] == ["yes", "no", "yes", "no"]
    assert [p.group for p in found.predictions] == ["p0", "p0", "p1", "p1"]
    assert found.measured.metrics["closed_accuracy"].value == 0.5


def test_a_truth_that_contradicts_the_task_is_refused_with_the_count_and_the_first_id(task):
    rows = [question("q0", " YES."), question("q1", "yes"), question("q3", "yes")]
    with pytest.raises(BrokenData, match=r"asked: the column 'truth' .* for 2 of 3 samples, first for 'q1', .* says 'no'"):
        score(rows, task=task)
    assert score(rows, task=task, columns=Columns(truth="gt")).failed


def test_the_truth_of_a_choice_may_be_its_letter_and_findings_have_no_order():
    choice = Sample("c", None, "c", "right", form="choice", options=("left", "right"))
    seen = Sample("f", None, "f", "mass|nodule", form="findings")
    asked = Task("asked", "vqa", (), (), (choice,), "print")
    found = Task("found", "diagnosis", (), (), (seen,), "print", ("mass", "nodule"))
    assert not joined([question("c", "B", "A")], asked)[0].error
    assert not joined([{"id": "f", "truth": "Nodule|Mass", "scores": [0.5, 0.5]}], found)[0].error
    with pytest.raises(BrokenData, match="another truth"):
        joined([question("c", "A", "A")], asked)


NAN = float("nan")


@pytest.mark.parametrize(
    ("truth", "stated", "agrees"),
    [
        ("mass|nodule", ["Nodule", "mass"], True),
        ("mass|nodule", ["mass"], False),
        ("", [], True),
        *(("", nothing, True) for nothing in ("", " ", NAN, "none", "No Finding", "no findings")),
        *(("mass", nothing, False) for nothing in ("", " ", NAN, "none", "No Finding", [])),
        ("", "mass", False),
        ("no finding", "", True),
        ("mass", None, True),
    ],
)
def test_findings_are_compared_as_a_list_and_no_finding_is_one_of_several_words_for_none(truth, stated, agrees):
    sample = Sample("f", None, "f", truth, form="findings")
    found = Task("found", "diagnosis", (), (), (sample,), "print", ("mass", "nodule"))
    row = {"id": "f", "truth": stated, "scores": [0.5, 0.5]}
    if agrees:
        assert joined([row], found)[0].truth == truth
    else:
        with pytest.raises(BrokenData, match="another truth"):
            joined([row], found)


@pytest.mark.parametrize("nothing", [None, False, "", "  ", float("nan"), "nan", "False", "null", "None", "none", "N/A"])
def test_an_error_that_says_nothing_is_none(nothing):
    (found,) = stated([question("a", error=nothing)], "vqa")
    assert found.error == ""


@pytest.mark.parametrize("wrong", [True, 0, 1.5, ["why"]])
def test_an_error_that_is_no_text_is_refused(wrong):
    with pytest.raises(BrokenData, match=r"row 1: column 'error' is .*; expected why the sample failed, or nothing"):
        stated([question("a", error=wrong)], "vqa")


def test_skills_are_read_whatever_their_case_and_white_space():
    rows = [question(str(i), skill=skill) for i, skill in enumerate([" Reasoning", "UNDERSTANDING ", "", None])]
    assert [p.skill for p in stated(rows, "vqa")] == ["reasoning", "understanding", "", ""]


@pytest.mark.parametrize("asked", [{"kind": "vqa"}, {"task": True}])
def test_classes_where_none_are_read_are_refused(task, asked):
    asked = {"task": task} if "task" in asked else asked
    with pytest.raises(MedrivalError, match="leave them out"):
        score([question("q0")], classes=("well", "ill"), **asked)


def test_a_class_that_is_named_twice_is_refused():
    with pytest.raises(MedrivalError, match="classes ill, ill: one is there twice"):
        score(diagnosis(TESTED, "t"), kind="diagnosis", classes=("ill", "ill"))


def test_patients_who_are_both_tested_and_tuned_on_are_refused_where_groups_are_given():
    asked = {"kind": "diagnosis", "classes": ("well", "ill")}

    def of(rows, *patients):
        return [{**row, "group": patient} for row, patient in zip(rows, patients * 3, strict=True)]

    tested, tuned = diagnosis(TESTED, "t"), diagnosis(TUNED, "v")
    with pytest.raises(BrokenData, match="validation predictions: 1 group of the tested samples, such as 'p2'"):
        score(of(tested, "p1", "p2"), validation=of(tuned, "p2", "p3"), **asked)
    assert score(of(tested, "p1", "p2"), validation=of(tuned, "p3", "p4"), **asked).validation
    assert score(of(tested, "v0", "p2"), validation=tuned, **asked).validation  # there v0 is an id


def test_the_terminal_shows_the_cautions_of_the_json():
    scored = score(diagnosis(TESTED, "t"), kind="diagnosis", classes=("well", "ill"))
    cautions = {name: one["caution"] for name, one in document(scored)["metrics"].items() if one["caution"]}
    assert cautions
    shown = {line.split()[0]: line for line in lines(scored) if line.startswith("  ")}
    assert all(caution in shown[name] for name, caution in cautions.items())


def test_null_is_no_answer_and_an_empty_text_is_one(task):
    silent, empty = joined([question("q0", answer=None), question("q1", "no", "")], task)[:2]
    assert (silent.error, empty.error) == ("no answer in the file", "")
    assert score([question("a", answer="")], kind="vqa").measured.metrics["unparseable_rate"].value == 1.0


def test_a_truth_may_name_an_option_by_its_letter():
    (found,) = stated([question("a", "B", "right", form="choice", options=["left", "right"])], "vqa")
    assert found.truth == "right"


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), None])
def test_a_score_that_is_no_number_is_refused_with_its_sample_or_row(bad):
    rows = [{"id": "one", "truth": "ill", "scores": [0.2, 0.8]}, {"id": "two", "truth": "well", "scores": [bad, 0.5]}]
    with pytest.raises(BrokenData, match=r"sample 'two'|row 2"):
        score(rows, kind="diagnosis", classes=("well", "ill"))
    with pytest.raises(BrokenData, match=r"sample 'two'|row 2"):
        score([question("one"), question("two", scores=[bad, 0.5])], kind="vqa")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([question("a"), question("a")], r"row 2: the id 'a' is there twice"),
        ([{"id": "a", "answer": "yes"}], r"row 1: there is no column 'truth'; name it with --truth COLUMN"),
        ([{"id": "a", "truth": "yes"}], r"row 1: there is no column 'answer'; name it with --answer COLUMN"),
        ([question("a", truth="")], r"row 1: column 'truth' is ''; expected a text"),
        ([question("a", answer=["yes"])], r"row 1: column 'answer' is \['yes'\]; expected a text"),
        ([question("a", answer=True)], r"row 1: column 'answer' is True; expected a text"),
        ([question("a", answer=float("nan"))], r"row 1: column 'answer' is nan; expected a text"),
        ([question("a", form="multiple")], r"row 1: column 'form' is 'multiple'; expected one of closed, choice, open"),
        ([question("a", form="choice")], r"row 1: column 'truth' is 'yes'; expected one of the options \(there are none\)"),
        (
            [question("a", options="yes|no", scores=[1.0])],
            r"row 1: column 'scores' is \[1.0\]; expected one score for each of 2",
        ),
        ([question("a", attributes="male")], r"row 1: column 'attributes' is 'male'; expected an object"),
        ([question(" ")], r"row 1: column 'id' is ' '; expected a text"),
        ([question("a", truth="\t")], r"row 1: column 'truth' is '\\t'; expected a text"),
        ([question("a", skill="reason")], r"row 1: column 'skill' is 'reason'; expected one of understanding, reasoning"),
        ([question("a", "maybe", **YES_NO)], r"row 1: column 'truth' is 'maybe'; expected one of the options yes, no"),
        (
            [question("a", "A", form="choice", options=["B", "A"])],
            r"row 1: column 'truth' is 'A'; expected one option; it is one's text and the letter of 'B'",
        ),
        (
            [question("a", options="yes|no", scores={"yes": 0.5, "no": 0.5})],
            r"row 1: column 'scores' is .*; expected numbers in the order of the options",
        ),
        ([question("a", options="yes|no", scores=[10**400, 0])], r"row 1: column 'scores' is .*; expected numbers"),
        ([question("a", options="yes|no", scores="1_0|0")], r"row 1: column 'scores' is '1_0\|0'; expected numbers"),
    ],
)
def test_a_row_that_cannot_be_read_is_refused_with_its_column(rows, message):
    with pytest.raises(BrokenData, match=message):
        score(rows, kind="vqa")


@pytest.mark.parametrize("bad", ["", "0,6", "1_0", None])
def test_a_class_column_without_a_number_is_named(bad):
    with pytest.raises(BrokenData, match=r"row 1: column 'ill', of a class, is .*; expected a number"):
        score([{"id": "a", "truth": "ill", "well": "0.4", "ill": bad}], kind="diagnosis", classes=("well", "ill"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("said.txt", "yes", "predictions are read from .json, .jsonl, .csv"),
        ("said.json", "[]", "it holds no predictions"),
        ("said.json", '{"a": {"truth": "yes"}, "a": {"truth": "no"}}', "the key 'a' is there twice"),
        ("said.json", "[1]", "expected objects, one a sample"),
        ("said.json", "{", "not a readable json file"),
        ("said.jsonl", '{"id": 1}\n\n{"id": 2', "not a readable jsonl file .*: line 3, column 9: Expecting"),
        ("said.jsonl", '{"id": 1}\n{"id": 2, "id": 3}', "line 2: the key 'id' is there twice"),
        ("said.csv", "id,truth\n1,yes,no\n", "row 1 does not have 2 cells"),
        ("said.csv", "id,truth,truth\n1,yes,no\n", "two columns have the same name"),
    ],
)
def test_a_file_that_cannot_be_read_is_named(tmp_path, name, content, message):
    with pytest.raises(BrokenData, match=message) as error:
        read(file(tmp_path, name, content))
    assert name in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(BrokenData, match=r"none\.json: not a readable json file"):
        read(tmp_path / "none.json")


def test_an_unknown_metric_is_named_with_those_there_are(capsys, tmp_path):
    path = file(tmp_path, "said.json", [question("a")])
    assert main(["score", str(path), "--kind", "vqa", "--metrics", "acuracy"]) == 2
    assert "unknown metric 'acuracy'; there are accuracy, " in capsys.readouterr().err
    with pytest.raises(UnknownName):
        document(score(path, kind="vqa"), ["acuracy"])


def test_neither_a_task_nor_a_kind_or_no_classes_is_an_error():
    for asked in ({}, {"kind": "diagnosis"}):
        with pytest.raises(MedrivalError, match="for a task, or for a kind"):
            score([question("a")], **asked)


def test_an_unknown_task_and_a_file_that_cannot_be_written_are_errors_on_standard_error(capsys, tmp_path):
    path = file(tmp_path, "said.json", [question("a")])
    assert main(["score", str(path), "--task", "vqa-red"]) == 2
    assert "unknown task 'vqa-red'. Did you mean 'vqa-rad'" in capsys.readouterr().err
    assert main(["score", str(path), "--task", "vqa*"]) == 2
    assert "--task 'vqa*' means vqa-rad, vqa-rad-organ, " in capsys.readouterr().err
    assert main(["score", str(path), "--kind", "vqa", "--json", str(path / "out.json")]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_a_task_of_the_catalog_is_scored_by_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda _: tmp_path)
    rows = [{"id": "fundus-p160-1", "scores": [0.5, 0.5]}]
    path = file(tmp_path, "said.json", rows)
    assert main(["score", str(path), "--task", "phantom-fundus", "--metrics", "accuracy"]) == 0
    assert "failed: fundus-p160-2: no prediction in the file" in capsys.readouterr().out


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.text(min_size=1).filter(str.strip), st.text(), st.sampled_from(["open", "closed"])),
        min_size=1,
        max_size=20,
    ),
    st.randoms(),
)
def test_no_answer_breaks_scoring_and_the_order_of_rows_changes_no_value(said, random):
    rows = [question(str(i), truth, answer, form=form) for i, (truth, answer, form) in enumerate(said)]
    shuffled = random.sample(rows, len(rows))
    one, other = (score(some, kind="vqa").measured.metrics for some in (rows, shuffled))
    for name, estimate in one.items():
        assert estimate.value == (None if estimate.value is None else pytest.approx(other[name].value, abs=1e-12))
        assert estimate.value is None or 0 <= estimate.value <= 1
