"""What a gate says of an outcome: passed, failed or inconclusive, by intervals, with figures."""

import json
import re
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.metrics import roc_curve

from medrival.case import Case, Comparison, Cost, Outcome, Subgroups
from medrival.contracts import Prediction
from medrival.errors import BrokenBaseline, MissingAsset
from medrival.gates import Baseline, Gates
from medrival.gates.judgement import against, decimals, rounded
from medrival.gates.margins import Margin, Other, beside
from medrival.gates.rules import CostBound, Evidence, MetricBound, NoRegression, SubgroupGap, VerdictIn
from medrival.plan import Plan, Selection
from medrival.statistics import Difference, Estimate, verdict
from medrival.tasks.metrics import measure

CLASSES = ("clear", "opacity")
COST = Cost(12.5, 10.0, 12_288, 1_130_000, None, 311.5)
NOTHING = Evidence({}, None, lambda _: pytest.fail("nothing is to be evaluated"))


@pytest.fixture(scope="module")
def plan(rows) -> Plan:
    return Plan.of(rows, Selection("pocket"))


@pytest.fixture(scope="module")
def case(plan) -> Case:
    return plan.cases["pocket-clip-phantom-chest-lora"]


def said(truth, positive) -> tuple[Prediction, ...]:
    """Predictions of samples that are each their own patient: the truth's index and the probability of the second class."""
    return tuple(
        Prediction(f"s{i:04}", f"p{i:04}", CLASSES[t], (1 - float(p), float(p)))
        for i, (t, p) in enumerate(zip(truth, positive, strict=True))
    )


def outcome(predictions=(), **metrics: Estimate) -> Outcome:
    return Outcome("key", CLASSES, metrics, tuple(predictions), COST)


def estimate(value, low, high, n=1811, **more) -> Estimate:
    return Estimate(value, low, high, n, **more)


AUROC = estimate(0.842, 0.821, 0.861)


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


def disagreeing(n: int, ours_alone: int, theirs_alone: int) -> tuple[Outcome, Other]:
    """Two models that are right on the same samples but for some that one alone gets right."""
    truth = np.arange(n) % 2
    ours, theirs = np.ones(n, bool), np.ones(n, bool)
    ours[ours_alone : ours_alone + theirs_alone] = False
    theirs[:ours_alone] = False
    ours[-n // 5 :] = theirs[-n // 5 :] = False
    first, second = (said(truth, np.where(right, truth, 1 - truth) * 0.8 + 0.1) for right in (ours, theirs))
    return outcome(first, accuracy=estimate(float(ours.mean()), 0.0, 1.0, n)), Other("rival", second)


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


# what an earlier run measured


@pytest.fixture
def reported(tmp_path, case):
    """Writes an earlier report of the case and reads it as a baseline."""

    def write(predictions, validation=(), *, classes=CLASSES, status="measured", **changes) -> Baseline:
        (tmp_path / "predictions").mkdir(exist_ok=True)
        files = {"predictions": f"predictions/{case.id}.jsonl", "validation": f"predictions/{case.id}.validation.jsonl"}
        for file, said in zip(files.values(), (predictions, validation), strict=True):
            (tmp_path / file).write_text("".join(json.dumps(asdict(p)) + "\n" for p in said))
        measured = measure("diagnosis", predictions, classes, validation=validation, resamples=2)
        numbers = {"metrics": {name: asdict(one) for name, one in measured.metrics.items()}, "notes": measured.notes}
        if not validation:
            files["validation"] = None
        row = {"id": case.id, "status": status, "classes": classes, "n": len(predictions), **files, **numbers, **changes}
        report = {"schema": "1", "run": {"started": "2026-11-20T08:00:00+00:00"}, "cases": [row]}
        (tmp_path / "report.json").write_text(json.dumps(report))
        return Baseline.read(tmp_path / "report.json")

    return write


def regression(case: Case, mine: Outcome, baseline: Baseline | None) -> tuple[str, str]:
    finding = NoRegression("accuracy", Margin(0.02)).judge("g", case, mine, Evidence({}, baseline, NOTHING.evaluate))
    return finding.status, finding.explanation


def test_an_unchanged_model_has_not_regressed(case, reported):
    mine, _ = disagreeing(300, 10, 10)
    status, words = regression(case, mine, reported(mine.predictions))
    assert status == "passed"
    assert "is level with the baseline of 2026-11-20 (margin 0.02" in words


def test_identical_predictions_pass_however_few_there_are(case, reported):
    """Between one patient's images no interval can be had, and the same answers are no worse all the same."""
    mine, _ = disagreeing(20, 0, 0)
    one = replace(mine, predictions=tuple(replace(p, group="p") for p in mine.predictions))
    status, words = regression(case, one, reported(one.predictions))
    assert status == "passed"
    assert "the predictions are identical" in words
    changed = (replace(one.predictions[0], scores=(0.91, 0.09)), *one.predictions[1:])
    assert regression(case, one, reported(changed))[0] == "failed"


def test_a_model_that_lost_what_it_knew_has_regressed(case, reported):
    mine, before = disagreeing(400, 4, 60)
    status, words = regression(case, mine, reported(before.predictions))
    assert status == "failed"
    assert "0.140 below the baseline of 2026-11-20" in words


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p[:-1], "it has 299 samples, this run 300"),
        (lambda p: (replace(p[0], id="other"), *p[1:]), "the id of sample 's0000' is 's0000' here and 'other' there"),
        (lambda p: (*p[:-1], replace(p[-1], truth="clear")), "the truth of sample 's0299' is 'opacity' here and 'clear' there"),
        (lambda p: (p[1], p[0], *p[2:]), "the id of sample 's0000'"),
        (lambda p: (replace(p[0], group="q"), *p[1:]), "the group of sample 's0000'"),
        (lambda p: (replace(p[0], skill="reasoning"), *p[1:]), "the skill of sample 's0000' is '' here and 'reasoning' there"),
    ],
    ids=["fewer", "id", "truth", "order", "group", "skill"],
)
def test_other_samples_are_no_baseline(case, reported, change, words):
    mine, _ = disagreeing(300, 10, 10)
    status, explanation = regression(case, mine, reported(change(mine.predictions)))
    assert status == "failed"
    assert words in explanation


def test_a_baseline_that_did_not_measure_the_case_or_asked_for_other_classes_fails(case, reported):
    mine, _ = disagreeing(300, 10, 10)
    assert regression(case, mine, reported(mine.predictions, status="failed"))[0] == "failed"
    assert regression(case, mine, reported(mine.predictions, id="another"))[0] == "failed"
    assert "has other classes" in regression(case, mine, reported(mine.predictions, classes=CLASSES[::-1]))[1]
    assert regression(case, mine, None)[0] == "failed"


def sensitivity(case: Case, mine: Outcome, baseline: Baseline) -> tuple[str, str]:
    mine = replace(mine, metrics=measure("diagnosis", mine.predictions, CLASSES, validation=mine.validation).metrics)
    finding = NoRegression("sensitivity", Margin(0.05)).judge("g", case, mine, Evidence({}, baseline, NOTHING.evaluate))
    return finding.status, finding.explanation


def scored(rng: np.random.Generator, skill: float, n: int) -> tuple[Prediction, ...]:
    truth = np.arange(n) % 2
    return said(truth, 1 / (1 + np.exp(-rng.normal(skill * (2 * truth - 1)))))


def rescaled(predictions: tuple[Prediction, ...], blind: int = 0) -> tuple[Prediction, ...]:
    """The same ranks on another scale; of every `blind` samples one is called healthy for sure."""
    positive = [0.0 if blind and i % blind == 0 else p.scores[1] ** 3 for i, p in enumerate(predictions)]
    return tuple(replace(p, scores=(1 - x, x)) for p, x in zip(predictions, positive, strict=True))


def test_each_run_is_held_to_the_threshold_that_its_own_validation_samples_chose(case, reported, tmp_path):
    rng = np.random.default_rng(0)
    before = Outcome("key", CLASSES, {}, scored(rng, 2.0, 600), COST, validation=scored(rng, 2.0, 400))
    worse = replace(before, predictions=rescaled(before.predictions, blind=3), validation=rescaled(before.validation))
    baseline = reported(before.predictions, before.validation)
    assert sensitivity(case, before, baseline)[0] == "passed"
    status, words = sensitivity(case, worse, baseline)
    assert status == "failed"
    truth, found = np.arange(600) % 2 == 1, {}
    for name, out in (("before", before), ("worse", worse)):
        fall_out, recall, thresholds = roc_curve(
            [p.truth == CLASSES[1] for p in out.validation], [p.scores[1] for p in out.validation], drop_intermediate=False
        )
        positive = np.array([p.scores[1] for p in out.predictions])
        found[name] = np.mean(positive[truth] >= thresholds[np.argmax(recall - fall_out)])
    assert f"{found['before'] - found['worse']:.3f} below the baseline of 2026-11-20" in words


def test_a_threshold_that_the_past_run_did_not_keep_cannot_be_compared(case, reported):
    mine = Outcome("key", CLASSES, {}, scored(np.random.default_rng(0), 2.0, 300), COST)
    mine = replace(mine, validation=mine.predictions)
    status, words = sensitivity(case, mine, reported(tuple(replace(p, scores=(0.5, 0.5)) for p in mine.predictions)))
    assert status == "failed"
    assert "cannot be compared with the baseline" in words


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "cannot be read"),
        ("{", "no report.json of medrival"),
        ("[]", "no report.json of medrival"),
        ('{"schema": "1", "cases": []}', "no report.json of medrival"),
        ('{"schema": "1", "run": {"started": "x"}, "cases": [{}]}', "no report.json of medrival"),
        ('{"schema": "2", "run": {"started": "x"}, "cases": []}', "its schema is '2'"),
    ],
)
def test_a_damaged_report_is_one_clear_error(tmp_path, content, words):
    path = tmp_path / "report.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BrokenBaseline, match=re.escape(f"--baseline {path}: ")) as caught:
        Baseline.read(path)
    assert words in str(caught.value)


def cut(path: Path) -> None:
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


@pytest.mark.parametrize(
    "damage",
    [
        Path.unlink,
        cut,
        lambda path: path.write_text(path.read_text()[:-9]),
        lambda path: path.write_text(path.read_text().replace('"truth"', '"wahr"', 1)),
        lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    ],
    ids=["gone", "a line less", "half a line", "an unknown key", "no text"],
)
def test_damaged_predictions_are_one_clear_error(case, reported, tmp_path, damage):
    mine, _ = disagreeing(200, 1, 1)
    baseline = reported(mine.predictions)
    assert baseline.predictions(case.id) == mine.predictions
    damage(tmp_path / "predictions" / f"{case.id}.jsonl")
    with pytest.raises(BrokenBaseline, match=re.escape(f"{case.id}")):
        baseline.predictions(case.id)


def rewritten(path: Path, change) -> None:
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))


def with_scores_of(lines: list[str], change) -> list[str]:
    """The same samples with other scores."""
    rows = [json.loads(line) for line in lines]
    scores = change([row["scores"] for row in rows])
    return [json.dumps({**row, "scores": one}) + "\n" for row, one in zip(rows, scores, strict=True)]


TUNED = Outcome(
    "key", CLASSES, {}, scored(np.random.default_rng(1), 2.0, 120), COST, validation=scored(np.random.default_rng(2), 2.0, 120)
)
DAMAGES = {
    "15 of 120 lines are left": ("validation", lambda lines: lines[:15]),
    "validation scores stand at other samples": ("validation", lambda lines: with_scores_of(lines, lambda s: s[::-1])),
    "scores stand at other samples": ("predictions", lambda lines: with_scores_of(lines, lambda s: [*s[1:], s[0]])),
    "scores are those of the other class": ("predictions", lambda lines: with_scores_of(lines, lambda s: [x[::-1] for x in s])),
    "scores are texts": ("predictions", lambda lines: with_scores_of(lines, lambda s: [["high", "low"] for _ in s])),
}


@pytest.mark.parametrize(("which", "change"), DAMAGES.values(), ids=DAMAGES)
def test_files_that_do_not_lead_to_the_numbers_of_their_report_are_refused(case, reported, tmp_path, which, change):
    baseline = reported(TUNED.predictions, TUNED.validation)
    assert baseline.verified(case.id, "diagnosis", "sensitivity") == (TUNED.predictions, TUNED.validation)
    rewritten(tmp_path / baseline.cases[case.id][which], change)
    with pytest.raises(BrokenBaseline, match=re.escape(case.id)) as caught:
        baseline.verified(case.id, "diagnosis", "sensitivity")
    assert "delete this one with its folder predictions/ and write it anew" in str(caught.value)


def test_a_metric_that_is_computed_in_another_way_since_is_not_called_damage_alone(case, reported):
    baseline = reported(TUNED.predictions)
    row = baseline.cases[case.id]
    row["metrics"]["accuracy"]["value"] += 0.01
    with pytest.raises(BrokenBaseline, match="a file is damaged, or accuracy is computed in another way since"):
        baseline.verified(case.id, "diagnosis", "accuracy")
    row["metrics"]["accuracy"]["value"] -= 0.01 + 1e-15
    assert baseline.verified(case.id, "diagnosis", "accuracy")[0] == TUNED.predictions, "sums differ between machines"
    del baseline.cases[case.id]["metrics"]
    with pytest.raises(BrokenBaseline, match=r"cannot be measured again \(KeyError: 'metrics'\)"):
        baseline.verified(case.id, "diagnosis", "accuracy")


@pytest.mark.parametrize("metric", ["accuracy", "sensitivity"])
def test_a_metric_that_is_younger_than_the_baseline_is_measured_from_its_predictions(case, reported, metric):
    baseline = reported(TUNED.predictions, TUNED.validation)
    del baseline.cases[case.id]["metrics"][metric]
    assert baseline.verified(case.id, "diagnosis", metric) == (TUNED.predictions, TUNED.validation)


def test_a_metric_on_labels_that_no_predictions_keep_is_refused_and_not_called_damaged(case, reported):
    baseline = reported(TUNED.predictions, notes={"skills": {"labelled_by": "classifier"}})
    with pytest.raises(BrokenBaseline, match=r"accuracy_reasoning of .* rests on labels of --skills, which no predictions"):
        baseline.verified(case.id, "vqa", "accuracy_reasoning")
    assert baseline.verified(case.id, "diagnosis", "accuracy")[0] == TUNED.predictions


def test_validation_samples_are_asked_for_only_where_the_metric_needs_them(case, reported, gates, tmp_path):
    baseline = reported(TUNED.predictions, TUNED.validation)
    (tmp_path / baseline.cases[case.id]["validation"]).unlink()
    text = f'[[gate]]\nname = "g"\ncases = "{case.id}"\nmargin = 0.1\nno-regression-from = "baseline"\n'
    replace(gates(text), baseline=baseline).check_baseline()
    assert baseline.verified(case.id, "diagnosis", "") == (TUNED.predictions, ())
    with pytest.raises(BrokenBaseline, match="No such file"):
        replace(gates(text + 'metric = "sensitivity"\n'), baseline=baseline).check_baseline()


@pytest.mark.parametrize("name", ["../secret.jsonl", "/etc/passwd", "predictions/../../x.jsonl", None, 3])
def test_a_baseline_reads_no_file_outside_its_folder(case, reported, name):
    baseline = reported(disagreeing(200, 1, 1)[0].predictions)
    elsewhere = replace(baseline, cases={case.id: {**baseline.cases[case.id], "predictions": name}})
    with pytest.raises(BrokenBaseline, match="names no file of predictions"):
        elsewhere.predictions(case.id)


# the run as a whole

CHEST, FUNDUS = "pocket-clip-phantom-chest-lora", "pocket-clip-phantom-fundus-lora"


@pytest.fixture
def gates(plan, rows, tmp_path):
    def make(text: str, limit: int | None = None) -> Gates:
        (tmp_path / "gates.toml").write_text(text)
        return Gates.of([tmp_path / "gates.toml"], plan, rows, None, limit)

    return make


BOTH = f'[[gate]]\nname = "sees"\ncases = ["{CHEST}", "{FUNDUS}"]\nmetric = "auroc"\nat-least = 0.8\n'
GOOD = outcome(auroc=AUROC)


MEASURED = ("measured", "")


@pytest.mark.parametrize(
    "fate",
    [("failed", "out of memory"), ("skipped", "no data"), ("skipped", "not reached: the run was stopped before"), None],
)
def test_a_case_that_was_not_measured_fails_its_gate_whatever_was_judged(gates, fate):
    run = gates(BOTH)
    judged = [*run.judge(CHEST, GOOD, NOTHING.evaluate), *run.judge(FUNDUS, GOOD, NOTHING.evaluate)]
    fates = {CHEST: MEASURED} | ({FUNDUS: fate} if fate else {})
    settled = {one.case: one for one in run.settle(judged, fates)}
    assert settled[CHEST].holds
    assert not settled[FUNDUS].holds
    assert (fate[1] if fate else "it was not selected") in settled[FUNDUS].explanation


def test_a_measured_case_that_no_test_held_to_its_gates_fails(gates):
    run = gates(BOTH)
    (one, other) = run.settle(run.judge(CHEST, GOOD, NOTHING.evaluate), {CHEST: MEASURED, FUNDUS: MEASURED})
    assert one.holds
    assert not other.holds
    assert other.explanation == "it was measured, but no test held it to its gates"


def test_a_gate_that_matches_nothing_fails_even_where_its_other_globs_match(gates):
    run = gates(BOTH.replace(FUNDUS, "pocket-klip-*"))
    found = run.settle(run.judge(CHEST, GOOD, NOTHING.evaluate), {CHEST: MEASURED})
    assert [(one.subject, one.holds) for one in found] == [("", False), (CHEST, True)]
    assert found[0].explanation == "none of the cases of this run matches 'pocket-klip-*'"


def test_inconclusive_fails_unless_the_gate_says_otherwise(gates):
    between = BOTH.replace("0.8\n", "0.83\n")
    (strict,) = gates(between).judge(CHEST, GOOD, NOTHING.evaluate)
    (lenient,) = gates(between + 'inconclusive = "pass"\n').judge(CHEST, GOOD, NOTHING.evaluate)
    assert (strict.status, strict.holds) == ("inconclusive", False)
    assert (lenient.status, lenient.holds) == ("inconclusive", True)
    (failed,) = gates(BOTH.replace("0.8\n", "0.9\n") + 'inconclusive = "pass"\n').judge(CHEST, GOOD, NOTHING.evaluate)
    assert (failed.status, failed.holds) == ("failed", False)


def test_nothing_passes_under_a_limit(gates):
    run = gates(BOTH + f'[[gate]]\nname = "ran"\nrequired = "{CHEST}"\n', limit=50)
    judged = run.judge(CHEST, GOOD, NOTHING.evaluate)
    found = run.settle(judged, {CHEST: MEASURED, FUNDUS: MEASURED})
    assert not any(one.holds for one in found)
    assert all("a --limit run never passes" in one.explanation for one in found if one.subject != FUNDUS)


def test_required_counts_what_is_there_and_names_what_is_not(gates):
    run = gates('[[gate]]\nname = "ran"\nrequired = ["pocket-clip-phantom-*-lora", "nobody"]\n')
    ids = [f"pocket-clip-phantom-{part}-lora" for part in ("chest", "histology", "dermoscopy", "fundus")]
    fates = dict.fromkeys(ids, MEASURED)
    (found,) = run.settle([], fates | {ids[0]: ("failed", "no gradient")})
    assert (found.status, found.measured, found.required) == ("failed", 3, 5)
    assert "nobody (matches nothing in this run); pocket-clip-phantom-chest-lora (failed: no gradient)" in found.explanation
    whole = gates('[[gate]]\nname = "ran"\nrequired = "pocket-clip-phantom-*-lora"\n')
    (found,) = whole.settle([], fates)
    assert (found.status, found.holds, found.measured) == ("passed", True, 4)


def test_of_an_empty_run_no_gate_holds(gates):
    text = BOTH + '[[gate]]\nname = "ran"\nrequired = "*"\n[[gate]]\nname = "pairs"\npairs = "*"\nverdict = "equivalent"\n'
    found = gates(text).settle([], {})
    assert {one.name for one in found} == {"sees", "ran", "pairs"}
    assert not any(one.holds for one in found)


def test_judgements_hold_nothing_that_xdist_cannot_carry(gates):
    measured = outcome(auroc=Estimate(np.float64(0.9), np.float64(0.88), np.float64(0.92), 10))
    for judgement in gates(BOTH).judge(CHEST, measured, NOTHING.evaluate):
        assert {type(value) for value in vars(judgement).values()} <= {str, bool, float, type(None)}


def test_a_rule_on_cases_is_not_asked_about_pairs(gates, plan):
    gap = Difference(0.1, 0.06, 0.14, 0.01, 240)
    pair = next(iter(plan.pairs))
    run = gates(BOTH + '[[gate]]\nname = "pairs"\npairs = "*"\nverdict = "general wins"\n')
    (judged,) = run.judge(pair, Comparison("auroc", gap, "general wins", 0.05), NOTHING.evaluate)
    assert (judged.name, judged.case, judged.pair, judged.holds) == ("pairs", None, pair, True)
