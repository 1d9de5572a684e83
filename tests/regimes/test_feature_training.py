"""What is trained on stored features: CLIP-Adapter against its formula, and the linear probe of paper A's budget."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medrival.contracts import Failed
from medrival.errors import AdaptationFailed
from medrival.regimes import feature_training
from medrival.regimes.clip_adapter import clip_adapter
from medrival.regimes.linear_probe import linear_probe
from tests.regimes.still import DIM, PROMPTS, Bench, encoder, labelled, task

STEPS = {"weight_decay": 0.0, "warmup": 0.1, "batch_size": 16, "max_grad_norm": 1.0}
ADAPTER = {**STEPS, "reduction": 2, "ratio": 0.3, "learning_rates": [1e-3, 3e-2], "epochs": 8}
PROBE = {"l2_strengths": [1e0]}
PAPER_A = {**STEPS, "learning_rate": 5e-5, "schedule": "linear", "warmup": 0.0, "epochs": 10, "keep": "last", "batch_size": 8}


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


def balanced_loss(answers, labels):
    """Mean cross-entropy of each class, averaged over the classes."""
    of_truth = -np.log(np.array(answers)[np.arange(len(labels)), labels])
    return np.mean([of_truth[labels == label].mean() for label in set(labels)])


def written_out(model, down, up, ratio, features):
    """Gao et al. 2021, equations 3 to 6, image by image; of several queries the most similar one counts."""
    texts = [text / np.linalg.norm(text) for text in model.text_features(PROMPTS).double().numpy()]
    rows = []
    for row in features:
        logits = []
        for text in texts:
            cosines = []
            for query in row.reshape(model.queries, -1):
                mixed = ratio * np.maximum(up @ np.maximum(down @ query, 0), 0) + (1 - ratio) * query
                cosines.append(mixed @ text / np.linalg.norm(mixed))
            logits.append(model.scale * max(cosines))
        rows.append(np.exp(logits) / np.exp(logits).sum())
    return np.array(rows)


def test_clip_adapter_is_the_papers_formula_and_learns(bench, monkeypatch):
    trained = {}
    real = feature_training.train

    def watched(parameters, samples, loss, *rest):
        trained.update(parameters=parameters, before={name: p.detach().clone() for name, p in parameters.items()})
        with torch.no_grad():
            trained["first"] = float(loss(range(samples)))
        return real(parameters, samples, loss, *rest)

    monkeypatch.setattr(feature_training, "train", watched)
    whole, model = task(train=(30, 10, 20)), encoder()
    adapted = clip_adapter(model, whole, ADAPTER, bench)
    down, up = (trained["parameters"][name].detach().double().numpy() for name in ("down", "up"))
    assert (down.shape, up.shape) == ((DIM // 2, DIM), (DIM, DIM // 2))
    assert all(not torch.equal(trained["before"][name], p) for name, p in trained["parameters"].items())
    x, y = labelled(bench, whole.train)
    found = np.array(adapted.predict(whole.train))
    np.testing.assert_allclose(found, written_out(model, down, up, 0.3, x), rtol=1e-4, atol=1e-6)
    start = written_out(model, *(trained["before"][name].double().numpy() for name in ("down", "up")), 0.3, x)
    assert trained["first"] == pytest.approx(balanced_loss(start, y), rel=1e-4), "every class counts the same"
    assert balanced_loss(found, y) < trained["first"]
    assert adapted.trainable_parameters == down.size + up.size


def test_clip_adapter_is_decided_by_its_seed(bench, tmp_path):
    whole, model, budget = task(), encoder(), {**ADAPTER, "learning_rates": [1e-2], "epochs": 2}
    first, again, other = (
        clip_adapter(model, whole, budget, Bench(tmp_path / str(run), seed=seed)).predict(whole.test)
        for run, seed in enumerate((0, 0, 1))
    )
    assert first == again
    assert first != other


def test_the_learning_rate_and_epoch_are_those_of_the_best_validation_score(bench):
    whole = task()
    adapted = clip_adapter(encoder(), whole, ADAPTER, bench)
    trials = adapted.notes["learning_rates"]
    assert [trial["learning_rate"] for trial in trials] == ADAPTER["learning_rates"]
    best = max(trials, key=lambda trial: max(trial["validation_scores"]))
    assert adapted.notes["learning_rate"] == best["learning_rate"]
    assert adapted.notes["epoch"] == 1 + int(np.argmax(best["validation_scores"]))
    assert adapted.steps == 2 * 8 * 4
    assert adapted.samples_seen == 2 * 8 * 60


def test_paper_as_probe_is_its_last_epoch_of_a_class_balanced_head_on_plain_features(bench):
    whole = task(train=(30, 10, 20))
    adapted = linear_probe(encoder(), whole, {**PAPER_A, "learning_rate": 5e-3}, bench)
    x, y = (torch.from_numpy(values) for values in labelled(bench, whole.train))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        head = torch.nn.Linear(x.shape[1], 3)
    weights = torch.tensor([60 / (3 * count) for count in (30, 10, 20)])[y]
    optimiser = torch.optim.AdamW(head.parameters(), lr=5e-3, weight_decay=0.0)
    order, steps = np.random.default_rng(0), 10 * 8
    for epoch in range(10):
        shuffled = order.permutation(60)
        for step in range(8):
            optimiser.param_groups[0]["lr"] = 5e-3 * (1 - (epoch * 8 + step) / steps)
            batch = shuffled[step * 8 : step * 8 + 8]
            loss = (
                torch.nn.functional.cross_entropy(head(x[batch].float()), y[batch], reduction="none") * weights[batch]
            ).mean()
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(head.parameters(), 1.0)
            optimiser.step()
    with torch.no_grad():
        expected = head(torch.from_numpy(bench.features(whole.test).values)).softmax(dim=1).numpy()
    np.testing.assert_allclose(np.array(adapted.predict(whole.test)), expected, rtol=0, atol=1e-5)
    assert adapted.notes["epoch"] == 10
    assert adapted.trainable_parameters == 3 * (x.shape[1] + 1)


@pytest.mark.parametrize(("adapt", "budget"), [(clip_adapter, ADAPTER), (linear_probe, PAPER_A)])
def test_what_cannot_be_trained_on_is_left_out_or_refused(adapt, budget, tmp_path):
    whole = task()
    bench = Bench(tmp_path, failed=(whole.train[0].id, whole.test[2].id))
    adapted = adapt(encoder(), whole, budget, bench)
    assert adapted.notes["unreadable_training_samples"] == [whole.train[0].id]
    assert [i for i, answer in enumerate(adapted.predict(whole.test)) if answer == Failed("cut")] == [2]
    with pytest.raises(AdaptationFailed, match="several findings or none"):
        adapt(encoder(), replace(whole, train=tuple(replace(s, form="findings") for s in whole.train)), budget, bench)
    with pytest.raises(AdaptationFailed, match="19 readable training samples of 1 class"):
        adapt(encoder(), task(train=(20, 0, 0)), budget, bench)


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(("adapt", "budget"), [(clip_adapter, ADAPTER), (linear_probe, PAPER_A), (linear_probe, PROBE)])
def test_features_that_are_no_numbers_are_refused_by_the_sample(adapt, budget, split, tmp_path):
    spoiled = getattr(task(), split)[3].id
    with pytest.raises(AdaptationFailed, match=f"features of 1 of .* are not finite, the first of '{spoiled}'.*float32"):
        adapt(encoder(), task(), budget, Bench(tmp_path, overflown=(spoiled,)))


def test_a_learning_rate_after_which_nothing_is_a_number_is_out_and_the_others_are_tried(bench):
    one_step_an_epoch = {**ADAPTER, "learning_rates": [1e30, 3e-2], "epochs": 2, "batch_size": 60}
    adapted = clip_adapter(encoder(), task(), one_step_an_epoch, bench)
    assert adapted.notes["learning_rate"] == 3e-2
    assert "the validation score became nan after epoch 1" in adapted.notes["learning_rates"][0]["failed"]
