"""Subgroups: the deciding metric in each group, the gap between the best and the worst, and what cannot be said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from medrival.contracts import Prediction
from medrival.statistics import mean_of
from medrival.tasks.metrics import measure
from medrival.tasks.metrics.subgroups import subgroups

SITES = ("east", "north", "west")


def people(samples=120, seed=0, strength=(0.5, 1.5, 3.0)):
    """Two images a person; how well the score tells the ill from the healthy depends on the site."""
    generator = np.random.default_rng(seed)
    found = []
    for i in range(samples):
        site, sex, ill = (i // 2) % 3, (i // 6) % 2, int(generator.integers(2))
        score = 1 / (1 + np.exp(-generator.normal() - strength[site] * (ill - 0.5)))
        about = {"site": SITES[site], "sex": ("female", "male")[sex]}
        found.append(Prediction(str(i), f"person {i // 2}", "01"[ill], (1 - score, score), attributes=about))
    return found


def where(predictions, attribute, value):
    return [p for p in predictions if p.attributes.get(attribute) == value]


def without(predictions, attribute):
    return [replace(p, attributes={k: v for k, v in p.attributes.items() if k != attribute}) for p in predictions]


def by(attribute, predictions, **more):
    return measure("diagnosis", predictions, "01", **more).subgroups[attribute]


def test_each_group_is_measured_as_if_there_were_no_other_samples():
    predictions = people()
    groups = by("site", predictions).groups
    assert tuple(groups) == SITES
    for site, estimate in groups.items():
        assert estimate == measure("diagnosis", where(predictions, "site", site), "01").metrics["auroc"]
        assert estimate.n == 40


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 1000))
def test_the_gap_is_between_the_best_and_the_worst_group(seed):
    found = by("site", people(seed=seed), resamples=50)
    values = [estimate.value for estimate in found.groups.values()]
    assert found.gap.value == pytest.approx(max(values) - min(values), abs=1e-12)
    assert found.gap.low <= found.gap.value <= found.gap.high
    assert found.gap.n == 120


def test_the_gap_of_two_groups_is_as_uncertain_as_both_of_them():
    """Where the gap is clear, the interval is that of the difference between independent groups."""
    found = by("site", [p for p in people(600) if p.attributes["site"] != "north"])
    widths = [one.high - one.low for one in (*found.groups.values(), found.gap)]
    assert found.gap.low > 0
    assert widths[2] == pytest.approx(np.hypot(widths[0], widths[1]), rel=0.1)


def answered(right):
    """Closed questions by group: a list of whether each answer is right; each is about a patient of its own."""
    return [
        Prediction(
            *(f"{group} {i}", f"{group} {i}", "yes"),
            answer=("no", "yes")[int(one)],
            form="closed",
            options=("yes", "no"),
            attributes={"site": group},
        )
        for group, each in right.items()
        for i, one in enumerate(each)
    ]


def gap(predictions):
    return measure("vqa", predictions, resamples=0).subgroups["site"].gap


def test_groups_that_are_alike_seldom_have_a_gap_above_zero():
    """Of the largest of many gaps a plain interval excludes 0 in a quarter of such studies; 7.5% is 3 errors above 5%."""
    sites, studies = [f"site {i}" for i in range(6)], 400
    generator = np.random.default_rng(0)
    found = [_accuracy_gap({site: generator.random(60) < 0.8 for site in sites}) for _ in range(studies)]
    assert np.mean([one.low > 0 for one in found]) < 0.05 + 3 * np.sqrt(0.05 * 0.95 / studies)
    assert all(one.low >= 0 for one in found)


def _accuracy_gap(right):
    def accuracy(some):
        return mean_of(np.array([float(p.answer == p.truth) for p in some]))

    return subgroups("accuracy", accuracy, answered(right), seed=0, resamples=0)["site"].gap


def test_a_small_group_that_may_be_far_off_keeps_the_gap_open():
    generator = np.random.default_rng(1)
    large = {"east": generator.random(400) < 0.80, "west": generator.random(400) < 0.82}
    small = large | {"island": [True] * 8 + [False] * 2}
    assert gap(answered(large)).high < 0.15
    assert gap(answered(small)).value < 0.05
    assert gap(answered(small)).high > 0.3
    assert "island: only 10 " in gap(answered(small)).caution


def test_a_true_gap_is_found_among_many_groups():
    generator = np.random.default_rng(2)
    right = {f"site {i}": generator.random(200) < 0.9 for i in range(5)} | {"bad": generator.random(200) < 0.6}
    found = gap(answered(right))
    assert 0.1 < found.low < 0.3 < found.high


def test_a_gap_within_the_same_patients_is_paired():
    """Every person is seen from two sides by a model that does not care: who was drawn says nothing about the gap."""
    seen = [replace(p, id=f"{p.id} {side}", attributes={"side": side}) for p in people() for side in ("left", "right")]
    found = by("side", seen)
    assert found.gap.value == 0.0
    widths = [one.high - one.low for one in (*found.groups.values(), found.gap)]
    assert found.gap.high < np.hypot(widths[0], widths[1]) / 6


def test_nothing_depends_on_the_order_of_samples():
    predictions = people()
    shuffled = [predictions[i] for i in np.random.default_rng(1).permutation(len(predictions))]
    one, other = (by("site", p, resamples=200) for p in (predictions, shuffled))
    assert list(one.groups) == list(other.groups)
    for here, there in zip((*one.groups.values(), one.gap), (*other.groups.values(), other.gap), strict=True):
        assert (here.value, here.low, here.high) == pytest.approx((there.value, there.low, there.high), abs=1e-9)


def test_an_attribute_of_one_value_or_of_more_than_twelve_divides_nothing_and_says_so():
    predictions = [
        replace(p, attributes={"scanner": "A", "age": str(i % 13), "decade": str(i % 12)}) for i, p in enumerate(people())
    ]
    found = measure("diagnosis", predictions, "01", resamples=0).subgroups
    assert {name for name, one in found.items() if one.groups} == {"decade"}
    assert found["age"].gap.reason == "13 values; groups are made of 2 to 12 values"
    assert found["scanner"].gap.reason == "every sample that has it has the same value; groups are made of 2 to 12 values"


def test_samples_without_the_attribute_are_in_no_group():
    predictions = people()
    some = [
        *without(predictions[:30], "sex"),
        *(replace(p, attributes={"sex": ""}) for p in predictions[30:60]),
        *predictions[60:],
    ]
    found = by("sex", some)
    assert set(found.groups) == {"female", "male"}
    assert found.groups == by("sex", predictions[60:]).groups
    assert "60 of 120 samples have no sex and are in no group" in found.gap.caution
    assert "have no sex" not in by("sex", predictions).gap.caution


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([("p", "0", 0.2), ("p", "1", 0.8)], "a single patient or image"),
        ([("p", "1", 0.2), ("q", "1", 0.8)], "every sample is of class 1"),
    ],
)
def test_a_group_that_cannot_be_measured_is_listed_with_the_reason(members, reason):
    small = [
        Prediction(f"small {i}", group, truth, (1 - s, s), attributes={"site": "island"})
        for i, (group, truth, s) in enumerate(members)
    ]
    found = by("site", [*people(), *small])
    assert found.groups["island"].value is None
    assert found.groups["island"].reason == reason
    alone = by("site", people()).gap
    assert (found.gap.value, found.gap.low, found.gap.high) == pytest.approx((alone.value, alone.low, alone.high))
    assert found.gap.n == alone.n


def test_without_two_groups_there_is_no_gap_and_a_reason():
    predictions = [p if p.attributes["sex"] == "male" else replace(p, truth="1") for p in people()]
    gap = by("sex", predictions).gap
    assert (gap.value, gap.low, gap.high) == (None, None, None)
    assert "fewer than two groups" in gap.reason


def test_failed_samples_count_as_wrong_in_their_group():
    predictions = [replace(p, error="no image", scores=()) if i % 6 < 2 else p for i, p in enumerate(people())]
    groups = by("site", predictions).groups
    assert groups["east"].value == 0.0
    assert groups["west"].value == by("site", people()).groups["west"].value


def test_questions_are_divided_by_the_metric_that_decides():
    def asked(i, organ, answer, form="closed", options=("yes", "no")):
        return Prediction(str(i), f"g{i}", "yes", answer=answer, form=form, options=options, attributes={"organ": organ})

    closed = [asked(i, ("chest", "head")[i % 2], ("yes", "no")[i % 4 == 1]) for i in range(40)]
    found = measure("vqa", closed).subgroups["organ"]
    assert (found.metric, found.groups["chest"].value, found.groups["head"].value, found.gap.value) == (
        *("closed_accuracy", 1.0, 0.5),
        0.5,
    )
    several = [*closed, *(asked(f"open {i}", "abdomen", "yes", "open", ()) for i in range(4))]
    assert measure("vqa", several).subgroups["organ"].groups["abdomen"].reason == "no question of the kind it is about"
    opened = [replace(p, form="open", options=()) for p in closed]
    assert measure("vqa", opened).subgroups["organ"].metric == "accuracy"
