"""What is trained of a dual encoder, and against what: right against oracles, and given back as it was."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import PeftModel
from safetensors import safe_open
from transformers import AutoModel

from medrival.case import Case
from medrival.errors import AdaptationFailed
from medrival.evaluate import Bench
from medrival.regimes import full, linear_probe, lora, zero_shot
from medrival.regimes.adapters import deciding
from medrival.regimes.classifier import head_from, of_head
from medrival.weights import locate
from tests.models.miniature_dual_encoders import FAMILIES, TEXTS, mixed_images

BUDGET = {
    "rank": 4,
    "alpha": 8,
    "learning_rate": 1e-3,
    "weight_decay": 0.01,
    "warmup": 0.1,
    "epochs": 1,
    "batch_size": 12,
    "max_grad_norm": 1.0,
    "l2_strengths": [1e1],
}
PROMPTED = {"lora-image": lora.against_prompts, "lora-both": lora.both_towers}


@pytest.fixture
def bench(new_lab, rows):
    """A workbench for pocket-clip on chest radiographs, and the task."""
    lab, regime = new_lab(), rows.regimes["lora-image"].given("pocket", "dual-encoder")
    return Bench(lab, Case(rows.models["pocket-clip"], rows.tasks["phantom-chest"], regime))


@pytest.fixture
def task(new_lab, rows):
    return new_lab().task(rows.tasks["phantom-chest"])


@pytest.fixture
def miniature(new_lab, rows, tmp_path_factory):
    """A family's miniature in a precision, and a workbench for it."""

    def load(family, dtype="float32"):
        place, save = FAMILIES[family]
        folder = tmp_path_factory.mktemp("checkpoints") / "org" / "name"
        save(folder)
        card = replace(rows.models["pocket-clip"], name="miniature", adapter=place, weights=str(folder))
        lab, regime = new_lab(dtype=dtype), rows.regimes["lora-image"].given("pocket", "dual-encoder")
        work = Bench(lab, Case(card, rows.tasks["phantom-chest"], regime))
        return lab.model(card), work

    return load


def weights(module):
    return {name: value.clone() for name, value in module.state_dict().items()}


def same_weights(module, before):
    now = module.state_dict()
    return list(now) == list(before) and all(torch.equal(now[name], before[name]) for name in before)


@pytest.mark.parametrize("name", PROMPTED)
def test_adapters_are_where_the_regime_says_and_undo_gives_the_model_back(bench, task, pocket_clip, name):
    before = weights(pocket_clip.module)
    untouched = np.array(zero_shot.classify(pocket_clip, task, {}, bench).predict(task.test))
    adapted = PROMPTED[name](pocket_clip, task, BUDGET, bench)
    inside = {n: p for n, p in pocket_clip.module.named_parameters() if "lora_" in n}
    sides = {"text_model" if n.startswith("text_") else "vision_model" for n in inside}
    assert sides == ({"vision_model"} if name == "lora-image" else {"vision_model", "text_model"})
    assert all(p.detach().abs().max() > 0 for n, p in inside.items() if "lora_B" in n), "lora_B starts at zero"
    assert adapted.trainable_parameters == sum(p.numel() for p in inside.values())
    assert (adapted.steps, adapted.samples_seen) == (2, len(task.train))
    assert np.abs(np.array(adapted.predict(task.test)) - untouched).max() > 1e-4
    adapted.undo()
    assert same_weights(pocket_clip.module, before)


@pytest.mark.parametrize("name", PROMPTED)
def test_before_training_they_predict_as_the_model_off_the_shelf(bench, task, pocket_clip, name):
    """A step too small to be seen: what is trained is the zero-shot classifier itself."""
    adapted = PROMPTED[name](pocket_clip, task, {**BUDGET, "learning_rate": 1e-6}, bench)
    found = np.array(adapted.predict(task.test))
    adapted.undo()
    expected = np.array(zero_shot.classify(pocket_clip, task, {}, bench).predict(task.test))
    np.testing.assert_allclose(found, expected, rtol=1e-3)


@pytest.mark.parametrize("family", FAMILIES)
def test_both_towers_of_every_family_are_adapted_and_given_back(miniature, task, family):
    model, work = miniature(family)
    before = weights(model.module)
    readable = replace(task, prompts=TEXTS[:2])
    adapted = lora.both_towers(model, readable, BUDGET, work)
    inside = {name for name, _ in model.module.named_parameters() if "lora_A" in name}
    assert len(inside) > len(model.lora), "some of them are on the text side"
    assert len(adapted.predict(task.test)) == len(task.test)
    adapted.undo()
    assert same_weights(model.module, before)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", FAMILIES)
def test_full_trains_all_that_decides_image_features_in_float32_and_gives_it_back(miniature, task, family, dtype):
    model, work = miniature(family, dtype)
    before = weights(model.module)
    adapted = full.image_side(model, task, BUDGET, work)
    kinds = {name: (p.dtype, p.requires_grad) for name, p in model.module.named_parameters()}
    assert {kind for kind, _ in kinds.values()} == {torch.float32}
    trained = {name for name, (_, is_trained) in kinds.items() if is_trained}
    inside = {id(p): name for name, p in model.module.named_parameters()}
    tower = {inside[id(p)] for p in model.tower.parameters()}
    assert tower - trained == set(adapted.notes.get("untrained", []))
    assert not all(torch.equal(p.detach(), before[name].float()) for name, p in model.module.named_parameters())
    assert all(isinstance(answer, tuple) for answer in adapted.predict(task.test))
    adapted.undo()
    assert same_weights(model.module, before)
    assert not any(p.requires_grad for p in model.module.parameters())


def test_a_head_starts_as_the_linear_probe(bench, task):
    probe, _ = linear_probe.fit_probe(task, [1e1], bench)
    features = bench.features(task.test).values
    with torch.no_grad():
        found = of_head(head_from(probe, "cpu")).tested()(torch.from_numpy(features))
    np.testing.assert_allclose(found, probe.logits(features.astype(np.float64)), atol=1e-3)


def test_an_adapter_where_the_output_is_not_used_is_told_from_those_that_learn():
    class Half(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.pooler, self.uncalled = (torch.nn.Linear(2, 2) for _ in range(3))

        def forward(self, x):
            self.pooler(x)
            return self.used(x)

    half = Half().requires_grad_(False)
    assert deciding(half, lambda: half(torch.ones(1, 2))) == (["used"], ["pooler"])


def test_samples_that_may_have_several_findings_are_refused(bench, task, pocket_clip):
    findings = replace(task, train=tuple(replace(sample, form="findings") for sample in task.train))
    for adapt in (*PROMPTED.values(), full.image_side):
        with pytest.raises(AdaptationFailed, match="several findings"):
            adapt(pocket_clip, findings, BUDGET, bench)


def test_paper_as_budget_trains_with_dropout_and_keeps_the_last_epoch(rows, bench, task, pocket_clip):
    budget = {**rows.regimes["lora"].given("paper-a", "dual-encoder").budget, "epochs": 2}
    adapted = lora.image_tower(pocket_clip, task, budget, bench)
    dropouts = [part for part in pocket_clip.module.modules() if isinstance(part, torch.nn.Dropout) and part.p == 0.05]
    assert len(dropouts) == len(pocket_clip.lora)
    assert not any(part.training for part in dropouts)
    assert adapted.notes["epoch"] == 2
    adapted.undo()


@pytest.mark.parametrize("family", ["CLIP", "SigLIP"])
def test_saved_adapters_are_what_peft_itself_loads(miniature, task, tmp_path, family):
    model, work = miniature(family)
    adapted = lora.image_tower(model, task, BUDGET, work)
    adapted.save(tmp_path)
    images = model.prepare(mixed_images())
    with torch.no_grad():
        expected = model.image_features(images)
        base = AutoModel.from_pretrained(locate(work._case.model, None), dtype=torch.float32).eval()
        found = PeftModel.from_pretrained(base, tmp_path).get_image_features(pixel_values=images).pooler_output
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert json.loads((tmp_path / "adapter_config.json").read_text())["base_model_name_or_path"] == work.weights
    with safe_open(tmp_path / "head.safetensors", "pt") as head:
        assert sorted(head.keys()) == ["bias", "weight"]
        assert json.loads(head.metadata()["classes"]) == list(task.classes)


def test_no_adapter_is_kept_of_a_model_that_peft_could_not_load_it_on(miniature, task):
    model, work = miniature("open_clip")
    adapted = lora.image_tower(model, task, BUDGET, work)
    assert adapted.save is None
