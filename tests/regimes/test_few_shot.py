"""Few shots: the same for every model, nested, and used as the papers say, against scikit-learn and formulas written out."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.neighbors import NearestCentroid

from medrival import bench as workbench
from medrival.case import Case
from medrival.contracts import Failed
from medrival.errors import AdaptationFailed
from medrival.regimes.few_shot import by_mean, by_probe
from medrival.regimes.shots import draw
from medrival.regimes.tip_adapter import tip_adapter
from tests.regimes.still import CLASSES, PROMPTS, Bench, encoder, labelled, named, task

STRENGTHS = [1e-2, 1e0, 1e2]
GRID = {"alphas": [0.1, 1, 10], "betas": [1, 5, 20]}
EVERY = [(by_probe, {"l2_strengths": STRENGTHS}), (by_mean, {}), (tip_adapter, GRID)]


def ids(shots):
    return set(shots.notes["training_samples"]), set(shots.notes["chosen_on"])


@settings(max_examples=25, deadline=None)
@given(
    st.tuples(*[st.integers(1, 20)] * 3), st.tuples(*[st.integers(1, 6)] * 3), st.sampled_from([1, 2, 4, 8]), st.integers(0, 9)
)
def test_a_smaller_draw_is_part_of_a_larger_one_of_its_seed(train, validation, shots, seed):
    whole, bench = task(train, validation), Bench(seed=seed)
    fewer, more = (draw(whole, count, bench)[seed] for count in (shots, 2 * shots))
    assert all(small <= large for small, large in zip(ids(fewer), ids(more), strict=True))
    taken = Counter(sample.truth for sample in named(whole, "train", fewer.notes["training_samples"]))
    assert taken == {name: min(shots, there) for name, there in zip(CLASSES, train, strict=True)}
    kept = Counter(sample.truth for sample in named(whole, "validation", fewer.notes["chosen_on"]))
    assert kept == {name: min(shots, 4, there) for name, there in zip(CLASSES, validation, strict=True)}
    lacking = {name: there for name, there in zip(CLASSES, train, strict=True) if there < shots}
    assert fewer.notes.get("classes_with_fewer_shots", {}) == lacking


def test_a_draw_depends_on_the_seed_and_not_on_the_model_or_the_order_of_the_data():
    whole = task()
    backwards = replace(whole, train=whole.train[::-1], validation=whole.validation[::-1])
    first = ids(draw(whole, 4, Bench())[0])
    assert first == ids(draw(backwards, 4, Bench())[0]) == ids(draw(whole, 4, Bench(queries=1))[0])
    assert first != ids(draw(whole, 4, Bench(seed=1))[1])
    everyone = draw(whole, 4, Bench(seeds=(0, 1, 2)))
    assert ids(everyone[0]) == first
    assert len({frozenset(ids(shots)[0]) for shots in everyone.values()}) == 3


def test_an_unreadable_sample_is_no_shot():
    first = draw(task(), 2, Bench())[0]
    spoiled = first.notes["training_samples"][0]
    again = draw(task(), 2, Bench(failed=(spoiled,)))[0]
    assert spoiled not in again.notes["training_samples"]
    assert set(first.notes["training_samples"]) - {spoiled} < set(again.notes["training_samples"])
    assert len(again.labels) == 6


@pytest.mark.parametrize("shots", [1, 4])
def test_the_probe_is_scikit_learns_with_the_strength_of_the_least_cross_entropy(shots):
    whole, bench = task(), Bench()
    adapted = by_probe(encoder(), whole, {"l2_strengths": STRENGTHS, "shots": shots}, bench)
    x, y = labelled(bench, named(whole, "train", adapted.notes["training_samples"]))
    xv, yv = labelled(bench, named(whole, "validation", adapted.notes["chosen_on"]))
    xt, _ = labelled(bench, whole.test)
    mean, scale = x.mean(axis=0), np.sqrt(((x - x.mean(axis=0)) ** 2).mean())
    exact = {"class_weight": "balanced", "solver": "newton-cholesky", "tol": 1e-10, "max_iter": 1000}
    fits = {s: LogisticRegression(C=1 / s, **exact).fit((x - mean) / scale, y) for s in STRENGTHS}
    losses = {s: log_loss(yv, fit.predict_proba((xv - mean) / scale)) for s, fit in fits.items()}
    best = min(losses, key=lambda s: losses[s])
    assert adapted.notes["l2_strength"] == best
    assert adapted.notes["validation_score"] == pytest.approx(-losses[best], abs=1e-6)
    expected = fits[best].predict_proba((xt - mean) / scale)
    np.testing.assert_allclose(np.array(adapted.predict(whole.test)), expected, rtol=0, atol=1e-6)


def test_a_probe_does_not_depend_on_the_other_seeds_of_the_run():
    whole, budget = task(train=(20, 3, 20)), {"l2_strengths": STRENGTHS, "shots": 8}
    alone = by_probe(encoder(), whole, budget, Bench(seed=3, seeds=(3,))).predict(whole.test)
    among = by_probe(encoder(), whole, budget, Bench(seed=3, seeds=(0, 3, 5, 8))).predict(whole.test)
    np.testing.assert_allclose(np.array(alone), np.array(among), rtol=0, atol=1e-9)


def test_seeds_and_strengths_are_solved_once():
    known, bench = {}, Bench(seeds=(0, 1))
    bench.once = lambda name, work, cases=1: known.setdefault(name, (work(), cases))[0]
    for seed in bench.seeds:
        bench.seed = seed
        by_probe(encoder(), task(), {"l2_strengths": STRENGTHS, "shots": 2}, bench)
    assert [cases for name, (_, cases) in known.items() if name.startswith("heads under")] == [2]


def test_rows_of_other_strengths_in_one_lab_have_heads_of_their_own(new_lab, rows):
    """Two rows of the same shots: each is as if it were alone."""
    case = Case(rows.models["pocket-clip"], rows.tasks["phantom-chest"], rows.regimes["few-shot-probe-4"])
    rivals = [{"l2_strengths": [strength], "shots": 4} for strength in (1e-3, 1e3)]

    def heads(lab, budget):
        model, chest = lab.model(case.model), lab.task(case.task)
        return np.array(by_probe(model, chest, budget, workbench.Bench(lab, case)).predict(chest.test))

    lab = new_lab()
    together = [heads(lab, budget) for budget in rivals]
    alone = [heads(new_lab(), budget) for budget in rivals]
    np.testing.assert_allclose(together, alone, rtol=0, atol=1e-12)
    assert np.abs(together[0] - together[1]).max() > 0.01


def test_the_nearest_mean_is_scikit_learns_nearest_centroid_of_directions():
    whole, bench, model = task(), Bench(queries=1), encoder(queries=1)
    adapted = by_mean(model, whole, {"shots": 8}, bench)
    x, y = labelled(bench, named(whole, "train", adapted.notes["training_samples"]))
    xt, _ = labelled(bench, whole.test)
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (x, xt)]
    centroids = NearestCentroid().fit(unit[0], y).centroids_
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)  # by cosine, not by distance
    found = np.array(adapted.predict(whole.test))
    nearest = [((centroids - row) ** 2).sum(axis=1).argmin() for row in unit[1]]
    assert found.argmax(axis=1).tolist() == nearest
    np.testing.assert_allclose(found, softmax(model.scale * unit[1] @ centroids.T, axis=1), rtol=1e-9)


@pytest.mark.parametrize("shots", [1, 8])
def test_tip_adapter_is_the_papers_formula_with_the_alpha_and_beta_of_the_least_cross_entropy(shots):
    """Zhang et al. 2022, equations 4 to 6, one number after the other; several queries count by the best, and by the mean."""
    whole, bench, model = task(), Bench(), encoder()
    adapted = tip_adapter(model, whole, {**GRID, "shots": shots}, bench)
    x, y = labelled(bench, named(whole, "train", adapted.notes["training_samples"]))
    texts = model.text_features(PROMPTS).double().numpy()

    def queries(row):
        return [query / np.linalg.norm(query) for query in row.reshape(model.queries, -1)]

    def logits(row, alpha, beta):
        scores = []
        for label in range(3):
            own = texts[label] / np.linalg.norm(texts[label])
            score = model.scale * max(query @ own for query in queries(row))
            for key, of in zip(x, y, strict=True):
                affinity = np.mean([a @ b for a, b in zip(queries(row), queries(key), strict=True)])
                score += alpha * np.exp(-beta * (1 - affinity)) * (of == label)
            scores.append(score)
        return scores

    def probabilities(rows, alpha, beta):
        return softmax([logits(row, alpha, beta) for row in rows], axis=1)

    xv, yv = labelled(bench, named(whole, "validation", adapted.notes["chosen_on"]))
    losses = {(a, b): log_loss(yv, probabilities(xv, a, b)) for a in GRID["alphas"] for b in GRID["betas"]}
    best = min(losses, key=lambda pair: losses[pair])
    assert (adapted.notes["alpha"], adapted.notes["beta"]) == best
    assert adapted.notes["validation_score"] == pytest.approx(-losses[best])
    xt, _ = labelled(bench, whole.test)
    np.testing.assert_allclose(np.array(adapted.predict(whole.test)), probabilities(xt, *best), rtol=1e-9)


@pytest.mark.parametrize(("adapt", "budget"), EVERY)
def test_a_class_without_shots_and_an_image_without_features_do_no_harm(adapt, budget):
    whole = task(train=(10, 0, 10))
    bench = Bench(failed=(whole.test[1].id,))
    adapted = adapt(encoder(), whole, {**budget, "shots": 4}, bench)
    answers = adapted.predict(whole.test)
    assert [i for i, answer in enumerate(answers) if answer == Failed("cut")] == [1]
    assert np.isfinite([answer for answer in answers if not isinstance(answer, Failed)]).all()
    assert adapted.notes["classes_with_fewer_shots"] == {"mass": 0}
    assert adapted.samples_seen == 8


@pytest.mark.parametrize(("adapt", "budget"), EVERY)
def test_what_no_shots_can_be_drawn_from_is_refused(adapt, budget):
    for whole, message in (
        (task(train=(9, 0, 0)), "scans: shots are of 1 class"),
        (task(validation=(0, 0, 0)), "0 validation samples are there to choose on"),
        (replace(task(), train=tuple(replace(s, form="findings") for s in task().train)), "several findings or none"),
    ):
        with pytest.raises(AdaptationFailed, match=message):
            adapt(encoder(), whole, {**budget, "shots": 2}, Bench())


@pytest.mark.parametrize("split", ["train", "validation"])
@pytest.mark.parametrize(("adapt", "budget"), EVERY)
def test_features_that_are_no_numbers_are_neither_learnt_from_nor_chosen_on(adapt, budget, split):
    notes = draw(task(), 2, Bench())[0].notes
    spoiled = notes["training_samples" if split == "train" else "chosen_on"][1]
    with pytest.raises(AdaptationFailed, match=f"features of 1 of 6 samples are not finite, the first of '{spoiled}'"):
        adapt(encoder(), task(), {**budget, "shots": 2}, Bench(overflown=(spoiled,)))
