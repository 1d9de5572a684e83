"""Which weights of a generator each regime trains; and that every other one, and after it every one, is as it was."""

import re
import shutil
from collections import Counter
from dataclasses import replace

import pytest
import torch
from peft import PeftModel
from transformers.modeling_layers import GradientCheckpointingLayer

from medrival import memory
from medrival.case import Case
from medrival.contracts import Parts, Said
from medrival.errors import AdaptationFailed, OutOfMemory
from medrival.evaluate import Bench
from medrival.models import generator
from medrival.regimes import taught
from tests.models.miniature_generators import FAMILIES, save

BUDGET = {
    "rank": 2,
    "alpha": 4,
    "learning_rate": 1e-2,
    "weight_decay": 0.0,
    "warmup": 0.1,
    "epochs": 1,
    "batch_size": 4,
    "max_grad_norm": 1.0,
}
LANGUAGE, PROJECTOR, TOWER = "language_model", "multi_modal_projector", "vision_tower"


@pytest.fixture
def bench(new_lab, rows):
    """A workbench, and eight questions to learn from."""
    lab = new_lab(limit=8)
    case = Case(rows.models["pocket-llava"], rows.tasks["phantom-chest-vqa"], rows.regimes["lora"])
    return Bench(lab, case), lab.task(case.task)


@pytest.fixture(scope="module")
def miniature(rows, tmp_path_factory):
    """Loads a family's miniature in a precision."""
    folders = {}

    def load(family="llava", dtype="float32"):
        if family not in folders:
            folders[family] = save(FAMILIES[family], tmp_path_factory.mktemp(family))
        card = replace(rows.models["pocket-llava"], name=family)
        return generator.transformers(card, folders[family], "cpu", dtype)

    return load


def state(model):
    return {name: (value.dtype, value.detach().clone()) for name, value in model.module.state_dict().items()}


def same(one, other):
    return one.keys() == other.keys() and all(
        kind == other[name][0] and torch.equal(value, other[name][1]) for name, (kind, value) in one.items()
    )


@pytest.mark.parametrize(
    ("regime", "where"),
    [
        (taught.lora, {LANGUAGE, PROJECTOR}),
        (taught.lora_language, {LANGUAGE}),
        (taught.lora_vision, {LANGUAGE, PROJECTOR, TOWER}),
    ],
    ids=["lora", "lora-language", "lora-vision"],
)
def test_adapters_lie_where_the_regime_says_and_each_learns(miniature, bench, regime, where):
    model, (work, task) = miniature(), bench
    before = state(model)
    adapted = regime(model, task, BUDGET, work)
    second = {name: p for name, p in model.module.named_parameters() if "lora_B" in name}
    assert {part for part in (LANGUAGE, PROJECTOR, TOWER) for name in second if part in name} == where
    assert all(p.abs().max() > 0 for p in second.values())
    assert adapted.trainable_parameters == sum(p.numel() for name, p in model.module.named_parameters() if "lora_" in name)
    assert all(isinstance(said, Said) for said in adapted.predict(task.test))
    adapted.undo()
    assert same(before, state(model))


def test_what_is_trained_is_counted_and_kept_so_that_peft_loads_it_again(miniature, bench, tmp_path):
    model, (work, task) = miniature(), bench
    asked = [[task.test[0].image.open()]], [task.test[0].prompt], [["yes", "no"]]
    adapted = taught.lora_vision(model, task, {**BUDGET, "epochs": 2, "accumulate": 2, "batch_size": 2, "dropout": 0.1}, work)
    assert (adapted.steps, adapted.samples_seen) == (4, 16)
    adapted.save(tmp_path)
    other = miniature()
    PeftModel.from_pretrained(other.module, tmp_path)
    assert other.loglikelihood(*asked)[0] == pytest.approx(model.loglikelihood(*asked)[0], abs=1e-5)
    adapted.undo()
    assert other.loglikelihood(*asked)[0] != pytest.approx(model.loglikelihood(*asked)[0], abs=1e-3)


def test_batches_of_a_step_count_by_the_tokens_of_their_answers_as_in_one_whole_batch(miniature, bench, monkeypatch):
    """The gradients that are clipped, of each step; answers are of unlike lengths, so that samples do not count alike."""
    work, task = bench
    replies = ["yes", "no", "a small nodule in the upper left lobe, and nothing else", "no"] * 2
    said = [replace(s, form="open", options=(), truth=reply) for s, reply in zip(task.train, replies, strict=True)]
    task = replace(task, train=tuple(said))
    own = torch.nn.utils.clip_grad_norm_

    def gradients(**budget):
        model, steps = miniature(), []

        def clipped(parameters, most):
            parameters = list(parameters)
            steps.append([parameter.grad.clone() for parameter in parameters])
            return own(parameters, most)

        monkeypatch.setattr(torch.nn.utils, "clip_grad_norm_", clipped)
        adapted = taught.projector(model, task, {**BUDGET, "learning_rate": 1e-5, **budget}, work)
        adapted.undo()
        shutil.rmtree(work.checkpoints)
        assert len(steps) == adapted.steps == 2
        return [torch.cat([one.flatten() for one in step]) for step in steps]

    whole = gradients(batch_size=4)
    for budget in ({"batch_size": 2, "accumulate": 2}, {"batch_size": 1, "accumulate": 4}):
        for step, expected in zip(gradients(**budget), whole, strict=True):
            torch.testing.assert_close(step, expected, rtol=1e-3, atol=1e-5 * float(expected.abs().max()))


def test_layers_behind_the_one_that_is_looked_at_are_left_out_and_listed(miniature, bench):
    """LLaVA takes the features of the last layer but one."""
    work, task = bench
    adapted = taught.lora_vision(miniature(), task, BUDGET, work)
    assert adapted.notes["untrained"]
    assert all(name.startswith("model.vision_tower.encoder.layers.2.") for name in adapted.notes["untrained"])
    assert len(adapted.notes["untrained"]) == 6


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["llava", "qwen3-vl", "gemma3", "idefics3"])
def test_the_projector_alone_is_trained_in_float32_and_given_back(miniature, bench, family, dtype):
    model, (work, task) = miniature(family, dtype), bench
    before = state(model)
    adapted = taught.projector(model, task, BUDGET, work)
    changed = {name for name, (_, value) in state(model).items() if not torch.equal(value, before[name][1])}
    assert changed == set(model.parts.projector)
    assert all(model.module.get_parameter(name).dtype == torch.float32 for name in changed)
    assert adapted.trainable_parameters == sum(model.module.get_parameter(name).numel() for name in changed)
    assert all(isinstance(said, Said) for said in adapted.predict(task.test))
    adapted.undo()
    assert same(before, state(model))
    assert not any(p.requires_grad for p in model.module.parameters())


@pytest.mark.parametrize("family", ["llava", "qwen3-vl"])
def test_a_step_that_runs_out_of_memory_is_repeated_and_its_activations_are_computed_again(
    miniature, bench, monkeypatch, family
):
    model, (work, task) = miniature(family), bench
    calls, passed = [], Counter()
    model.module.model.language_model.layers[1].mlp.register_forward_pre_hook(lambda *_: passed.update([bool(calls)]))
    plain = taught.lora_vision(model, task, {**BUDGET, "epochs": 2}, work)
    learnt = {name: p.detach().clone() for name, p in model.module.named_parameters() if "lora_" in name}
    plain.undo()
    shutil.rmtree(work.checkpoints)
    own = taught.answer_loss

    def answer_loss(*asked):
        calls.append(asked)
        if len(calls) == 3:  # the first is the pass that finds what is idle
            raise torch.OutOfMemoryError("out of memory")
        return own(*asked)

    monkeypatch.setattr(taught, "answer_loss", answer_loss)
    adapted = taught.lora_vision(model, task, {**BUDGET, "epochs": 2}, work)
    for name, value in learnt.items():
        torch.testing.assert_close(model.module.get_parameter(name).detach(), value, rtol=1e-3, atol=1e-4)
    assert adapted.notes["gradient_checkpointing"]
    assert "gradient_checkpointing" not in plain.notes
    layers = [part for part in model.module.modules() if isinstance(part, GradientCheckpointingLayer)]
    assert not any(layer.training or layer.gradient_checkpointing for layer in layers)
    assert passed[True] == passed[False] + 3  # one more for each step but the first, which went well


def test_a_model_whose_projector_is_not_known_is_refused(miniature, bench):
    model, (work, task) = miniature(), bench
    with pytest.raises(AdaptationFailed, match="no part of this model is known as its projector"):
        taught.projector(replace(model, parts=Parts((), (), ())), task, BUDGET, work)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("family", ["llava", "gemma3"])
def test_full_training_changes_every_weight_that_an_answer_depends_on_and_is_tested_in_the_models_precision(
    miniature, bench, family, dtype
):
    model, (work, task) = miniature(family, dtype), bench
    before = state(model)
    adapted = taught.full(model, task, {**BUDGET, "learning_rate": 1e-3}, work)
    after = state(model)
    parameters = dict(model.module.named_parameters())
    unchanged = {name for name in parameters if torch.equal(after[name][1], before[name][1])}
    untrained = set(adapted.notes["untrained"])
    assert untrained <= unchanged
    assert all(name.endswith("k_proj.bias") for name in unchanged - untrained)  # attention depends on none, but for rounding
    assert all(re.search(r"vision_tower\.(encoder\.layers\.2|post_layernorm|head)\.", name) for name in untrained)
    assert all(kind == before[name][0] for name, (kind, _) in after.items())
    assert adapted.trainable_parameters == sum(p.numel() for name, p in parameters.items() if name not in untrained)
    assert all(isinstance(said, Said) for said in adapted.predict(task.test))
    adapted.undo()
    assert same(before, state(model))


def test_full_training_without_room_is_refused_with_the_figures(miniature, bench, monkeypatch):
    model, (work, task) = miniature(), bench
    before = state(model)
    monkeypatch.setattr(memory, "available", lambda _: 1e5)
    with pytest.raises(OutOfMemory, match=r"training every weight takes \d.* GB .* and 0.0 GB are free"):
        taught.full(model, task, BUDGET, work)
    assert same(before, state(model))
