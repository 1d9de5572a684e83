"""The regimes on real pocket models: right against oracles, honest about what they touched."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoProcessor, CLIPModel

from medrival import catalog
from medrival.case import Case
from medrival.contracts import Failed
from medrival.errors import AdaptationFailed
from medrival.evaluate import Bench
from medrival.regimes import linear_probe, lora, taught, zero_shot
from medrival.weights import locate

STRENGTHS = [1e-1, 1e1, 1e3]
EXACT = {"class_weight": "balanced", "solver": "newton-cholesky", "tol": 1e-10, "max_iter": 1000}
BUDGET = {
    "rank": 4,
    "alpha": 8,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "epochs": 2,
    "batch_size": 16,
    "max_grad_norm": 1.0,
    "l2_strengths": STRENGTHS,
}


@pytest.fixture
def bench(new_lab, rows):
    """A workbench for a case, with the task it works on."""

    def make(model: str, task: str, limit: int = 48):
        lab = new_lab(limit=limit)
        return Bench(
            lab, Case(rows.models[model], rows.tasks[task], rows.regimes["lora"].given("pocket", rows.models[model].type))
        ), lab.task(rows.tasks[task])

    return make


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def same_weights(module: torch.nn.Module, before: dict[str, torch.Tensor]) -> bool:
    now = module.state_dict()
    return list(now) == list(before) and all(torch.equal(now[name], before[name]) for name in before)


def test_zero_shot_probabilities_equal_the_librarys_own(rows, bench, pocket_clip):
    work, task = bench("pocket-clip", "phantom-histology", limit=6)
    answers = zero_shot.classify(pocket_clip, task, {}, work).predict(task.test)
    folder = locate(rows.models["pocket-clip"], None)
    own, processor = CLIPModel.from_pretrained(folder, dtype=torch.float32).eval(), AutoProcessor.from_pretrained(folder)
    inputs = processor(images=[s.image.open() for s in task.test], text=list(task.prompts), padding=True, return_tensors="pt")
    with torch.inference_mode():
        expected = own(**inputs).logits_per_image.softmax(dim=-1).numpy()
    np.testing.assert_allclose(np.array(answers), expected, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(np.array(answers).sum(axis=1), 1)


@pytest.mark.parametrize("name", ["phantom-chest", "phantom-histology"])
def test_the_probe_is_scikit_learns_logistic_regression_with_the_strength_validation_prefers(bench, pocket_clip, name):
    work, task = bench("pocket-clip", name, limit=120)
    probed = linear_probe.linear_probe(pocket_clip, task, {"l2_strengths": STRENGTHS}, work)
    x, xv, xt = (work.features(split).values for split in (task.train, task.validation, task.test))
    y, yv = ([task.classes.index(s.truth) for s in split] for split in (task.train, task.validation))
    scores, expected = {}, {}
    for strength in STRENGTHS:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=1 / strength, **EXACT))
        model.fit(x.astype(np.float64), y)
        p = model.predict_proba(xv.astype(np.float64))
        scores[strength] = roc_auc_score(yv, p[:, 1] if p.shape[1] == 2 else p, multi_class="ovr")
        expected[strength] = model.predict_proba(xt.astype(np.float64))
    chosen = probed.notes["l2_strength"]
    assert scores[chosen] == pytest.approx(max(scores.values()), abs=1e-9)
    np.testing.assert_allclose(np.array(probed.predict(task.test)), expected[chosen], rtol=0, atol=1e-6)
    assert probed.trainable_parameters == (x.shape[1] + 1) * len(task.classes)


def test_a_probe_on_one_class_is_refused(bench, pocket_clip):
    work, task = bench("pocket-clip", "phantom-chest")
    one = task.__class__(**{**vars(task), "train": tuple(s for s in task.train if s.truth == task.classes[0])})
    with pytest.raises(AdaptationFailed, match="1 class"):
        linear_probe.linear_probe(pocket_clip, one, {"l2_strengths": STRENGTHS}, work)


def test_lora_changes_every_adapter_and_no_base_weight(bench, pocket_clip):
    work, task = bench("pocket-clip", "phantom-fundus")
    before = weights(pocket_clip.module)
    frozen = linear_probe.linear_probe(pocket_clip, task, {"l2_strengths": STRENGTHS}, work).predict(task.test)
    adapted = lora.image_tower(pocket_clip, task, BUDGET, work)
    inside = {name: p for name, p in pocket_clip.module.named_parameters() if "lora_" in name}
    assert len(inside) == 2 * len(pocket_clip.lora)
    assert all(p.detach().abs().max() > 0 for name, p in inside.items() if "lora_B" in name), "lora_B starts at zero"
    bases = {name.replace(".base_layer", ""): p for name, p in pocket_clip.module.state_dict().items() if "lora_" not in name}
    assert all(torch.equal(bases[name], before[name]) for name in before)
    assert np.abs(np.array(adapted.predict(task.test)) - np.array(frozen)).max() > 1e-4
    adapted.undo()
    assert same_weights(pocket_clip.module, before)


def test_lora_of_a_generator_changes_every_adapter_and_undo_gives_the_model_back(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-chest-vqa")
    before = weights(pocket_llava.module)
    untouched = zero_shot.answer(pocket_llava, task, {}, work).predict(task.test)
    adapted = taught.lora(pocket_llava, task, {**BUDGET, "epochs": 3}, work)
    inside = {name: p for name, p in pocket_llava.module.named_parameters() if "lora_" in name}
    assert len(inside) == 2 * len(pocket_llava.lora)
    assert all(p.detach().abs().max() > 0 for p in inside.values())
    assert adapted.trainable_parameters == sum(p.numel() for p in inside.values())
    scores = adapted.notes["validation_scores"]
    assert max(scores) > scores[0] or adapted.notes["epoch"] == 1
    adapted.undo()
    assert same_weights(pocket_llava.module, before)
    assert zero_shot.answer(pocket_llava, task, {}, work).predict(task.test) == untouched


def test_samples_without_an_answer_teach_nothing_and_are_listed(bench, pocket_llava):
    work, task = bench("pocket-llava", "phantom-chest-vqa", limit=24)
    silent = [replace(split[0], truth=truth, form="open") for split, truth in ((task.train, ""), (task.validation, " \n"))]
    spoiled = replace(task, train=(silent[0], *task.train[1:]), validation=(silent[1], *task.validation[1:]))
    adapted = taught.lora(pocket_llava, spoiled, {**BUDGET, "epochs": 1}, work)
    assert adapted.notes["training_samples_without_answer"] == sorted(sample.id for sample in silent)
    assert "unreadable_training_samples" not in adapted.notes
    with pytest.raises(AdaptationFailed, match=r"0 training and .* are readable and have an answer"):
        taught.lora(pocket_llava, replace(spoiled, train=tuple(silent[:1])), BUDGET, work)


def test_the_loss_without_the_logits_of_prompts_is_the_models_own(bench, pocket_llava):
    _, task = bench("pocket-llava", "phantom-chest-vqa", limit=8)
    samples = task.train[:5]
    inputs = pocket_llava.teach([[s.image.open()] for s in samples], [s.prompt for s in samples], [s.reply for s in samples])
    seen = []
    head = pocket_llava.module.get_output_embeddings()
    handle = head.register_forward_hook(lambda _, __, logits: seen.append(logits.shape[1]))
    with torch.no_grad():
        own = pocket_llava.module(**inputs, use_cache=False).loss
        cheap = taught.answer_loss(pocket_llava.module, inputs)
    handle.remove()
    torch.testing.assert_close(cheap, own, rtol=1e-6, atol=0)
    assert seen[0] == inputs["input_ids"].shape[1]
    assert seen[1] < seen[0] / 4


@pytest.mark.parametrize(("model", "task"), [("pocket-clip", "phantom-chest"), ("pocket-llava", "phantom-chest-vqa")])
def test_adapters_of_a_bfloat16_model_are_trained_in_float32(rows, bench, model, task):
    work, data = bench(model, task, limit=24)
    card = rows.models[model]
    half = catalog.imported(card.adapter)(card, locate(card, None), "cpu", "bfloat16")
    adapt = lora.image_tower if data.kind == "diagnosis" else taught.lora
    adapted = adapt(half, data, {**BUDGET, "epochs": 1}, work)
    kinds = {("lora_" in name, p.dtype) for name, p in half.module.named_parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    assert not any(isinstance(answer, Failed) for answer in adapted.predict(data.test))


def test_one_seed_gives_the_same_digits_and_another_does_not(bench, pocket_clip):
    work, task = bench("pocket-clip", "phantom-chest")
    first, again, other = [], [], []
    for seed, into in ((0, first), (0, again), (1, other)):
        work.seed = seed
        adapted = lora.image_tower(pocket_clip, task, BUDGET, work)
        into.extend(adapted.predict(task.test))
        adapted.undo()
    assert first == again
    assert first != other


def test_training_never_sees_a_test_sample(bench, pocket_llava, monkeypatch):
    work, task = bench("pocket-llava", "phantom-chest-vqa")
    opened = []
    image_class = type(task.test[0].image)
    plain_open = image_class.open
    monkeypatch.setattr(image_class, "open", lambda self: opened.append(self.digest) or plain_open(self))
    adapted = taught.lora(pocket_llava, task, {**BUDGET, "epochs": 1}, work)
    adapted.undo()
    assert opened
    assert not set(opened) & {sample.image.digest for sample in task.test}
