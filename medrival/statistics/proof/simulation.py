"""Proof by simulation that intervals, tests and gates keep their promises.

    python -m medrival.statistics.proof [--replicates N]

draws data of known truth, runs the code that estimates, differences and gates run, and exits with 1 where a promise is broken:
a 95% interval covers the truth in 94-96%, a test rejects a true null in at most 5.5%, a gate "non-inferior, margin m" lets a
model that is exactly m worse pass in at most 5.5%. Classes are equally frequent, or 5, 10 or 20% are positive. Designs in which
the code itself warns (`FEWEST`) promise nothing.

Scores are normal in either class (the binormal model), a model's answer is right where a normal variable says so. Patients have
1 to 5 images of one label, which share a normal effect. Two models' scores are correlated.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import cycle, islice
from time import perf_counter

import numpy as np

from medrival.statistics.bootstrap import draws
from medrival.statistics.clusters import Clusters
from medrival.statistics.delong import Mask, auroc, delong_test
from medrival.statistics.margins import non_inferior
from medrival.statistics.mcnemar import mcnemar_exact, mcnemar_mid_p
from medrival.statistics.paired import Difference
from medrival.statistics.spread import Spread, gap_interval, spread_of
from medrival.statistics.statistic import UNIT, Floats, mean_of

REPLICATES = 20_000
AT_ONCE = 2_000_000
"""Scores held in memory at a time."""
SIZES = (1, 5, 3, 2, 4)
"""Images of a patient."""
BETWEEN_MODELS = 0.5
"""Correlation of two models' scores of one sample."""
LATTICE = 0.02
"""Half the width over which the truth of an accuracy is spread. Its estimate takes only n + 1 values, so that the coverage of
any interval jumps with the truth; what is promised is its mean over truths close by."""
MARGIN = 0.05
AT_MOST = 0.055
COVERAGE = (0.94, 0.96)


@dataclass(frozen=True)
class Design:
    """Who is tested: n images, each of its own patient or patients of 1 to 5.

    Attributes:
        alike: correlation of the images of a patient; 0 where each image is its own patient.
        frequency: share of patients that are positive.
    """

    n: int
    alike: float
    frequency: float = 0.5

    @cached_property
    def clusters(self) -> Clusters:
        """The patients."""
        if not self.alike:
            return Clusters(np.arange(self.n), self.n)
        sizes = list(islice(cycle(SIZES), self.n))
        member = np.repeat(np.arange(self.n), sizes)[: self.n]
        return Clusters(member, int(member[-1]) + 1)

    @cached_property
    def positive(self) -> Mask:
        """So many patients, in an order that mixes their sizes."""
        label = np.arange(self.clusters.count) < round(self.frequency * self.clusters.count)
        mask: Mask = np.random.default_rng(0).permutation(label)[self.clusters.member]
        return mask

    @property
    def warned(self) -> bool:
        """Whether the code warns that its intervals may not hold."""
        known = self.auroc(np.zeros((1, self.n)), 0.8)
        return known.fewest < known.enough

    def noise(self, replicates: int, dice: np.random.Generator) -> Floats:
        """Standard normal [replicates, n], correlated within patients."""
        own = dice.standard_normal((replicates, self.n))
        shared = dice.standard_normal((replicates, self.clusters.count))[:, self.clusters.member]
        return np.sqrt(self.alike) * shared + np.sqrt(1 - self.alike) * own

    def two_models(self, replicates: int, dice: np.random.Generator) -> tuple[Floats, Floats]:
        """The same of two models that are correlated."""
        common, *own = (self.noise(replicates, dice) for _ in range(3))
        first, second = (np.sqrt(BETWEEN_MODELS) * common + np.sqrt(1 - BETWEEN_MODELS) * one for one in own)
        return first, second

    def auroc(self, noise: Floats, truth: float) -> Spread:
        """The measured AUROC of a model whose true one is given, in each replicate."""
        area, influence = auroc(self.positive, self.scores(noise, truth))
        return _known(spread_of(area, influence, self.clusters, self.positive.astype(np.intp), UNIT))

    def scores(self, noise: Floats, truth: float) -> Floats:
        """Scores of a model of this AUROC."""
        return noise + np.sqrt(2) * _quantile(np.float64(truth)) * self.positive

    def accuracy(self, hits: Floats) -> Spread:
        """The measured accuracy, in each replicate."""
        points = hits.mean(axis=-1)
        return _known(spread_of(points, (hits - points[..., None]) / self.n, self.clusters, None, UNIT))


@dataclass(frozen=True)
class Promise:
    """A rate, of covering or of rejecting, that must lie between two bounds.

    Attributes:
        hits: replicates and dice -> whether each replicate counts [replicates].
        binding: whether the code promises it for this design, or warns.
    """

    name: str
    design: Design
    truth: float
    bounds: tuple[float, float]
    hits: Callable[[int, np.random.Generator], Mask]
    binding: bool

    def measured(self, replicates: int, dice: np.random.Generator) -> float:
        """The rate in so many replicates."""
        step = max(1, AT_ONCE // self.design.n)
        batches = [min(step, replicates - start) for start in range(0, replicates, step)]
        return float(np.concatenate([self.hits(batch, dice) for batch in batches]).mean())

    def kept(self, rate: float, replicates: int, errors: float = 0.0) -> bool:
        """Whether a measured rate is within the bounds, give or take so many standard errors of the simulation itself."""
        low, high = (bound + sign * errors * np.sqrt(bound * (1 - bound) / replicates) for bound, sign in self._signed())
        return bool(low <= rate <= high)

    def _signed(self) -> Iterator[tuple[float, int]]:
        return zip(self.bounds, (-1, 1), strict=True)


BALANCED = tuple(Design(n, alike) for alike in (0.0, 0.3, 0.5) for n in (50, 200, 1000))
UNBALANCED = (
    *(Design(n, 0.0, 0.2) for n in (320, 1000)),
    *(Design(n, 0.0, 0.1) for n in (770, 1000)),
    *(Design(n, 0.0, 0.05) for n in (600, 1680, 2000)),
    *(Design(n, 0.5, frequency) for n, frequency in ((960, 0.2), (2310, 0.1), (5040, 0.05))),
)
"""The smallest that are not warned of, larger ones, and one that is warned of."""


def promises(designs: Sequence[Design] = (*BALANCED, *UNBALANCED)) -> Iterator[Promise]:
    """All that is promised, for each design and truth; an accuracy does not mind how frequent a class is."""
    for design in designs:
        for truth in (0.6, 0.8, 0.95):
            yield _promise("AUROC: interval covers", design, truth, COVERAGE, _covers_auroc)
            yield _promise("AUROC: difference rejects a true null", design, truth, (0.0, AT_MOST), _auroc_null)
            yield _promise("AUROC: DeLong rejects a true null", design, truth, (0.0, AT_MOST), _delong_null)
            yield _promise("AUROC: gate passes a model worse by its margin", design, truth, (0.0, AT_MOST), _auroc_gate)
        if design.frequency != 0.5:
            continue
        for truth in (0.6, 0.8, 0.9):
            yield _promise("accuracy: interval covers", design, truth, COVERAGE, _covers_accuracy)
        for truth in (0.6, 0.8, 0.95):
            yield _promise("accuracy: difference rejects a true null", design, truth, (0.0, AT_MOST), _accuracy_null)
            if not design.alike:
                yield _promise("accuracy: exact McNemar rejects a true null", design, truth, (0.0, AT_MOST), _exact_null)
                yield _promise("accuracy: mid-p McNemar rejects a true null", design, truth, (0.0, AT_MOST), _mid_p_null)
            yield _promise("accuracy: gate passes a model worse by its margin", design, truth, (0.0, AT_MOST), _accuracy_gate)


Draw = Callable[[Design, float, int, np.random.Generator], Mask]


def _promise(name: str, design: Design, truth: float, bounds: tuple[float, float], draw: Draw) -> Promise:
    def hits(replicates: int, dice: np.random.Generator) -> Mask:
        return draw(design, truth, replicates, dice)

    return Promise(name, design, truth, bounds, hits, not design.warned)


def _covers_auroc(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    low, high = design.auroc(design.noise(replicates, dice), truth).interval(0.95)
    return (low <= truth) & (truth <= high)


def _covers_accuracy(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    truths = truth + dice.uniform(-LATTICE, LATTICE, replicates)
    hits = design.noise(replicates, dice) < _quantile(truths)[:, None]
    low, high = design.accuracy(hits.astype(np.float64)).interval(0.95)
    return (low <= truths) & (truths <= high)


def _auroc_null(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    first, second = (design.auroc(noise, truth) for noise in design.two_models(replicates, dice))
    return _excludes_zero(first, second)


def _delong_null(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    first, second = (design.scores(noise, truth) for noise in design.two_models(replicates, dice))
    groups = [f"{member:06}" for member in design.clusters.member]
    return delong_test(design.positive, first, second, groups) < 0.05


def _accuracy_null(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    first, second = (design.accuracy(hits) for hits in _hits(design, truth, truth, replicates, dice))
    return _excludes_zero(first, second)


def _exact_null(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    return _mcnemar(mcnemar_exact, *_hits(design, truth, truth, replicates, dice))


def _mid_p_null(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    return _mcnemar(mcnemar_mid_p, *_hits(design, truth, truth, replicates, dice))


def _auroc_gate(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    first, second = design.two_models(replicates, dice)
    return _passes(design.auroc(first, truth - MARGIN), design.auroc(second, truth))


def _accuracy_gate(design: Design, truth: float, replicates: int, dice: np.random.Generator) -> Mask:
    first, second = (design.accuracy(hits) for hits in _hits(design, truth - MARGIN, truth, replicates, dice))
    return _passes(first, second)


def _hits(design: Design, first: float, second: float, replicates: int, dice: np.random.Generator) -> tuple[Floats, Floats]:
    noise, other = design.two_models(replicates, dice)
    limits = _quantile(np.array([first, second]))
    return (noise < limits[0]).astype(np.float64), (other < limits[1]).astype(np.float64)


def _mcnemar(test: Callable[[int, int], float], first: Floats, second: Floats) -> Mask:
    only_first, only_second = ((first > second).sum(axis=1), (second > first).sum(axis=1))
    counts, which = np.unique(np.stack([only_first, only_second], axis=1), axis=0, return_inverse=True)
    return np.array([test(int(b), int(c)) for b, c in counts])[which] < 0.05


def _excludes_zero(first: Spread, second: Spread) -> Mask:
    low, high = gap_interval(first, second, 0.95)
    return (low > 0) | (high < 0)


def _passes(candidate: Spread, rival: Spread) -> Mask:
    gaps, n = candidate.point - rival.point, int(candidate.counted.sum())
    ends = zip(gaps.tolist(), *(end.tolist() for end in gap_interval(candidate, rival, 0.90)), strict=True)
    found = (Difference(gap, low, high, None, n, level=0.90) for gap, low, high in ends)
    return np.array([non_inferior(one, MARGIN) for one in found], dtype=np.bool_)


def _known(spread: Spread | None) -> Spread:
    assert spread is not None
    return spread


def _quantile(share: Floats | np.float64) -> Floats:
    from scipy.special import ndtri

    found: Floats = ndtri(share)
    return found


def seconds_to_resample(samples: int = 6719, metrics: int = 20, resamples: int = 10_000) -> float:
    """How long the bootstrap of so many means takes; PathVQA's test split has as many samples."""
    hits = np.random.default_rng(0).random((metrics, samples)) < 0.7
    means, start = [mean_of(row.astype(np.float64)) for row in hits], perf_counter()
    draws(means, Clusters(np.arange(samples), samples), 0, resamples)
    return perf_counter() - start


def main() -> int:
    """Print a line a promise, and say how many are broken."""
    parser = argparse.ArgumentParser(prog="python -m medrival.statistics.proof", description=(__doc__ or "").split("\n")[0])
    parser.add_argument(
        "--replicates",
        type=int,
        default=REPLICATES,
        metavar="N",
        help=f"default: {REPLICATES}, about half an hour on one core; with many fewer, chance breaks promises",
    )
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print(f"{seconds_to_resample():.1f} s for 10,000 resamples of 6,719 samples x 20 metrics", flush=True)
    dice, broken = np.random.default_rng(options.seed), 0
    print(f"{'':50} {'images':>6} {'patients':>8} {'positive':>8} {'alike':>5} {'truth':>5} {'rate':>7}")
    for promise in promises():
        rate, design = promise.measured(options.replicates, dice), promise.design
        kept = promise.kept(rate, options.replicates)
        broken += promise.binding and not kept
        verdict = ("kept" if kept else "BROKEN") if promise.binding else "warned: few patients"
        row = f"{promise.name:50} {design.n:6} {design.clusters.count:8} {design.frequency:8.0%} {design.alike:5}"
        print(f"{row} {promise.truth:5} {100 * rate:6.2f}%  {verdict}", flush=True)
    print(f"{broken} of the promises broken, {options.replicates:,} replicates each")
    return int(broken > 0)
