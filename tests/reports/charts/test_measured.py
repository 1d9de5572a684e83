from dataclasses import replace

import pytest

from medrival.reports.charts.measured import by_seed, firsts, in_order, measures


def test_a_measure_has_the_records_own_numbers(study):
    for one in measures(study):
        case = next(c for c in study if (c.model, c.task, c.regime) == (one.model, one.task, one.regime))
        known = case.metrics[case.primary]
        assert (one.value, one.low, one.high, one.n) == (known["value"], known["low"], known["high"], known["n"])


def test_over_seeds_the_mean_counts_and_the_span_of_intervals(study):
    case = study[0]
    other = replace(case, seed=1, metrics={"auroc": {"value": 0.9, "low": 0.1, "high": 0.95, "n": 120}})
    (one,) = measures([case, other])
    assert one.value == pytest.approx((case.metrics["auroc"]["value"] + 0.9) / 2)
    assert (one.low, one.high, one.seeds) == (0.1, max(0.95, case.metrics["auroc"]["high"]), 2)
    assert "mean of 2 seeds" in one.says


@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_has_no_value_is_no_measure(study, value):
    assert measures([replace(study[0], metrics={"auroc": {"value": value, "low": None, "high": None, "n": 0}})]) == []


def test_cases_that_were_not_measured_are_left_out(study):
    lost = next(case for case in study if case.status == "failed")
    assert lost not in [case for seeds in by_seed(study).values() for case in seeds]
    assert len(firsts([study[0], replace(study[0], seed=1)])) == 1


def test_tasks_keep_the_order_of_the_run(study):
    assert in_order(["questions", "chest"], study) == ["chest", "questions"]
