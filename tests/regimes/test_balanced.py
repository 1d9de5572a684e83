"""The loss of classes that count the same, however few samples one has and however small the batches are."""

import pytest
import torch
from sklearn.utils.class_weight import compute_sample_weight

from medrival.regimes.balanced import balanced_loss

LABELS = torch.tensor([0] * 30 + [1] * 2 + [3] * 8)  # no sample is of class 2
LOGITS = torch.randn(40, 4, generator=torch.Generator().manual_seed(0))


def test_over_all_samples_it_is_the_mean_over_classes_of_their_mean_cross_entropy():
    each = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none")
    expected = torch.stack([each[label == LABELS].mean() for label in (0, 1, 3)]).mean()
    torch.testing.assert_close(balanced_loss(LABELS)(LOGITS, range(40)), expected)


@pytest.mark.parametrize("size", [1, 4, 8])
def test_batches_of_an_epoch_add_up_to_it_whatever_their_size(size):
    order = torch.randperm(40, generator=torch.Generator().manual_seed(1)).tolist()
    batches = [order[start : start + size] for start in range(0, 40, size)]
    loss = balanced_loss(LABELS)
    mean = torch.stack([loss(LOGITS[batch], batch) for batch in batches]).mean()
    torch.testing.assert_close(mean, loss(LOGITS, range(40)))


def test_a_sample_has_scikit_learns_weight():
    each = torch.nn.functional.cross_entropy(LOGITS, LABELS, reduction="none")
    found = torch.stack([balanced_loss(LABELS)(LOGITS[i : i + 1], [i]) for i in range(40)])
    expected = torch.from_numpy(compute_sample_weight("balanced", LABELS.numpy())).float()
    torch.testing.assert_close(found / each, expected)
