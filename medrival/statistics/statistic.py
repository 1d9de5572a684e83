"""A number computed from samples, together with all that is needed to say how sure one may be of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Strata = NDArray[np.intp]

UNIT = (0.0, 1.0)
UNCOUNTED = -1
"""The stratum of a sample that a statistic leaves out."""


@dataclass(frozen=True)
class Statistic:
    """A number computed from samples, now and under any weights of the samples.

    Attributes:
        point: its value on the samples as they are; NaN where it is undefined.
        resampled: weights [resamples, samples] -> its value under each row [resamples], NaN where undefined.
        n: how many samples it is computed from.
        undefined: why `point` is NaN, or "".
        influence: [samples], such that the statistic under weights is about point + sum of weights * influence; for a mean
            (value - mean) / n. None where nobody worked it out: the interval is then the bootstrap's.
        bounds: the range of the statistic, (0, 1) for a share or an area; None where it has none.
        strata: [samples], which of the classes that it sets against each other a sample is of, UNCOUNTED where it is left
            out; None where all count alike. The stratum of the fewest patients decides how much can be known.
        ratio: for a ratio of two weighted sums, such as a mean, what is summed [2, samples]; all such statistics are
            resampled in one matrix product.
    """

    point: float
    resampled: Callable[[Floats], Floats]
    n: int
    undefined: str = ""
    influence: Floats | None = None
    bounds: tuple[float, float] | None = None
    strata: Strata | None = None
    ratio: Floats | None = None


def mean_of(values: Floats) -> Statistic:
    """The mean over the samples that have a value; NaN marks those that have none.

    Its bounds are 0 and 1 where all values lie between them.
    """
    known = ~np.isnan(values)
    n = int(known.sum())
    filled = np.where(known, values, 0.0)
    point = float(filled.sum() / n) if n else np.nan

    def resampled(weights: Floats) -> Floats:
        return quotient(weights @ filled, weights @ known.astype(np.float64))

    within = bool(((filled >= 0) & (filled <= 1)).all())
    return Statistic(
        point=point,
        resampled=resampled,
        n=n,
        undefined="" if n else "no sample has a value",
        influence=np.where(known, filled - point, 0.0) / max(n, 1),
        bounds=UNIT if within else None,
        strata=np.where(known, 0, UNCOUNTED),
        ratio=np.stack([filled, known.astype(np.float64)]),
    )


def quotient(above: Floats, below: Floats) -> Floats:
    """Above / below, NaN where nothing is below."""
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)
