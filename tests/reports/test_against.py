from dataclasses import replace
from pathlib import Path

import pytest

from medrival.contracts import Prediction
from medrival.reports.against import against
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
