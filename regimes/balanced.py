"""Cross-entropy in which every class counts the same, whatever batches its samples come in."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn.functional import cross_entropy

Loss = Callable[[torch.Tensor, Sequence[int]], torch.Tensor]


def balanced_loss(labels: torch.Tensor) -> Loss:
    """Of logits [batch, classes] and the places of their samples among the labels: the mean of weighted cross-entropies.

    Weights are those of scikit-learn's "balanced" over all labels. Torch's weighted mean divides by those of the batch, and
    takes back from a class what it gave: of a batch with one rare sample that is most of the loss, and never more.
    """
    counts = torch.bincount(labels)
    weights = (len(labels) / (int((counts > 0).sum()) * counts))[labels]

    def loss(logits: torch.Tensor, batch: Sequence[int]) -> torch.Tensor:
        each = cross_entropy(logits, labels[batch].to(logits.device), reduction="none")
        return (each * weights[batch].to(logits.device)).mean()

    return loss
