"""Clusters: the patients (or images) whose samples are no independent evidence of one another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from medrival.statistics.statistic import UNCOUNTED, Floats, Strata


@dataclass(frozen=True)
class Clusters:
    """Which cluster each sample is in.

    Attributes:
        member: [samples], numbers from 0 to count - 1.
        count: how many clusters there are.
    """

    member: NDArray[np.intp]
    count: int

    @classmethod
    def of(cls, groups: Sequence[str]) -> Clusters:
        """The clusters that are named `groups`, numbered by name so that the order of samples does not matter."""
        names, member = np.unique(np.asarray(groups, dtype=np.str_), return_inverse=True)
        return cls(member, len(names))

    def sums(self, values: Floats) -> Floats:
        """The sum over each cluster: [..., samples] -> [..., clusters]."""
        if not self.count:
            return np.zeros((*values.shape[:-1], 0))
        order, starts = self._order
        totals: Floats = np.add.reduceat(values[..., order], starts, axis=-1)
        return totals

    def sizes(self, strata: Strata) -> NDArray[np.intp]:
        """How many samples of each stratum each cluster has: [strata, clusters]; uncounted samples are in none."""
        counted = strata != UNCOUNTED
        names, stratum = np.unique(strata[counted], return_inverse=True)
        cells = stratum * self.count + self.member[counted]
        return np.bincount(cells, minlength=len(names) * self.count).reshape(len(names), self.count)

    @cached_property
    def _order(self) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        order = np.argsort(self.member, kind="stable")
        return order, np.flatnonzero(np.diff(self.member[order], prepend=-1))
