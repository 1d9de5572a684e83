"""The promises of intervals, tests and gates at a small size; `python -m medrival.statistics.proof` is the full one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from medrival import fingerprints
from medrival.statistics import difference, estimates, mean_of
from medrival.statistics.delong import auroc
from medrival.statistics.proof import simulation
from medrival.statistics.proof.simulation import BALANCED, COVERAGE, UNBALANCED, Design, Promise, promises, seconds_to_resample
from medrival.statistics.spread import gap_interval, spread_of
from medrival.statistics.statistic import UNIT, Statistic

REPLICATES = 4000
ERRORS = 3
"""Standard errors of the simulation itself that a rate may lie beyond its bounds."""


@pytest.mark.parametrize(
    "design", [Design(50, 0.0), Design(200, 0.3), Design(320, 0.0, 0.2)], ids=["independent", "clustered", "unbalanced"]
)
def test_every_promise_is_kept(design):
    dice = np.random.default_rng(0)
    made = list(promises([design]))
    assert len(made) >= 12
    for promise in made:
        assert promise.binding
        rate = promise.measured(REPLICATES, dice)
        assert promise.kept(rate, REPLICATES, ERRORS), f"{promise.name}, truth {promise.truth}: {rate:.1%}"


def test_the_simulation_catches_an_interval_that_is_too_narrow():
    def careless(replicates, dice):
        design = Design(200, 0.5)
        return np.array([low <= 0.8 <= high for low, high in zip(*_unclustered(design, replicates, dice), strict=True)])

    promise = Promise("careless", Design(200, 0.5), 0.8, COVERAGE, careless, binding=True)
    assert not promise.kept(promise.measured(REPLICATES, np.random.default_rng(1)), REPLICATES, ERRORS)


def _unclustered(design, replicates, dice):
    noise = design.noise(replicates, dice)
    alone = Design(design.n, 0.0)
    area, influence = auroc(design.positive, design.scores(noise, 0.8))
    return spread_of(area, influence, alone.clusters, design.positive.astype(int), UNIT).interval(0.95)


@pytest.mark.parametrize("design", [Design(50, 0.0), Design(60, 0.4)], ids=["independent", "clustered"])
def test_what_is_simulated_is_what_estimates_and_differences_compute(design):
    noise, other = design.two_models(3, np.random.default_rng(2))
    groups = [f"{member:03}" for member in design.clusters.member]
    first, second = design.auroc(noise, 0.8), design.auroc(other, 0.7)
    ends, gaps = first.interval(0.95), gap_interval(first, second, 0.9)
    for i in range(3):
        sides = []
        for scores in (design.scores(noise, 0.8)[i], design.scores(other, 0.7)[i]):
            area, influence = auroc(design.positive, scores)
            strata = design.positive.astype(int)
            sides.append(Statistic(float(area), lambda weights: weights, design.n, "", influence, UNIT, strata))
        one = estimates({"": sides[0]}, groups)[""]
        assert (one.low, one.high) == pytest.approx((ends[0][i], ends[1][i]))
        gap = difference([sides[0]], [sides[1]], groups, level=0.9)
        assert (gap.low, gap.high) == pytest.approx((gaps[0][i], gaps[1][i]))
        right = (noise[i] < 0.5).astype(float)
        accuracy = design.accuracy(right[None]).interval(0.95)
        mean = estimates({"": mean_of(right)}, groups)[""]
        assert (mean.low, mean.high) == pytest.approx((accuracy[0][0], accuracy[1][0]))


def test_designs_with_few_patients_of_a_class_are_warned_of_and_others_are_not():
    assert Design(50, 0.3).warned
    assert not Design(50, 0.0).warned
    assert not Design(200, 0.3).warned


def test_a_rare_class_takes_more_patients_to_promise_anything():
    assert Design(1000, 0.0, 0.03).warned  # 30 positives: 93.6% covered, and 6% of gates passed a model worse by its margin
    assert Design(600, 0.0, 0.05).warned
    assert Design(140, 0.0, 0.2).warned
    assert not any(design.warned for design in UNBALANCED if design.n != 600)


def test_designs_have_the_share_of_positive_patients_that_they_say():
    assert [round(design.positive.mean(), 2) for design in UNBALANCED[:7]] == [0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0.05]
    assert all(2 * design.positive.sum() == design.n for design in BALANCED if not design.alike)


def test_unbalanced_designs_of_every_frequency_are_bound_to_the_promises():
    bound = {promise.design.frequency for promise in promises() if promise.binding}
    assert bound == {0.5, 0.2, 0.1, 0.05}


def test_no_stored_outcome_depends_on_the_proof():
    assert Path(simulation.__file__) not in fingerprints.sources()
    assert Path(simulation.__file__).parent.parent / "spread.py" in fingerprints.sources()


def test_how_long_resampling_takes_is_measured():
    assert seconds_to_resample(samples=50, metrics=2, resamples=20) > 0


def test_patients_share_a_label_and_an_effect():
    design = Design(300, 0.4)
    member = design.clusters.member
    assert all(len(set(design.positive[member == c])) == 1 for c in range(design.clusters.count))
    noise = design.noise(4000, np.random.default_rng(3))
    same = np.flatnonzero(member == member[5])
    assert len(same) == 5
    assert np.corrcoef(noise[:, same].T)[0, 1] == pytest.approx(0.4, abs=0.06)
    assert np.corrcoef(noise[:, 0], noise[:, 299])[0, 1] == pytest.approx(0, abs=0.06)


def test_the_command_prints_a_line_a_promise_and_says_how_many_are_broken():
    run = subprocess.run(
        [sys.executable, "-m", "medrival.statistics.proof", "--replicates", "1"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1  # one replicate covers always or never
    assert "s for 10,000 resamples of 6,719 samples x 20 metrics" in run.stdout
    assert "AUROC: interval covers" in run.stdout
    assert "of the promises broken, 1 replicates each" in run.stdout
