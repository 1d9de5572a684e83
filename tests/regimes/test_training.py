"""The training loop: it learns, keeps the best epoch, and refuses what did not train."""

import numpy as np
import pytest
import torch
from transformers import get_cosine_schedule_with_warmup, get_linear_schedule_with_warmup

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

    def __init__(self, checkpoints):
        self.checkpoints = checkpoints

    def progress(self, items, _label):
        return items


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


X = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
Y = X @ torch.tensor([1.0, -2.0, 0.5])


def fitted(bench, validate=None, **budget):
    weight = torch.zeros(3, requires_grad=True)

    def loss(batch):
        return ((X[batch] @ weight - Y[batch]) ** 2).mean()

    score = validate or (lambda: -float(((X @ weight.detach() - Y) ** 2).mean()))
    return weight, train({"weight": weight}, 40, loss, score, {**BUDGET, **budget}, bench)


def test_training_approaches_the_least_squares_solution(bench):
    weight, trained = fitted(bench, epochs=30)
    expected = torch.linalg.lstsq(X, Y).solution
    torch.testing.assert_close(weight.detach(), expected, rtol=0.05, atol=0.05)
    assert trained.validation_scores[-1] > trained.validation_scores[0]


def test_every_sample_is_seen_once_an_epoch_in_an_order_of_the_seed(bench):
    seen: list[list[int]] = []
    weight = torch.zeros(1, requires_grad=True)

    def loss(batch):
        seen.append(list(batch))
        return (weight - 1).pow(2).sum()

    train({"weight": weight}, 20, loss, lambda: 0.0, {**BUDGET, "epochs": 2}, bench)
    first, second = [i for batch in seen[:3] for i in batch], [i for batch in seen[3:] for i in batch]
    assert sorted(first) == sorted(second) == list(range(20))
    assert first != second


def test_grouped_samples_are_seen_once_an_epoch_with_their_like_and_the_steps_are_shuffled(bench):
    steps: list[list[int]] = []
    weight, lengths = torch.zeros(1, requires_grad=True), np.random.default_rng(3).integers(0, 1000, 75).tolist()

    def loss(batch):
        steps.append(list(batch))
        return (weight - 1).pow(2).sum()

    train({"weight": weight}, 75, loss, lambda: 0.0, {**BUDGET, "epochs": 2, "grouped": True}, bench, lengths=lengths)
    first, second = steps[:10], steps[10:]
    assert all(sorted(i for step in epoch for i in step) == list(range(75)) for epoch in (first, second))
    assert first != second
    assert [len(step) for step in first] == [8] * 9 + [3]
    longest = [max(lengths[i] for i in step) for step in first]
    assert longest != sorted(longest)
    assert sum(longest) < 0.75 * 10 * max(lengths)


def test_the_epoch_with_the_best_validation_score_is_what_remains(bench):
    snapshots = []
    weight = torch.zeros(3, requires_grad=True)
    scores = iter([0.1, 0.9, 0.9, 0.3, 0.2])

    def validate():
        snapshots.append(weight.detach().clone())
        return next(scores)

    trained = train({"w": weight}, 40, lambda b: ((X[b] @ weight - Y[b]) ** 2).mean(), validate, BUDGET, bench)
    assert trained.epoch == 2
    torch.testing.assert_close(weight.detach(), snapshots[1], rtol=0, atol=0)


def test_a_parameter_without_gradient_is_an_error(bench):
    used, idle = torch.zeros(3, requires_grad=True), torch.zeros(2, requires_grad=True)
    with pytest.raises(AdaptationFailed, match="adapter received no gradient: idle"):
        train({"used": used, "idle": idle}, 40, lambda b: ((X[b] @ used - Y[b]) ** 2).mean(), lambda: 0.0, BUDGET, bench)


def test_a_gradient_that_changes_nothing_is_an_error(bench):
    with pytest.raises(AdaptationFailed, match="training changed nothing in weight"):
        fitted(bench, learning_rate=0.0)


def test_a_diverged_loss_names_epoch_and_step(bench):
    weight = torch.ones(1, requires_grad=True)

    def loss(batch):
        return (weight * (float("nan") if 7 in batch else 1.0)).sum()

    with pytest.raises(AdaptationFailed, match=r"the loss became nan at epoch 1, step \d"):
        train({"weight": weight}, 20, loss, lambda: 0.0, BUDGET, bench)


def test_a_validation_score_that_is_no_number_fails_at_its_epoch(bench):
    scores = iter([0.5, float("nan")])
    with pytest.raises(AdaptationFailed, match="the validation score became nan after epoch 2"):
        fitted(bench, validate=lambda: next(scores))


def test_an_exploding_gradient_fails_at_its_step(bench):
    weight = torch.zeros(1, requires_grad=True)
    with pytest.raises(AdaptationFailed, match=r"the gradient became (nan|inf) at epoch 1, step 1"):
        train({"w": weight}, 20, lambda _: torch.sqrt(weight).sum(), lambda: 0.0, BUDGET, bench)


def test_a_single_step_is_refused_with_the_reason(bench):
    with pytest.raises(AdaptationFailed, match="1 step of training"):
        fitted(bench, epochs=1, batch_size=64)


def test_training_stops_where_no_epoch_was_better_for_as_long_as_patience_lasts(bench):
    scores = iter([0.1, 0.5, 0.4, 0.45, 0.9])
    _, trained = fitted(bench, validate=lambda: next(scores), patience=2)
    assert trained.validation_scores == (0.1, 0.5, 0.4, 0.45)
    assert (trained.epoch, trained.steps, trained.samples_seen) == (2, 4 * 5, 4 * 40)


def test_the_last_epoch_remains_where_the_budget_keeps_it(bench):
    snapshots = []
    weight = torch.zeros(3, requires_grad=True)
    scores = iter([0.9, 0.1, 0.2])

    def validate():
        snapshots.append(weight.detach().clone())
        return next(scores)

    budget = {**BUDGET, "epochs": 3, "keep": "last", "patience": 1}
    trained = train({"w": weight}, 40, lambda b: ((X[b] @ weight - Y[b]) ** 2).mean(), validate, budget, bench)
    assert trained.epoch == 3
    torch.testing.assert_close(weight.detach(), snapshots[2], rtol=0, atol=0)


def test_the_learning_rate_with_the_best_validation_score_leaves_what_it_leaves_alone(tmp_path):
    alone = {rate: fitted(Bench(tmp_path / str(rate)), learning_rate=rate) for rate in (1e-3, 0.3, 1e-2)}
    weight, searched = fitted(Bench(tmp_path / "all"), learning_rates=list(alone))
    assert searched.best.learning_rate == 0.3
    assert [trial.validation_scores for trial in searched.trials] == [one.validation_scores for _, one in alone.values()]
    assert torch.equal(weight, alone[0.3][0])
    assert searched.notes["learning_rates"][0] == {
        "learning_rate": 1e-3,
        "validation_scores": list(alone[1e-3][1].validation_scores),
    }
    assert (searched.steps, searched.samples_seen) == (3 * 25, 3 * 5 * 40)


def test_a_learning_rate_that_diverges_is_out_unless_all_do(tmp_path):
    def trained(rates):
        weight = torch.ones(1, requires_grad=True)

        def loss(_):
            return weight.sum() * (float("inf") if abs(float(weight.detach()) - 1) > 1 else 1.0)

        budget = {**BUDGET, "learning_rates": rates}
        return train({"w": weight}, 20, loss, lambda: -float(weight.detach()), budget, Bench(tmp_path / str(rates)))

    found = trained([10.0, 0.01])
    assert found.best.learning_rate == 0.01
    assert "the loss became" in found.notes["learning_rates"][0]["failed"]
    with pytest.raises(AdaptationFailed, match=r"every learning rate failed; 10\.0: the loss became -?inf at epoch 1"):
        trained([10.0, 20.0])


def test_batches_that_are_accumulated_are_one_large_batch(tmp_path):
    large, _ = fitted(Bench(tmp_path / "large"), batch_size=12)
    small, trained = fitted(Bench(tmp_path / "small"), batch_size=4, accumulate=3)
    torch.testing.assert_close(small.detach(), large.detach(), rtol=1e-5, atol=1e-6)
    assert trained.steps == 4 * 5


@pytest.mark.parametrize(
    ("name", "rising", "scheduler"),
    [("linear", 0, get_linear_schedule_with_warmup), ("cosine", 1, get_cosine_schedule_with_warmup)],
)
def test_learning_rates_decay_as_in_transformers(bench, name, rising, scheduler, monkeypatch):
    used, step = [], torch.optim.AdamW.step
    with monkeypatch.context() as patched:
        patched.setattr(torch.optim.AdamW, "step", lambda self: used.append(self.param_groups[0]["lr"]) or step(self))
        fitted(bench, schedule=name, warmup=0.0)
    optimiser = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=BUDGET["learning_rate"])
    schedule, expected = scheduler(optimiser, rising, 25), []
    for _ in range(25):
        expected.append(schedule.get_last_lr()[0])
        optimiser.step()
        schedule.step()
    np.testing.assert_allclose(used[rising:], expected[rising:], atol=1e-12)
    assert used[0] == BUDGET["learning_rate"]
