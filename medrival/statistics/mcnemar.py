"""McNemar's test: whether two models are right equally often on the same samples.

It takes samples as independent; where patients have several, use `difference`, which does not.

Sources: McNemar, Psychometrika 12 (1947) 153-157; mid-p after Fagerland, Lydersen & Laake, BMC Medical Research Methodology 13
(2013) 91.
"""

from __future__ import annotations


def mcnemar_exact(only_first: int, only_second: int) -> float:
    """Exact two-sided p-value, given how many samples only the first and only the second model has right.

    The test of a fair coin on the samples in which the models differ; 1 where they differ in none.
    """
    from scipy.special import bdtr

    differ = only_first + only_second
    return min(1.0, 2 * float(bdtr(min(only_first, only_second), differ, 0.5)))


def mcnemar_mid_p(only_first: int, only_second: int) -> float:
    """Mid-p of the same test: outcomes as extreme as the observed one count one half, which makes it less cautious."""
    from math import comb

    differ, fewer = only_first + only_second, min(only_first, only_second)
    if not differ:
        return 1.0
    likelihood = comb(differ, fewer) / 2**differ
    if only_first == only_second:
        return 1 - likelihood / 2
    return mcnemar_exact(only_first, only_second) - likelihood
