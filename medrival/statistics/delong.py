"""The area under the ROC curve: its influence values.

Sources: DeLong, DeLong & Clarke-Pearson, Biometrics 44 (1988) 837-845; midranks after Sun & Xu, IEEE Signal Processing
Letters 21 (2014) 1389-1393.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from medrival.statistics.bootstrap import Floats

Mask = NDArray[np.bool_]


def placements(positive: Mask, scores: Floats) -> Floats:
    """For each sample, the share of samples of the other class that it is ranked rightly against; a tie counts one half.

    DeLong's structural components, in O(n log n). Their mean over either class is the area. NaN where a class is missing.
    """
    ours, theirs = np.sort(scores[positive]), np.sort(scores[~positive])
    found = np.full(len(scores), np.nan)
    if len(ours) and len(theirs):
        found[positive] = _share_below(theirs, scores[positive])
        found[~positive] = 1 - _share_below(ours, scores[~positive])
    return found


def auroc_influence(positive: Mask, scores: Floats) -> Floats:
    """How much each sample moves the area: area under weights ~ area + sum of weights * influence.

    Args:
        positive: [n], whether the sample is of the class that should score high.
        scores: [n].

    Returns:
        [n], summing to zero over either class; NaN where a class is missing.
    """
    found = placements(positive, scores)
    area = found[positive].mean() if positive.any() else np.nan
    influence: Floats = (found - area) / np.where(positive, positive.sum(), (~positive).sum())
    return influence


def _share_below(sorted_scores: Floats, scores: Floats) -> Floats:
    left, right = (np.searchsorted(sorted_scores, scores, side=side) for side in ("left", "right"))
    share: Floats = (left + right) / (2 * len(sorted_scores))
    return share
