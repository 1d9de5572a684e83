import json
from dataclasses import replace
from pathlib import Path

import pytest

from medrival.contracts import Prediction
from medrival.reports.against import Against, against
from medrival.reports.html import write_html
from medrival.reports.json_report import write_json
from medrival.reports.reading import read_run
from medrival.reports.record import CaseRecord, Run
from medrival.tasks.metrics import measure, primary
from tests.reports.test_json_report import complaints, written


def _answers(right: int, of: int = 60) -> tuple[Prediction, ...]:
    return tuple(
        Prediction(f"q{i}", f"p{i}", "yes", (), "yes" if i < right else "no", "", "Is it?", "closed", ("yes", "no"))
        for i in range(of)
    )


def _case(template: CaseRecord, right: int) -> CaseRecord:
    said = _answers(right)
    metrics = {name: vars(one) for name, one in measure("vqa", said, (), seed=0).metrics.items()}
    return replace(template, predictions=said, validation=(), metrics=metrics, primary=primary("vqa", said), notes={})


@pytest.fixture
def before(run: Run, tmp_path: Path) -> Run:
    template = next(case for case in run.cases if case.task_kind == "vqa")
    return replace(run, cases=(_case(template, 54),), pairs=(), report_dir=tmp_path / "before")


def _after(before: Run, right: int) -> Run:
    return replace(before, cases=(_case(before.cases[0], right),), report_dir=before.report_dir.parent / "after")


def test_what_changed_is_said_of_each_case_with_its_sign(before: Run) -> None:
    path = write_json(before)
    worse = against(path, _after(before, 30), margin=0.02)
    assert worse.comparison is not None
    (one,) = worse.comparison.cases
    assert one.verdict == "worse"
    assert one.difference.value == pytest.approx((30 - 54) / 60)
    assert worse.started == before.started


def test_the_comparison_is_in_page_and_report_and_is_read_back(before: Run) -> None:
    after = _after(before, 30)
    after = replace(after, baseline=against(write_json(before), after, margin=0.02))
    assert list(complaints(written(after))) == []
    assert read_run(after.report_dir) == after
    text = write_html(after, lambda _task, _sample: None).read_text(encoding="utf-8")
    assert "Against the baseline" in text
    assert "\N{MINUS SIGN}0.400 [" in text


def test_a_baseline_that_cannot_be_compared_says_why(before: Run) -> None:
    path = write_json(before)
    case = _after(before, 30).cases[0]
    other = replace(before, cases=(replace(case, predictions=case.predictions[1:]),))
    found = against(path, other, margin=0.02)
    assert found.comparison is None
    assert "q0" in found.reason or "59" in found.reason
    assert against(path.parent / "nothing.json", other, margin=0.02).reason


@pytest.mark.parametrize("value", ["0.5", None, {"value": []}])
def test_a_damaged_baseline_costs_the_comparison_and_nothing_else(before: Run, value: object) -> None:
    path = write_json(before)
    report = json.loads(path.read_text())
    row = report["cases"][0]
    row["metrics"][row["primary"]] = value if value is None or isinstance(value, dict) else {"value": value}
    path.write_text(json.dumps(report))
    found = against(path, _after(before, 30), margin=0.02)
    assert found.comparison is None
    assert "it is damaged" in found.reason


def test_the_page_says_why_a_case_has_no_difference_what_failed_and_that_nothing_changed(before: Run) -> None:
    found = against(write_json(before), _after(before, 54), margin=0.02).comparison
    assert found is not None
    (same,) = found.cases
    nothing = replace(same.difference, value=None, low=None, high=None, p_value=None, reason="<b>one class only")
    lost = replace(same, difference=nothing, verdict="inconclusive", identical=False, failed=(1, 2000))
    run = replace(before, baseline=Against("base.json", "", replace(found, cases=(same, lost))))
    text = write_html(run, lambda _task, _sample: None).read_text(encoding="utf-8")
    assert text.count("identical predictions") == 1
    assert "undefined: &lt;b&gt;one class only" in text
    assert "failed: 1 before, 2,000 now" in text


def test_a_case_that_changed_leaves_the_others_compared(before: Run) -> None:
    template = before.cases[0]
    other = replace(_case(template, 50), id="another", model="another")
    longer = replace(other, predictions=(*other.predictions, replace(other.predictions[0], id="new")))
    both = replace(before, cases=(*before.cases, other))
    found = against(write_json(both), replace(both, cases=(template, longer)), margin=0.02)
    assert found.comparison is not None
    assert [one.ids for one in found.comparison.cases] == [((template.id, template.id),)]
    assert list(found.comparison.left_out) == ["another"]


def test_what_cannot_be_compared_is_said_of_the_baseline_and_this_run(before: Run) -> None:
    gone = replace(before, cases=(replace(before.cases[0], id="elsewhere", model="elsewhere"),))
    found = against(write_json(before), gone, margin=0.02)
    assert found.reason == (
        f"no case is in both runs: the baseline has such as {before.cases[0].id!r}; this run has such as 'elsewhere'"
    )


def test_unlike_questions_are_told_of_the_baseline_and_this_run(before: Run) -> None:
    asked = [replace(before.cases[0], notes={"asked_by": how}) for how in ("its chat template", "text alone")]
    found = against(write_json(replace(before, cases=(asked[0],))), replace(before, cases=(asked[1],)), margin=0.02)
    assert found.comparison is not None
    (one,) = found.comparison.cases
    assert "the baseline was asked by its chat template, this run was asked by text alone" in one.difference.caution
