"""What a gate says of an outcome: passed, failed or inconclusive, by intervals, with figures."""

import re
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from medrival.case import Case, Comparison, Outcome, Subgroups
from medrival.contracts import Prediction
from medrival.errors import MissingAsset
from medrival.gates import Gates
from medrival.gates.judgement import against, decimals, rounded
from medrival.gates.margins import Margin, Other, beside
from medrival.gates.rules import CostBound, MetricBound, SubgroupGap, VerdictIn
from medrival.statistics import Difference, Estimate, verdict
from tests.engine.measured import AUROC, NOTHING, disagreeing, estimate, outcome, said


@pytest.mark.parametrize(
    ("side", "bound", "status", "words"),
    [
        ("least", 0.80, "passed", "auroc 0.842 [0.821, 0.861] on 1,811 samples is at least 0.8"),
        ("least", 0.821, "passed", "auroc 0.842 [0.821, 0.861] on 1,811 samples is at least 0.821"),
        (
            "least",
            0.83,
            "inconclusive",
            "must be at least 0.83, and its interval leaves that open; about 5,600 samples would settle it",
        ),
        ("least", 0.861, "inconclusive", "must be at least 0.861, and its interval leaves that open"),
        ("least", 0.87, "failed", "must be at least 0.87, and its whole interval is below that"),
        ("most", 0.87, "passed", "is at most 0.87"),
        ("most", 0.85, "inconclusive", "must be at most 0.85, and its interval leaves that open"),
        ("most", 0.80, "failed", "must be at most 0.8, and its whole interval is above that"),
    ],
)
def test_a_bound_is_held_against_the_whole_interval(case, side, bound, status, words):
    finding = MetricBound("auroc", bound, side).judge("g", case, outcome(auroc=AUROC), NOTHING)
    assert finding.status == status
    assert words in finding.explanation
    assert finding.explanation.startswith("auroc 0.842 [0.821, 0.861] on 1,811 samples")
    assert (finding.measured, finding.required) == (0.842, bound)


def test_the_number_of_samples_that_would_settle_it_shrinks_the_interval_to_the_bound(case):
    needed = 1811 * ((0.842 - 0.821) / (0.842 - 0.83)) ** 2  # an interval shrinks with the root of the number of samples
    assert rounded(int(np.ceil(needed))) == 5600
    low = 0.842 - (0.842 - 0.821) * np.sqrt(1811 / 5600)
    assert low >= 0.83


@settings(deadline=None)
@given(st.floats(0, 1), st.floats(0, 1), st.floats(-0.5, 1.5), st.floats(-0.5, 1.5))
def test_a_stricter_bound_never_helps(one, other, bound, stricter):
    low, high = sorted((one, other))
    bound, stricter = sorted((bound, stricter))
    order = ["passed", "inconclusive", "failed"]
    assert order.index(against(low, high, bound, "least")) <= order.index(against(low, high, stricter, "least"))
    assert order.index(against(low, high, stricter, "most")) <= order.index(against(low, high, bound, "most"))


@settings(deadline=None)
@given(st.floats(0.01, 1), st.floats(0.01, 1))
def test_a_figure_that_misses_the_bound_does_not_read_like_it(bound, value):
    assume(abs(value - bound) > 2e-6)
    digits = decimals(bound, value)
    assert f"{value:.{digits}f}" != f"{bound:.{digits}f}"


def test_a_caution_on_the_interval_is_told_with_the_judgement(case):
    small = outcome(auroc=replace(AUROC, caution="only 13 patients of the rarest class"))
    assert (
        "(mind: only 13 patients of the rarest class)"
        in MetricBound("", 0.8, "least").judge("g", case, small, NOTHING).explanation
    )


@pytest.mark.parametrize(
    ("metrics", "words"),
    [
        ({"auroc": Estimate(None, None, None, 40, "undefined where samples are of clear only")}, "samples are of clear only"),
        ({"auroc": Estimate(0.9, None, None, 40, "no interval: too few groups of samples")}, "too few groups"),
        ({"accuracy": AUROC}, "there is no metric 'auroc'; there are accuracy"),
    ],
)
def test_what_is_undefined_fails(case, metrics, words):
    finding = MetricBound("auroc", 0.1, "least").judge("g", case, outcome(**metrics), NOTHING)
    assert finding.status == "failed"
    assert words in finding.explanation


@pytest.mark.parametrize(
    ("cost", "side", "bound", "status", "words"),
    [
        ("trainable_parameters", "most", 2_000_000, "passed", "trainable_parameters 12,288 is at most 2,000,000"),
        ("trainable_parameters", "most", 12_287, "failed", "trainable_parameters 12,288 must be at most 12,287"),
        ("trainable_parameters", "least", 12_288, "passed", "is at least 12,288"),
        ("seconds", "most", 12.4999, "failed", "seconds 12.5000 must be at most 12.4999"),
        ("peak_memory_bytes", "most", 1e12, "failed", "peak_memory_bytes is unknown on this machine"),
    ],
)
def test_a_cost_has_no_interval_and_fails_where_it_is_unknown(case, cost, side, bound, status, words):
    finding = CostBound(cost, bound, side).judge("g", case, outcome(), NOTHING)
    assert finding.status == status
    assert words in finding.explanation


@settings(max_examples=40, deadline=None)
@given(st.integers(200, 500), st.floats(0, 0.15), st.floats(0, 0.15), st.floats(0.01, 0.2), st.sampled_from([0.9, 0.95, 0.99]))
def test_not_worse_than_agrees_with_the_normal_interval_of_a_paired_difference(case, n, ours, theirs, margin, confidence):
    """The oracle: Fleiss, Statistical Methods for Rates and Proportions, paired proportions from discordant samples."""
    better, worse = int(ours * n), int(theirs * n)
    assume(better or worse)  # identical predictions need no interval
    difference = (better - worse) / n
    error = np.sqrt(max(better + worse, 1) - (better - worse) ** 2 / n) / n
    low, high = (difference + sign * norm.ppf(confidence) * error for sign in (-1, 1))
    assume(min(abs(low + margin), abs(high + margin)) > 0.01)
    finding = beside(case, "accuracy", *disagreeing(n, better, worse), Margin(margin, confidence))
    assert finding.status == ("passed" if low > -margin else "failed" if high < -margin else "inconclusive")
    assert finding.measured == pytest.approx(difference)
    assert f"{round(200 * confidence - 100)}% interval of the difference" in finding.explanation


def test_a_failure_names_rival_margin_difference_and_interval(case):
    finding = beside(case, "accuracy", *disagreeing(400, 4, 60), Margin(0.02))
    assert finding.status == "failed"
    assert re.fullmatch(
        r"accuracy 0\.650 \[0\.000, 1\.000\] on 400 samples is 0\.140 below rival \(margin 0\.02; 90% interval "
        r"of the difference \[-0\.1\d\d, -0\.1\d\d\]\): worse by more than the margin",
        finding.explanation,
    )
    assert finding.required == -0.02


def test_what_is_open_says_how_many_samples_would_settle_it(case):
    finding = beside(case, "accuracy", *disagreeing(200, 10, 10), Margin(0.01))
    assert finding.status == "inconclusive"
    assert re.search(r"about [\d,]+ samples would settle it", finding.explanation)


def test_failed_samples_of_a_rival_win_nothing_against_it(case):
    mine, rival = disagreeing(400, 200, 60)
    assert beside(case, "accuracy", mine, rival, Margin(0.02)).status == "passed"
    lame = [replace(prediction, scores=(), error="nan") for prediction in rival.predictions[:200]]
    finding = beside(case, "accuracy", mine, Other("rival", [*lame, *rival.predictions[200:]]), Margin(0.02))
    assert finding.status == "inconclusive"
    assert "only because 200 of its 400 samples failed and count as wrong: on the others the difference is -0.300" in (
        finding.explanation
    )
    few = [replace(prediction, scores=(), error="nan") for prediction in rival.predictions[:10]]
    better = disagreeing(400, 100, 0)
    other = Other("rival", [*few, *better[1].predictions[10:]])
    assert beside(case, "accuracy", better[0], other, Margin(0.02)).status == "passed"


def test_of_a_metric_that_is_better_when_lower_more_is_worse(case):
    rng = np.random.default_rng(0)
    truth = np.arange(400) % 2
    sure, unsure = np.where(truth, 0.9, 0.1), np.clip(np.where(truth, 0.6, 0.4) + rng.normal(0, 0.15, 400), 0.01, 0.99)
    good, bad = said(truth, sure), said(truth, unsure)
    metrics = {"brier_score": estimate(0.1, 0.09, 0.11, 400)}
    assert beside(case, "brier_score", outcome(bad, **metrics), Other("the sure one", good), Margin(0.02)).status == "failed"
    assert beside(case, "brier_score", outcome(good, **metrics), Other("the unsure one", bad), Margin(0.02)).status == "passed"


def test_every_error_is_known_to_be_better_when_lower():
    from medrival.tasks.metrics import METRICS

    lower = {name for metrics in METRICS.values() for name, metric in metrics.items() if metric.lower_is_better}
    named = {
        name for metrics in METRICS.values() for name in metrics if re.search(r"error|ece|brier|gap|unparseable|loss", name)
    }
    assert lower == named == {"ece", "brier_score", "unparseable_rate"}


def test_a_rival_is_evaluated_and_one_that_cannot_be_fails_the_gate(plan, rows, tmp_path):
    mine, rival = disagreeing(300, 5, 5)
    path = tmp_path / "gates.toml"
    path.write_text(
        '[[gate]]\nname = "g"\ncases = "pocket-clip-phantom-chest-lora"\nmetric = "accuracy"\n'
        'not-worse-than = { model = "pocket-medclip", regime = "zero-shot", margin = 0.05 }\n'
    )
    gates, asked = Gates.of([path], plan, rows, None, None), []

    def evaluate(case: Case) -> Outcome:
        asked.append(case.id)
        return outcome(rival.predictions)

    def missing(case: Case) -> Outcome:
        raise MissingAsset("pocket-medclip: its weights are not on this machine")

    (judged,) = gates.judge("pocket-clip-phantom-chest-lora", mine, evaluate)
    assert (judged.status, judged.case, asked) == (
        "passed",
        "pocket-clip-phantom-chest-lora",
        ["pocket-medclip-phantom-chest-zero-shot"],
    )
    assert "pocket-medclip zero-shot (margin 0.05" in judged.explanation
    (judged,) = gates.judge("pocket-clip-phantom-chest-lora", mine, missing)
    assert (judged.status, judged.holds) == ("failed", False)
    assert judged.explanation == "it cannot be judged: pocket-medclip: its weights are not on this machine"


def grouped(**groups: float | None) -> dict[str, Estimate]:
    return {name: estimate(v, v, v, 100) if v is not None else Estimate(None, None, None, 3, "x") for name, v in groups.items()}


@pytest.mark.parametrize(
    ("gap", "groups", "status", "words"),
    [
        ((0.05, 0.01, 0.09), {"f": 0.80, "m": 0.85}, "passed", "auroc between groups of sex is 0.050 [0.010, 0.090]"),
        (
            (0.15, 0.02, 0.28),
            {"f": 0.70, "m": 0.85},
            "inconclusive",
            "must be at most 0.1, and its interval leaves that open; about",
        ),
        ((0.25, 0.12, 0.38), {"f": 0.60, "m": 0.85}, "failed", "(f 0.600, m 0.850); it must be at most 0.1"),
        ((0.05, 0.01, 0.09), {"f": 0.8, "m": 0.85, "x": None}, "inconclusive", "must be at most 0.1, and x cannot be measured"),
        ((0.25, 0.12, 0.38), {"f": 0.6, "m": 0.85, "x": None}, "failed", "x undefined"),
        ((None, None, None), {"f": None, "m": 0.85}, "failed", "fewer than two groups"),
    ],
)
def test_the_gap_between_subgroups_is_held_as_a_whole_and_no_group_is_passed_over(case, gap, groups, status, words):
    subgroups = Subgroups("auroc", grouped(**groups), Estimate(*gap, 240, "" if gap[0] else "fewer than two groups"))
    measured = replace(outcome(), subgroups={"sex": subgroups})
    finding = SubgroupGap("sex", 0.1).judge("g", case, measured, NOTHING)
    assert finding.status == status
    assert words in finding.explanation


def test_a_group_without_an_interval_leaves_the_gap_open(case):
    groups = grouped(f=0.80, m=0.85) | {"x": Estimate(0.1, None, None, 3, "no interval: too few groups of samples")}
    measured = replace(outcome(), subgroups={"sex": Subgroups("auroc", groups, estimate(0.05, 0.01, 0.09, 240))})
    finding = SubgroupGap("sex", 0.1).judge("g", case, measured, NOTHING)
    assert finding.status == "inconclusive"
    assert "x cannot be measured" in finding.explanation


def test_an_attribute_that_cannot_be_divided_fails_with_the_reason(case):
    undivided = Subgroups("auroc", {}, Estimate(None, None, None, 0, "13 values; groups are made of 2 to 12 values"))
    measured = replace(outcome(), subgroups={"age": undivided})
    finding = SubgroupGap("age", 0.1).judge("g", case, measured, NOTHING)
    assert (finding.status, finding.explanation.endswith("13 values; groups are made of 2 to 12 values")) == ("failed", True)
    other = SubgroupGap("sex", 0.1).judge("g", case, measured, NOTHING)
    assert "the attributes with groups are: none" in other.explanation


def test_an_attribute_that_no_sample_has_fails(case):
    finding = SubgroupGap("site", 0.1).judge("g", case, outcome(), NOTHING)
    assert finding.status == "failed"
    assert "the attributes with groups are: none" in finding.explanation


@pytest.mark.parametrize(
    ("difference", "allowed", "status"),
    [
        ((0.10, 0.06, 0.14), ("general wins", "equivalent"), "passed"),
        ((0.00, -0.02, 0.02), ("general wins", "equivalent"), "passed"),
        ((-0.10, -0.14, -0.06), ("general wins", "equivalent"), "failed"),
        ((0.02, -0.06, 0.10), ("general wins", "equivalent"), "inconclusive"),
        ((0.02, -0.06, 0.10), ("inconclusive", "equivalent"), "passed"),
        ((None, None, None), ("general wins", "inconclusive"), "failed"),
    ],
)
def test_a_pair_ends_in_one_of_the_verdicts_that_are_allowed(difference, allowed, status):
    gap = Difference(*difference, p_value=0.2, n=240, reason="" if difference[0] is not None else "one class only")
    finding = VerdictIn(allowed).judge(Comparison("auroc", gap, verdict(gap, 0.05), 0.05))
    assert finding.status == status
    if status == "inconclusive":
        assert "would settle it" in finding.explanation
        assert "margin 0.05" in finding.explanation


def test_a_difference_on_other_samples_than_the_metric_passes_no_gate(plan):
    """As under --skills, which labels questions for the metric alone."""
    asked = next(case for case in plan.cases.values() if case.task.kind == "vqa")
    native = [Prediction(f"q{i}", f"p{i}", "yes", answer="yes", form="closed", skill="reasoning") for i in range(200)]
    given = [replace(p, id=f"{p.id}+", group=f"{p.group}+", skill="") for p in native]
    mine = outcome((*native, *(replace(p, answer="no") for p in given)), accuracy_reasoning=estimate(0.5, 0.45, 0.55, 400))
    finding = beside(asked, "accuracy_reasoning", mine, Other("rival", (*native, *given)), Margin(0.02))
    assert finding.status == "failed"
    assert "on 400 samples cannot be compared with rival: the difference is known on 200 samples only" in finding.explanation
    same = beside(asked, "accuracy_reasoning", mine, Other("itself", mine.predictions), Margin(0.02))
    assert same.status == "passed", "a model is no worse than itself, whatever labels it is measured with"
