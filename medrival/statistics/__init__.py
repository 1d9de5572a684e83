"""Intervals, paired tests and margins: pure functions on arrays.

The engine measures with `estimates`, `difference`, `holm`, `verdict`, which asks `equivalent` and `superior`, `samples_needed`
and `auroc_influence`. `auroc_covariance`, `delong_test`, `mcnemar_exact`, `mcnemar_mid_p`, `detectable_difference` and
`two_sided_p` are offered to whoever analyses predictions further; `proof` shows by simulation that all keep their promises.
"""

from medrival.statistics.bootstrap import two_sided_p
from medrival.statistics.delong import auroc_covariance, auroc_influence, delong_test
from medrival.statistics.estimate import LEVEL, Estimate, estimates
from medrival.statistics.margins import (
    Verdict,
    detectable_difference,
    equivalent,
    non_inferior,
    samples_needed,
    superior,
    verdict,
)
from medrival.statistics.mcnemar import mcnemar_exact, mcnemar_mid_p
from medrival.statistics.multiplicity import holm
from medrival.statistics.paired import Difference, difference
from medrival.statistics.statistic import UNCOUNTED, Floats, Statistic, mean_of

__all__ = [
    "LEVEL",
    "UNCOUNTED",
    "Difference",
    "Estimate",
    "Floats",
    "Statistic",
    "Verdict",
    "auroc_covariance",
    "auroc_influence",
    "delong_test",
    "detectable_difference",
    "difference",
    "equivalent",
    "estimates",
    "holm",
    "mcnemar_exact",
    "mcnemar_mid_p",
    "mean_of",
    "non_inferior",
    "samples_needed",
    "superior",
    "two_sided_p",
    "verdict",
]
