"""Evaluate: memoised, deterministic, and honest about what failed."""

import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from medrival import evaluate, extraction
from medrival.answered import predicted
from medrival.batches import CPU_ROWS
from medrival.case import Case
from medrival.contracts import Failed
from medrival.errors import BrokenData, BrokenModel, MedrivalWarning, MissingAsset, OutOfMemory, UnreadableImage
from medrival.store import NewFeatures, Store


@pytest.fixture
def case(rows):
    def make(model="pocket-clip", task="phantom-chest", regime="zero-shot", seed=0) -> Case:
        return Case(
            rows.models[model],
            rows.tasks[task],
            rows.regimes[regime].given(rows.models[model].budget, rows.models[model].type),
            seed,
        )

    return make


def measured(outcome):
    return outcome.metrics, outcome.predictions, outcome.notes


@pytest.mark.parametrize(
    ("model", "task", "regime"),
    [
        ("pocket-clip", "phantom-chest", "zero-shot"),
        ("pocket-clip", "phantom-histology", "linear-probe"),
        ("pocket-medclip", "phantom-fundus", "lora"),
        ("pocket-medllava", "phantom-chest-vqa", "lora"),
    ],
)
def test_measuring_twice_gives_the_same_to_the_last_digit(new_lab, case, model, task, regime, tmp_path):
    asked = case(model, task, regime)
    first = new_lab().evaluate(asked)
    second = new_lab(measured_after=time.time() + 1).evaluate(asked)
    assert measured(first) == measured(second)
    assert first.cost != second.cost, "the second was really measured again"


@pytest.mark.parametrize("regime", ["linear-probe", "lora"])
def test_what_learns_is_told_where_there_is_nothing_to_learn_from(new_lab, case, regime):
    lab, asked = new_lab(), case(regime=regime)
    lab._tasks[asked.task.name] = replace(lab.task(asked.task), train=(), validation=())
    with pytest.raises(BrokenData, match=f'phantom-chest: it has no training split, .* {regime} .* by split = "made", or'):
        lab.evaluate(asked)
    assert lab._loaded is None, "no model was loaded for it"


def test_a_known_outcome_is_not_measured_again(new_lab, case):
    first = new_lab().evaluate(case(regime="linear-probe"))
    again = new_lab()
    assert again.evaluate(case(regime="linear-probe")) == first
    assert again._loaded is None, "no model was loaded"


def test_the_key_changes_with_everything_that_can_change_the_outcome(new_lab, case, rows, tmp_path):
    asked = case(regime="lora")
    keys = {
        "plain": new_lab().key(asked),
        "seed": new_lab().key(case(regime="lora", seed=1)),
        "limit": new_lab(limit=20).key(asked),
        "dtype": new_lab(dtype="bfloat16").key(asked),
        "device": new_lab(device="mps").key(asked),
        "model": new_lab().key(case(model="pocket-medclip", regime="lora")),
        "task": new_lab().key(case(task="phantom-fundus", regime="lora")),
        "regime": new_lab().key(case(regime="linear-probe")),
        "budget": new_lab().key(replace(asked, regime=replace(asked.regime, budget={**asked.regime.budget, "epochs": 9}))),
        "lora layers": new_lab().key(replace(asked, model=replace(asked.model, lora=r".*q_proj"))),
        "prompt": new_lab().key(
            replace(asked, task=replace(asked.task, options={**asked.task.options, "prompt": "an image of {}"}))
        ),
    }
    assert len(set(keys.values())) == len(keys)
    assert new_lab(batch_size=3).key(asked) == keys["plain"], "in float32 a batch changes no prediction beyond float noise"
    assert new_lab(batch_size=3, dtype="bfloat16").key(asked) != keys["dtype"], "below float32 it can change a word"


@pytest.mark.parametrize(("model", "task"), [("pocket-clip", "phantom-chest"), ("pocket-llava", "phantom-chest-vqa")])
def test_batch_size_changes_no_prediction_beyond_float_noise(new_lab, case, model, task):
    now = time.time() + 1
    large = new_lab(batch_size=64).evaluate(case(model, task))
    for path in new_lab().store.folder.glob("features/**/*.npy"):
        path.unlink()
    small = new_lab(batch_size=5, measured_after=now).evaluate(case(model, task))
    assert [p.answer for p in large.predictions] == [p.answer for p in small.predictions]
    for one, other in zip(large.predictions, small.predictions, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-5)


@pytest.mark.parametrize("ahead", [False, True], ids=["in turns", "prepared ahead"])
def test_features_are_those_of_a_plain_loop_to_the_last_digit(new_lab, case, monkeypatch, ahead):
    monkeypatch.setattr(extraction, "_cores_to_spare", lambda _: ahead)
    lab, card = new_lab(batch_size=7), case().model
    samples = lab.task(case().task).test
    model, images = lab.model(card), [sample.image.open() for sample in samples]
    with torch.inference_mode():
        expected = [model.image_features(model.prepare(images[i : i + 7])).numpy() for i in range(0, len(images), 7)]
    computed = lab.features(card, samples)
    np.testing.assert_array_equal(computed.values, np.concatenate(expected))
    stored = lab.features(card, samples)
    np.testing.assert_array_equal(stored.values, computed.values)
    assert stored.seconds == computed.seconds
    assert not computed.values.flags.writeable
    assert not stored.values.flags.writeable


def test_features_are_in_memory_where_the_store_cannot_be_written(new_lab, case, tmp_path):
    lab, card = new_lab(), case().model
    samples = [*lab.task(case().task).test]
    samples[3] = replace(samples[3], image=Unreadable())
    expected = lab.features(card, samples)
    (tmp_path / "file").touch()
    lab.store = Store(tmp_path / "file")
    with pytest.warns(MedrivalWarning, match="cannot be written") as warned:
        found = lab.features(card, samples)
    assert len(warned) == 1
    np.testing.assert_array_equal(found.values, expected.values)
    assert found.failed == expected.failed == {3: "broken.png: zero bytes"}
    assert np.isnan(found.values[3]).all()


def test_an_extraction_that_breaks_leaves_no_file(new_lab, case):
    lab, card = new_lab(batch_size=4), case().model
    samples, model, seen = lab.task(case().task).test, lab.model(card), []

    def image_features(pixels):
        seen.append(len(pixels))
        if len(seen) > 3:
            raise ValueError("the third batch is the last")
        return model.image_features(pixels)

    lab._loaded = card, lab.settings.dtype, replace(model, image_features=image_features)
    with pytest.raises(ValueError, match="the last"):
        lab.features(card, samples)
    assert not [path for path in lab.store.folder.glob("features/**/*") if path.is_file()]


def test_a_thread_prepares_ahead_where_there_are_cores_for_it_or_another_device(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    found = []
    for cores in (1, 2, 3, 4):
        monkeypatch.setattr(extraction, "readers", lambda cores=cores: cores)
        found.append((extraction._cores_to_spare("cpu"), extraction._cores_to_spare("cuda:1")))
    assert found == [(False, True), (False, True), (False, True), (True, True)]


def test_on_a_cpu_as_many_threads_decode_as_computing_leaves_cores_and_one_at_least(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    found = []
    for cores in (1, 2, 3, 6):
        monkeypatch.setattr(extraction, "readers", lambda cores=cores: cores)
        found.append((extraction._decoders("cpu"), extraction._decoders("cuda:1")))
    assert found == [(1, 1), (1, 2), (1, 3), (4, 6)]


def test_a_cpu_computes_features_of_a_few_images_of_a_large_batch_at_once(new_lab, case):
    lab, card = new_lab(limit=CPU_ROWS + 1), case().model
    samples, model, seen = lab.task(case().task).test, lab.model(card), []
    counted = replace(model, image_features=lambda pixels: seen.append(len(pixels)) or model.image_features(pixels))
    lab._loaded = card, lab.settings.dtype, counted
    computed = lab.features(card, samples)
    assert seen == [CPU_ROWS, 1]
    with torch.inference_mode():
        expected = model.image_features(model.prepare([sample.image.open() for sample in samples])).numpy()
    np.testing.assert_allclose(computed.values, expected, atol=1e-5)


def test_features_are_computed_once_for_all_regimes(new_lab, case, monkeypatch):
    lab = new_lab()
    lab.evaluate(case(regime="zero-shot"))
    embedded = []
    embed = evaluate.Lab._embed
    monkeypatch.setattr(
        evaluate.Lab,
        "_embed",
        lambda self, card, samples, room: embedded.append(len(samples)) or embed(self, card, samples, room),
    )
    lab.evaluate(case(regime="linear-probe"))
    assert len(embedded) == 1, "the training images; those of the other splits were there"
    lab.evaluate(case(regime="lora"))
    assert len(embedded) == 1


def test_a_cost_counts_stored_features_with_what_they_once_took(new_lab, case):
    lab = new_lab(limit=120)
    first = lab.evaluate(case(regime="zero-shot")).cost
    stored = [lab.features(case().model, lab.task(case().task).test).seconds]
    now = time.time() + 1
    again = new_lab(limit=120)
    probe = again.evaluate(case(regime="linear-probe")).cost
    assert probe.samples_per_second <= 120 / stored[0]
    assert probe.seconds > probe.train_seconds > 0
    assert first.train_seconds == 0
    assert new_lab(limit=120, measured_after=now).features(case().model, lab.task(case().task).test).seconds != stored[0]


def test_no_readable_image_at_all_is_an_error_not_a_score_of_zero(new_lab, case):
    for model, task in (("pocket-clip", "phantom-chest"), ("pocket-llava", "phantom-chest-vqa")):
        lab, asked = new_lab(), case(model, task)
        plain = lab.task(asked.task)
        lab._tasks[task] = replace(
            plain, test=tuple(replace(s, image=Unreadable()) for s in plain.test), fingerprint="all unreadable"
        )
        with pytest.raises(BrokenData, match=r"the first: broken.png: zero bytes"):
            lab.evaluate(asked)


def test_the_share_of_test_images_that_training_saw_is_counted_on_the_samples_used(new_lab, case):
    lab, asked = new_lab(), case()
    plain = lab.task(asked.task)
    lab._tasks["phantom-chest"] = replace(plain, train=(*plain.train, *plain.test[:3]), fingerprint="leaky")
    notes = lab.evaluate(asked).notes
    assert (notes["test_images"], notes["test_images_in_train"], notes["test_samples_on_training_images"]) == (24, 3, 3)


class Unreadable:
    digest = "unreadable"

    def open(self):
        raise UnreadableImage("broken.png: zero bytes")


@pytest.mark.parametrize(
    ("model", "task", "regime"),
    [
        ("pocket-clip", "phantom-histology", "zero-shot"),
        ("pocket-clip", "phantom-histology", "linear-probe"),
        ("pocket-clip", "phantom-histology", "lora"),
        ("pocket-llava", "phantom-chest-vqa", "lora"),
    ],
)
def test_unreadable_images_are_failed_samples_and_count_as_wrong(new_lab, case, model, task, regime):
    lab, asked = new_lab(), case(model, task, regime)
    plain = lab.task(asked.task)

    def spoiled(split):
        return (replace(split[0], image=Unreadable()), *split[1:])

    lab._tasks[task] = replace(
        plain, train=spoiled(plain.train), validation=spoiled(plain.validation), test=spoiled(plain.test), fingerprint="spoiled"
    )
    outcome = lab.evaluate(asked)
    assert [p.error for p in outcome.predictions if p.error] == ["broken.png: zero bytes"]
    assert outcome.predictions[0].scores == ()
    assert outcome.metrics["accuracy"].n == len(plain.test), "no sample is dropped from the average"
    assert not any(p.error for p in outcome.predictions[1:])
    if regime != "zero-shot":
        assert sorted(outcome.notes["unreadable_training_samples"]) == sorted([plain.train[0].id, plain.validation[0].id])


def test_memory_that_runs_out_halves_the_batch_and_loses_no_sample(new_lab, case, monkeypatch):
    lab, asked = new_lab(batch_size=16), case("pocket-llava", "phantom-chest-vqa")
    expected = new_lab(batch_size=16, measured_after=0).evaluate(asked).predictions
    model = lab.model(asked.model)
    sizes = []

    def answer(images, prompts, tokens):
        sizes.append(len(images))
        if len(images) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return model.answer(images, prompts, tokens)

    lab._loaded = asked.model, lab.settings.dtype, replace(model, answer=answer)
    lab.settings = replace(lab.settings, measured_after=time.time() + 1)
    for one, other in zip(lab.evaluate(asked).predictions, expected, strict=True):
        assert replace(one, scores=()) == replace(other, scores=())
        assert one.scores == pytest.approx(other.scores, abs=1e-5)
    assert 16 in sizes
    assert 4 in sizes


def test_a_sample_that_does_not_fit_by_itself_fails_the_case_with_advice(new_lab, case):
    lab, asked = new_lab(), case("pocket-llava", "phantom-chest-vqa")

    def answer(images, prompts, tokens):
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory: you tried 1 TB")

    lab._loaded = asked.model, lab.settings.dtype, replace(lab.model(asked.model), answer=answer)
    with pytest.raises(OutOfMemory, match="does not fit into memory by itself"):
        lab.evaluate(asked)
    with pytest.raises(OutOfMemory):
        lab.evaluate(asked)  # it is not tried again for each pair that asks for it
    assert lab.evaluate(case("pocket-llava", "phantom-fundus-vqa")).predictions, "the next case has a fresh model"


def test_a_full_disk_costs_the_memory_of_an_outcome_not_the_outcome(new_lab, case, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Store, "keep_outcome", full)
    monkeypatch.setattr(NewFeatures, "room", full)
    lab = new_lab()
    with pytest.warns(MedrivalWarning, match="cannot be written.*No space left"):
        outcome = lab.evaluate(case())
    assert len(outcome.predictions) == 24
    assert lab.evaluate(case()) is outcome, "nor is it measured again while the run lasts"


def test_weights_that_are_nowhere_are_a_missing_asset_with_advice(new_lab, case, rows, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    card = replace(rows.models["pocket-clip"], name="plip", weights="vinid/plip")
    with pytest.raises(MissingAsset, match=r"plip: vinid/plip is not on this machine.*models/vinid/plip"):
        new_lab(assets=tmp_path).evaluate(replace(case(), model=card))


def test_weights_under_assets_are_found(new_lab, case, rows, tmp_path):
    from shutil import copytree

    from medrival.weights import locate

    copytree(locate(rows.models["pocket-clip"], None), tmp_path / "models" / "someone" / "clip")
    card = replace(rows.models["pocket-clip"], weights="someone/clip")
    outcome = new_lab(assets=tmp_path).evaluate(replace(case(), model=card))
    assert outcome.metrics == new_lab().evaluate(case()).metrics


def test_a_directory_that_is_no_model_is_named(new_lab, case, rows, tmp_path):
    card = replace(rows.models["pocket-clip"], weights=str(tmp_path))
    with pytest.raises(BrokenModel, match=r"is no model directory: it has no config.json"):
        new_lab().evaluate(replace(case(), model=card))


def test_an_empty_test_split_is_an_error(new_lab, case, monkeypatch):
    lab, asked = new_lab(), case()
    plain = lab.task(asked.task)
    monkeypatch.setattr(evaluate, "imported", lambda _: lambda *_: replace(plain, test=()))
    with pytest.raises(BrokenData, match="phantom-chest: its test split is empty"):
        new_lab().task(asked.task)


def test_a_limit_takes_the_same_stratified_samples_for_every_model_and_nests(new_lab, rows):
    small = new_lab(limit=12).task(rows.tasks["phantom-histology"])
    large = new_lab(limit=40).task(rows.tasks["phantom-histology"])
    assert {s.id for s in small.test} < {s.id for s in large.test}
    assert len(small.test) == len(small.train) == len(small.validation) == 12
    assert {s.truth for s in small.test} == set(small.classes)


def test_a_limit_keeps_the_mix_of_questions(new_lab, rows):
    everything, few = (new_lab(limit=limit).task(rows.tasks["phantom-chest-vqa"]).test for limit in (None, 40))
    for form in ("closed", "choice", "open"):
        share, kept = (sum(s.form == form for s in part) / len(part) for part in (everything, few))
        assert abs(share - kept) < 0.06


def test_a_failed_answer_is_not_an_answer():
    from medrival.contracts import Sample

    (prediction,) = predicted([Sample("a", Unreadable(), "g", "yes")], [Failed("broken")])
    assert (prediction.error, prediction.answer, prediction.scores) == ("broken", "", ())


def test_a_model_that_does_not_load_is_tried_once_and_fails_each_of_its_cases(case, new_lab, monkeypatch):
    lab, tried, plainly = new_lab(), [], evaluate.imported

    def adapter(*_):
        tried.append(1)
        raise BrokenModel("pocket-clip: no weights")

    monkeypatch.setattr(evaluate, "imported", lambda place: adapter if "dual_encoder" in place else plainly(place))
    for task in ("phantom-chest", "phantom-fundus"):
        with pytest.raises(BrokenModel, match="pocket-clip: no weights"):
            lab.evaluate(case(task=task))
    assert len(tried) == 1
