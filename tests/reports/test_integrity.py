"""What the audits found stands beside the scores: in the rows, on the page and in the terminal."""

import re
from dataclasses import replace
from html import unescape

import pytest

from medrival.gates import Judgement
from medrival.integrity import Audit, Blind, Concern, Duplicates, Images, Leakage, Lookalikes
from medrival.reports.gates import gate_lines
from medrival.reports.html import write_html
from medrival.reports.integrity import audit_lines, beside, unaudited
from medrival.reports.record import AuditRecord
from medrival.reports.summary import summary
from medrival.tasks.metrics import measure

TASK = "phantom-chest-vqa"
PAIRS = ("train", "validation", "test", "test-train", "test-validation", "validation-train")


def audited(task: str = TASK, leaked: tuple[str, ...] = (), findings: tuple[Concern, ...] = ()) -> AuditRecord:
    nowhere = dict.fromkeys(PAIRS, 0)
    audit = Audit(
        task=task,
        fingerprint="f",
        limit=None,
        counts={"train": 400, "validation": 100, "test": 240},
        published={},
        images=Images({"train": 400, "validation": 100, "test": 240, "all": 740}, (), 0),
        duplicates=Duplicates(nowhere, nowhere, nowhere, 28, 20, 255, (), ()),
        leakage=Leakage(240, len(leaked), 0, 0, 0, leaked),
        repeats={},
        balance={},
        constant=Blind("closed: always 'yes'", "the training split", "closed_accuracy", {"closed_accuracy": 0.512}),
        question_only=Blind("by the words", "closed: 9 training questions", "closed_accuracy", {"closed_accuracy": 0.634}),
        findings=findings,
    )
    return AuditRecord(task, "measured", audit=audit)


WARNED = (
    Concern("warning", "120 of 240 test samples (50.0%) are leaked"),
    Concern("warning", "train has 9 samples, not the 10 that are published"),
    Concern("note", "1 images of train are there more than once"),
)


@pytest.fixture
def asked(cases):
    """The cases of one task."""
    return [case for case in cases if case.task == TASK]


def test_cases_of_an_audited_task_have_the_figures_without_the_image_and_others_have_none(cases):
    found = beside(cases, [audited()], drop_leaked=False)
    assert [case.id for case in found] == [case.id for case in cases]
    assert {str(case.blind) for case in found if case.task == TASK} == {"{'constant': 0.512, 'question_only': 0.634}"}
    assert all(not case.blind and case.unleaked is None for case in found if case.task != TASK)


def test_without_leaked_samples_metrics_are_those_of_the_other_predictions(asked):
    leaked = tuple(prediction.id for prediction in asked[0].predictions[:100])
    (found,) = beside(asked[:1], [audited(leaked=leaked)], drop_leaked=True)
    alone = measure("vqa", asked[0].predictions[100:]).metrics["closed_accuracy"]
    assert found.unleaked["n"] == 140
    assert found.unleaked["metrics"]["closed_accuracy"]["value"] == alone.value
    assert found.unleaked["metrics"]["closed_accuracy"]["low"] == alone.low
    assert found.metrics == asked[0].metrics


def test_where_nothing_is_leaked_both_scores_are_the_same_and_where_all_is_there_is_none(asked):
    (same,) = beside(asked[:1], [audited()], drop_leaked=True)
    assert same.unleaked == {"n": 240, "metrics": asked[0].metrics}
    (nothing,) = beside(asked[:1], [audited(leaked=tuple(p.id for p in asked[0].predictions))], drop_leaked=True)
    assert nothing.unleaked == {"n": 0, "metrics": {}}


def test_tasks_that_were_not_audited_are_named_once(cases):
    tasks = {case.task for case in cases}
    assert set(unaudited(cases, [audited()])) == tasks - {TASK}
    assert unaudited(cases, [audited(task) for task in tasks]) == []


def test_the_terminal_has_one_finding_a_task_and_none_where_there_is_no_warning():
    quiet = audited("quiet", findings=(Concern("note", "nothing much"),))
    (line, *rest) = audit_lines([quiet, audited(findings=WARNED)], 200)
    assert line == f"  {TASK}: 120 of 240 test samples (50.0%) are leaked; 1 more finding in the report"
    assert rest == []


def test_the_summary_says_what_was_audited_and_why_an_audit_failed(run):
    failed = AuditRecord("mine", "failed", "mine: 2 ids are there more than once: 'a', 'b'")
    lines = summary(replace(run, audits=(audited(findings=WARNED), failed)))
    assert lines[1] == "  1 data set audited"
    assert "  1 audit failed: mine: 2 ids are there more than once: 'a', 'b'" in lines


def test_a_gate_on_data_sets_counts_data_sets():
    held = [Judgement("not leaked", None, None, "passed", True, 0.0, 0.1, "nothing is leaked", task=task) for task in "ab"]
    assert gate_lines(held, 80) == ["Gates: 1 of 1 hold", "  passed  not leaked (2 data sets)"]


def test_a_run_of_audits_alone_does_not_speak_of_pairs(run):
    text = " ".join(summary(replace(run, cases=(), pairs=(), audits=(audited(),))))
    assert "1 data set audited" in text
    assert "No general and medical model" not in text


def test_the_page_has_findings_escaped_and_figures_beside_the_result(run, asked, tmp_path):
    dropped = asked[0].predictions[0].id
    hostile = audited(leaked=(dropped,), findings=(Concern("warning", "<script>alert(1)</script>"),))
    cases = beside(asked, [hostile], drop_leaked=True)
    text = write_html(replace(run, cases=cases, pairs=(), audits=(hostile,), report_dir=tmp_path), lambda *_: None).read_text()
    assert "<script>alert" not in text
    assert "<script>alert(1)</script>" in unescape(text)
    assert "without the image: constant 0.512, question 0.634" in text
    (left,) = (case.unleaked["metrics"][case.primary]["n"] for case in cases if case.id == asked[0].id)
    assert re.search(rf"without leaked samples: [^<]*, n = {left}<", text)
    assert "closed: always &#39;yes&#39;" in text


def test_the_page_says_beside_figures_that_they_are_of_a_limited_task_and_beside_scores_that_nothing_was_audited(
    run, asked, tmp_path
):
    for limit, figures, cells in ((240, 1, 3), (1000, 0, 0)):
        record = replace(audited(), audit=replace(audited().audit, limit=limit))
        cases = [replace(case, notes={**case.notes, "limit": limit}) for case in (*asked, *run.cases[:2])]
        cases = beside(cases, [record], drop_leaked=False)
        limited = replace(run, cases=cases, pairs=(), audits=(record,), report_dir=tmp_path)
        told = write_html(limited, lambda *_: None).read_text()
        known = [case for case in cases if case.task == TASK and case.status == "measured"]
        assert told.count("of the limited task<") == figures * len(known) + cells
        assert told.count("data not audited<") == sum(case.status == "measured" for case in cases) - len(known)


def test_the_page_tells_balance_repeats_lookalikes_and_names_of_a_data_set(run, tmp_path):
    record = audited(leaked=tuple(f"q{i}" for i in range(7)))
    turned = (Lookalikes(("q3", "q4"), 1),)
    alike = replace(record.audit.duplicates, examples=(Lookalikes(("<b>", "q2"), 3),), turned_examples=turned)
    known = replace(
        record.audit,
        duplicates=alike,
        images=replace(record.audit.images, unreadable=("image 'a.png' cannot be read: it is empty",)),
        repeats={"train": {"same image": 0, "other image": 0}, "test-train": {"same image": 2, "other image": 30}},
        balance={"train": {"yes or no": {"yes": 1_200, "no": 7}}, "validation": {}, "test": {}},
    )
    run = replace(run, cases=(), pairs=(), audits=(replace(record, audit=known),), report_dir=tmp_path)
    page = write_html(run, lambda *_: None).read_text()
    for told in (
        "train, yes or no: yes 1,200, no 7<",
        "questions repeated, test-train: 2 on same image, 30 on other image<",
        "mirrored or turned: q3 and q4: 1 of 255 bits differ<",
        "look alike: &lt;b&gt; and q2: 3 of 255 bits differ<",
        "cannot be read: image &#39;a.png&#39; cannot be read: it is empty<",
        "leaked: q0, q1, q2, q3, q4 and 2 more in report.json<",
    ):
        assert told in page
    assert "questions repeated, train:" not in page


def test_where_nothing_is_leaked_the_page_does_not_say_a_result_twice(run, asked, tmp_path):
    cases = beside(asked, [audited()], drop_leaked=True)
    run = replace(run, cases=cases, pairs=(), audits=(audited(),), report_dir=tmp_path)
    page = write_html(run, lambda *_: None).read_text()
    assert "without leaked samples" not in page
