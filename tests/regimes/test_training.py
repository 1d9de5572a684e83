"""The training loop: it learns, keeps the best epoch, and refuses what did not train."""

import numpy as np
import pytest
import torch

from medrival.errors import AdaptationFailed
from medrival.regimes.training import train

BUDGET = {
    "epochs": 5,
    "batch_size": 8,
    "learning_rate": 0.1,
    "weight_decay": 0.0,
    "warmup": 0.1,
    "max_grad_norm": 1.0,
}


class Bench:
    seed = 0
    device = "cpu"

    def progress(self, items, _label):
        return items


X = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
Y = X @ torch.tensor([1.0, -2.0, 0.5])


def fitted(validate=None, **budget):
    weight = torch.zeros(3, requires_grad=True)

    def loss(batch):
        return ((X[batch] @ weight - Y[batch]) ** 2).mean()

    score = validate or (lambda: -float(((X @ weight.detach() - Y) ** 2).mean()))
    return weight, train({"weight": weight}, 40, loss, score, {**BUDGET, **budget}, Bench())


def test_training_approaches_the_least_squares_solution():
    weight, trained = fitted(epochs=30)
    expected = torch.linalg.lstsq(X, Y).solution
    torch.testing.assert_close(weight.detach(), expected, rtol=0.05, atol=0.05)
    assert trained.validation_scores[-1] > trained.validation_scores[0]


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_the_seed():
    seen: list[list[int]] = []
    weight = torch.zeros(1, requires_grad=True)

    def loss(batch):
        seen.append(list(batch))
        return (weight - 1).pow(2).sum()

    train({"weight": weight}, 20, loss, lambda: 0.0, {**BUDGET, "epochs": 2}, Bench())
    first, second = [i for batch in seen[:3] for i in batch], [i for batch in seen[3:] for i in batch]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_the_epoch_with_the_best_validation_score_is_what_remains():
    snapshots = []
    weight = torch.zeros(3, requires_grad=True)
    scores = iter([0.1, 0.9, 0.9, 0.3, 0.2])

    def validate():
        snapshots.append(weight.detach().clone())
        return next(scores)

    trained = train({"w": weight}, 40, lambda b: ((X[b] @ weight - Y[b]) ** 2).mean(), validate, BUDGET, Bench())
    assert trained.epoch == 2
    torch.testing.assert_close(weight.detach(), snapshots[1], rtol=0, atol=0)


def test_a_parameter_without_gradient_is_an_error():
    used, idle = torch.zeros(3, requires_grad=True), torch.zeros(2, requires_grad=True)
    with pytest.raises(AdaptationFailed, match="adapter received no gradient: idle"):
        train({"used": used, "idle": idle}, 40, lambda b: ((X[b] @ used - Y[b]) ** 2).mean(), lambda: 0.0, BUDGET, Bench())


def test_a_gradient_that_changes_nothing_is_an_error():
    with pytest.raises(AdaptationFailed, match="training changed nothing in weight"):
        fitted(learning_rate=0.0)


def test_a_diverged_loss_names_epoch_and_step():
    weight = torch.ones(1, requires_grad=True)

    def loss(batch):
        return (weight * (float("nan") if 7 in batch else 1.0)).sum()

    with pytest.raises(AdaptationFailed, match=r"the loss became nan at epoch 1, step \d"):
        train({"weight": weight}, 20, loss, lambda: 0.0, BUDGET, Bench())


def test_a_validation_score_that_is_no_number_fails_at_its_epoch():
    scores = iter([0.5, float("nan")])
    with pytest.raises(AdaptationFailed, match="the validation score became nan after epoch 2"):
        fitted(validate=lambda: next(scores))


def test_an_exploding_gradient_fails_at_its_step():
    weight = torch.zeros(1, requires_grad=True)
    with pytest.raises(AdaptationFailed, match=r"the gradient became (nan|inf) at epoch 1, step 1"):
        train({"w": weight}, 20, lambda _: torch.sqrt(weight).sum(), lambda: 0.0, BUDGET, Bench())


def test_a_single_step_is_refused_with_the_reason():
    with pytest.raises(AdaptationFailed, match="1 step of training"):
        fitted(epochs=1, batch_size=64)
