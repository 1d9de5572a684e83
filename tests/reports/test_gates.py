"""What the gates decided, in the terminal, in the page, on GitHub and in JUnit; verdicts by family; baselines."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from medrival.case import Comparison, Cost, Outcome
from medrival.errors import BrokenBaseline, ReportNotWritten
from medrival.gates import Baseline, Judgement
from medrival.reports import baseline
from medrival.reports.baseline import write_baseline
from medrival.reports.escaping import LETTERS
from medrival.reports.gates import by_gate, counted, gate_lines
from medrival.reports.github import append_summary, markdown
from medrival.reports.html import write_html
from medrival.reports.json_report import write_json
from medrival.reports.junit import properties
from medrival.reports.questions import questions
from medrival.reports.record import Run, corrected
from medrival.reports.summary import summary
from medrival.statistics import Difference, Estimate

WHY = (
    "auroc 0.842 [0.821, 0.861] on 1,811 samples is 0.031 below biomedclip "
    "(margin 0.02; 90% interval of the difference [-0.045, -0.017])"
)


def judged(
    name: str, status: str = "passed", *, case: str | None = "c", holds: bool | None = None, why: str = WHY
) -> Judgement:
    return Judgement(name, case, None, status, status == "passed" if holds is None else holds, 0.8, 0.7, why)  # type: ignore[arg-type]


def hostile(run: Run) -> Run:
    gates = (
        judged("<img src=x>|`*_[a](http://b)", "failed", case="\x1b[2J<script>\n| b", why="</td>\u202e `x` & **y**\r\n# z"),
    )
    cases = (replace(run.cases[0], status="failed", reason="<b>|out\nof memory", predictions=(), metrics={}), *run.cases[1:])
    return replace(run, gates=gates, cases=cases)


def test_the_terminal_tells_each_gate_in_80_columns(run: Run) -> None:
    gates = (
        judged("fair", case="a"),
        judged("fair", "inconclusive", case="b", holds=True),
        judged("keeps up", "failed", case="biomedclip-ham10000-lora"),
        judged("everything ran", case=None),
    )
    lines = summary(replace(run, gates=gates))
    at = lines.index("Gates: 2 of 3 hold")
    assert lines[at + 1] == "  passed  fair (2 cases, 1 inconclusive)"
    assert lines[at + 2].startswith("  FAILED  keeps up, biomedclip-ham10000-lora: auroc 0.842")
    assert lines[-2] == "  passed  everything ran"
    told = " ".join(" ".join(lines[at:]).split())
    assert WHY in told
    assert all(len(line) <= 80 for line in lines[:-1])


def test_an_interval_stays_in_one_line() -> None:
    lines = gate_lines([judged("g" * width, "failed") for width in range(30)], 80)
    assert lines
    assert all(line.count("[") == line.count("]") for line in lines)


def test_many_failures_of_a_gate_are_counted_not_listed() -> None:
    lines = gate_lines([judged("g", "failed", case=f"case{i}") for i in range(50)], 80)
    assert lines[0] == "Gates: 0 of 1 hold"
    assert lines[-1] == "          and 46 more: see the report"


def test_without_gates_nothing_is_said_of_them(run: Run, tmp_path: Path) -> None:
    assert not any("Gates" in line for line in summary(run))
    assert 'id="gates"' not in write_html(replace(run, cases=(), pairs=()), lambda *_: None).read_text()
    assert "### Gates" not in list(markdown(run))


def test_names_and_sentences_cannot_steer_terminal_page_or_job_summary(run: Run) -> None:
    run = hostile(run)
    lines = summary(run)
    assert all(line.isprintable() for line in lines)
    page = write_html(replace(run, cases=run.cases[:2], pairs=run.pairs[:2]), lambda *_: None).read_text()
    assert 'id="gates"' in page
    assert "<img" not in page
    assert "</td>\u202e" not in page
    rows = [line for line in markdown(run) if line.startswith("|")]
    for row in rows:
        assert row.isprintable()
        assert len(re.findall(r"(?<!\\)\|", row)) == 5 if "failed**" in row else 4
        assert not re.search(r"(?<!\\)[<`\[#]", row)


def test_a_job_summary_has_answers_gates_and_what_was_not_measured(run: Run, tmp_path: Path) -> None:
    lost = replace(run.cases[0], status="skipped", reason="no data", predictions=(), metrics={})
    run = replace(run, cases=(lost, *run.cases[1:]), gates=(judged("good"), judged("bad", "failed", case="x")))
    path = tmp_path / "job.md"
    path.write_text("before\n")
    append_summary(path, run)
    text = path.read_text()
    assert text.startswith("before\n## medrival: suite pocket\n")
    assert "40 cases: 39 measured, 0 failed, 1 skipped." in text
    assert "- **Both off the shelf, in-domain**: No: medical ahead in 6 of 6" in text
    assert text.index("| **failed** | bad | x | auroc 0.842") < text.index("| passed | good | c |")
    assert f"| skipped | {lost.id} | no data |" in text


def test_a_job_summary_stays_far_below_what_github_cuts(run: Run) -> None:
    run = replace(run, gates=tuple(judged(f"gate {i}", "failed", why="word " * 5000) for i in range(3000)))
    lines = list(markdown(run))
    assert sum(len(line) + 1 for line in lines) < 2**20
    assert max(map(len, lines)) < 4 * LETTERS
    assert "... and 2,800 more: see report.json." in lines


def test_junit_properties_are_plain_texts_that_read_back_as_the_numbers() -> None:
    metrics = {"auroc": Estimate(np.float64(0.1) + 0.2, 0.25, None, 40), "accuracy": Estimate(None, None, None, 0, "none")}
    outcome = Outcome("key", (), metrics, (), Cost(1, 1, 1, 1, None, 1))
    found = properties(outcome, [judged("keeps up", "failed")])
    assert {type(text) for pair in found for text in pair} == {str}
    values = dict(found)
    assert float(values["auroc"]) == 0.1 + 0.2
    assert (values["auroc.high"], values["accuracy"]) == ("", "")
    assert values["gate keeps up"] == f"failed: {WHY}"


def test_junit_properties_of_a_pair_hold_the_verdict_and_what_it_rests_on() -> None:
    gap = Difference(-0.1, -0.15, -0.05, 0.002, 240)
    found = dict(properties(Comparison("auroc", gap, "medical wins", 0.05), []))
    assert (found["difference"], found["difference.low"], found["verdict"], found["margin"]) == (
        "-0.1",
        "-0.15",
        "medical wins",
        "0.05",
    )
    assert (found["p_value"], found["metric"]) == ("0.002", "auroc")


def test_p_is_corrected_across_the_pairs_that_were_measured(run: Run) -> None:
    """Holm 1979: the k-th smallest of m times m - k + 1, never smaller than one before it, never above 1."""
    raw = (0.01, 0.04, 0.03, 0.005, None, 0.9)
    pairs = [replace(run.pairs[0], p_value=p) for p in raw]
    pairs.append(replace(run.pairs[0], p_value=1e-9, status="failed", reason="out of memory"))
    assert [p.p_adjusted for p in corrected(pairs)] == pytest.approx([0.04, 0.09, 0.09, 0.025, None, 0.9, None])


def test_a_verdict_names_margin_interval_and_corrected_p(run: Run) -> None:
    pair = replace(run.pairs[0], difference=-0.21, low=-0.26, high=-0.15, p_value=0.01, p_adjusted=0.04, verdict="medical wins")
    run = replace(run, pairs=(pair,))
    lines = list(summary(run, verbose=True))
    place = lines.index(f"  {pair.id}  medical wins")
    assert lines[place + 1] == "    auroc -0.210 [-0.260, -0.150], margin 0.05, corrected p 0.040, n=240"
    page = write_html(replace(run, cases=()), lambda *_: None).read_text()
    assert "<span>0.040</span><small>raw 0.010</small>" in page
    assert json.loads(write_json(run).read_text())["pairs"][0]["p_adjusted"] == 0.04


def test_each_question_is_answered_overall_and_by_family_with_its_domain(run: Run) -> None:
    found = questions(run.pairs)
    assert [(q["question"], q["domain"], q["family"]) for q in found] == [
        (question, domain, family)
        for family in (None, "pocket-clip", "pocket-llava")
        for question, domain in ((1, "in"), (2, "in"), (3, "ood"))
    ]
    assert found[0]["sentence"] == "No: medical ahead in 6 of 6"
    for question in (1, 2, 3):
        overall, *families = (q["verdicts"] for q in found if q["question"] == question)
        assert overall == {verdict: sum(family[verdict] for family in families) for verdict in overall}


def test_the_terminal_answers_by_family_where_there_are_several(run: Run) -> None:
    lines = summary(run)
    assert lines[3].startswith("    pocket-clip             No: medical ahead in 3 of 3; ")
    assert lines[4].startswith("    pocket-llava            No: medical ahead in 3 of 3; ")
    one = summary(replace(run, pairs=tuple(pair for pair in run.pairs if pair.family == "pocket-clip")))
    assert not any("pocket-clip  " in line for line in one)


# baselines


def planned(run: Run) -> list[str]:
    return [case.id for case in run.cases]


def test_a_baseline_reads_back_what_the_run_predicted(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "before" / "report.json"
    run = replace(run, cases=tuple(replace(c, validation=c.predictions[:40] if c.classes else ()) for c in run.cases))
    write_baseline(path, run, planned(run))
    before = Baseline.read(path)
    assert before.started == run.started
    for case in run.cases:
        assert before.predictions(case.id) == case.predictions
        assert before.validation(case.id) == case.validation


@pytest.mark.parametrize(
    "lines", [slice(0, 15), slice(None, None, -1)], ids=["15 of 40 lines are left", "the order is another"]
)
def test_a_file_of_a_baseline_that_was_changed_is_refused(run: Run, tmp_path: Path, lines: slice) -> None:
    path = tmp_path / "before" / "report.json"
    case = replace(run.cases[0], validation=run.cases[0].predictions[:40])
    write_baseline(path, replace(run, cases=(case,), pairs=()), [case.id])
    before = Baseline.read(path)
    file = path.parent / before.cases[case.id]["validation"]
    file.write_text("".join(file.read_text().splitlines(keepends=True)[lines]))
    with pytest.raises(BrokenBaseline, match="its content is not what was written"):
        before.validation(case.id)
    assert before.predictions(case.id) == case.predictions


def test_a_baseline_that_cannot_be_written_names_its_own_option(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportNotWritten, match="run again with --baseline and a folder that can be written"):
        write_baseline(tmp_path / "file" / "report.json", run, planned(run))


def test_an_ordinary_report_is_a_baseline(run: Run) -> None:
    before = Baseline.read(write_json(run))
    assert before.predictions(run.cases[0].id) == run.cases[0].predictions


def test_a_new_baseline_replaces_the_old_one_and_leaves_the_rest_of_the_folder(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "before" / "report.json"
    run = replace(run, cases=tuple(replace(case, validation=case.predictions[:40]) for case in run.cases))
    write_baseline(path, run, planned(run))
    (path.parent / "predictions" / "notes.txt").write_text("mine")
    said = tuple(replace(p, answer="other") for p in run.cases[0].predictions)
    changed = replace(run.cases[0], predictions=said, validation=())
    write_baseline(path, replace(run, cases=(changed,), pairs=()), [changed.id])
    assert Baseline.read(path).predictions(run.cases[0].id) == said
    assert len(list(path.parent.rglob("*.jsonl"))) == 1
    assert (path.parent / "predictions" / "notes.txt").read_text() == "mine"


def test_a_process_that_dies_while_it_writes_leaves_the_old_baseline_whole(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "before" / "report.json"
    write_baseline(path, run, planned(run))
    changed = tuple(replace(c, predictions=tuple(replace(p, answer="new") for p in c.predictions)) for c in run.cases)
    for survived in (0, 1, 20, 40):
        left = iter(range(survived))

        def dies(target: Path, text: str, option: str, left=left) -> Path:  # type: ignore[no-untyped-def]
            if next(left, None) is None:
                raise KeyboardInterrupt
            target.write_text(text)
            return target

        monkeypatch.setattr(baseline, "write", dies)
        with pytest.raises(KeyboardInterrupt):
            write_baseline(path, replace(run, cases=changed), planned(run))
        before = Baseline.read(path)
        assert all(before.predictions(case.id) == case.predictions for case in run.cases)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda run: replace(run, cases=run.cases[1:]), "was not measured"),
        (
            lambda run: replace(run, cases=(replace(run.cases[0], status="failed", reason="x"), *run.cases[1:])),
            "was not measured",
        ),
        (lambda run: replace(run, cases=(replace(run.cases[0], notes={"limit": 50}), *run.cases[1:])), "limited to 50 samples"),
        (lambda run: replace(run, pairs=(replace(run.pairs[0], status="failed", reason="x"),)), "was not measured"),
        (lambda run: replace(run, cases=()), "and 39 more were not measured"),
    ],
    ids=["missing", "failed", "limited", "failed pair", "nothing"],
)
def test_a_run_that_is_not_whole_writes_no_baseline(run: Run, tmp_path: Path, spoil, words: str) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / "before" / "report.json"
    with pytest.raises(BrokenBaseline, match=words):
        write_baseline(path, spoil(run), planned(run))
    assert not path.parent.exists()


def test_the_head_of_the_page_counts_the_gates_as_the_terminal_does(run: Run) -> None:
    gates = (judged("fair"), judged("fair", "failed", case="d"), judged("cheap"), judged("sure", "inconclusive", holds=True))
    page = write_html(replace(run, gates=gates), lambda _task, _sample: None).read_text()
    assert gate_lines(gates, 80)[0] == "Gates: 2 of 3 hold"
    assert "gates: 2 of 3 hold ·" in page


def test_a_gate_of_which_a_name_matches_nothing_counts_what_it_judged(run: Run) -> None:
    gates = (judged("fair", "failed", case=None, why="none of the cases matches 'x'"), judged("fair"), judged("fair", case="d"))
    page = write_html(replace(run, gates=gates), lambda _task, _sample: None).read_text()
    assert counted(by_gate(gates)["fair"]) == "2 cases"
    assert "2 cases; 1 of 3 do not hold" in page
