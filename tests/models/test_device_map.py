"""A generator that is loaded onto several devices, as where one GPU is not enough, is the undivided one.

It is loaded as in a run: by transformers, which divides it by the room that is found on three GPUs, with accelerate's hooks.
None is there: tensors pretend to lie on one, compute on the CPU, and may no more meet across devices than on GPUs.
"""

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map_only
from transformers import modeling_utils

from medrival.checks.promises import trained_adapters
from medrival.models import generator, placement
from medrival.regimes.adapters import insert
from medrival.regimes.taught import answer_loss
from medrival.regimes.training import train
from tests.models.miniature_generators import FAMILIES, save
from tests.models.test_generator_battery import questions
from tests.regimes.test_training import BUDGET, Bench

CPU = torch.device("cpu")
PRETENDED = "lazy"
"""A type of device that autograd runs on the CPU's thread, and that no build of torch computes on."""
INDEXING = (torch.ops.aten.index.Tensor, torch.ops.aten.index_put_.default, torch.ops.aten.index_put.default)
"""What takes indices from the CPU."""


class Numbered(str):
    """A pretended device that hashes as the number of a GPU does.

    accelerate sends inputs to the first of a set of devices: of numbers the lowest, which has the first layers, and of names
    any, by the seed of their hashes. In Qwen3-VL's image tower, where it is divided, inputs from another meet the first layers.
    """

    def __hash__(self) -> int:
        return int(self.rpartition(":")[2])


class Placed(torch.Tensor):
    """A tensor that says it lies on another device."""

    @staticmethod
    def __new__(cls, held, device):
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype, "device": device}
        placed = torch.Tensor._make_wrapper_subclass(cls, held.shape, **layout, requires_grad=held.requires_grad)
        placed.held = held
        return placed

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


def computed(func, args, kwargs):
    """On the CPU, with the result where the arguments are, or where it is asked for.

    As on GPUs: tensors of two devices do not meet, but for numbers of the CPU, its indices, and copies.
    """
    leaves = tree_leaves((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, torch.Tensor)]
    asked = [leaf for leaf in leaves if isinstance(leaf, torch.device)]
    met = {tensor.device for tensor in tensors if tensor.ndim or isinstance(tensor, Placed)}
    if func in INDEXING and len(met) > 1:
        met.discard(CPU)
    copies = func is torch.ops.aten.copy_.default
    if len(met) > 1 and not asked and not copies:
        raise RuntimeError(f"Expected all tensors to be on the same device, but {func} has {met}")
    place = asked[0] if asked else args[0].device if copies else next(iter(met), CPU)
    known = {id(tensor.held): tensor for tensor in tensors if isinstance(tensor, Placed)}
    args, kwargs = tree_map_only(torch.device, lambda device: CPU if device.type == PRETENDED else device, (args, kwargs))
    args, kwargs = tree_map_only(Placed, lambda tensor: tensor.held, (args, kwargs))
    result = func(*args, **kwargs)
    if place.type != PRETENDED:
        return result
    return tree_map_only(torch.Tensor, lambda held: known[id(held)] if id(held) in known else Placed(held, place), result)


class Operations(TorchDispatchMode):
    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return computed(func, args, kwargs or {})


class Numbers(TorchFunctionMode):
    """What passes by the dispatcher: tensors made of numbers, numbers and addresses of tensors, and tensors put into others."""

    def __init__(self):
        super().__init__()
        self.addressed = []

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.Tensor.tolist, torch.Tensor.data_ptr) and isinstance(args[0], Placed):
            self.addressed.append(args[0].held)  # accelerate knows tied weights by their addresses: none is given anew
            return func(args[0].held)
        if func == torch.Tensor.data.__set__ and isinstance(args[0], Placed):
            args[0].held = args[1].held
        if func in (torch.tensor, torch.as_tensor):
            device = kwargs.pop("device", None)
            made = func(*tree_map_only(Placed, lambda tensor: tensor.held.tolist(), args), **kwargs)
            return made if device is None else made.to(device)
        return func(*args, **kwargs)


@pytest.fixture
def devices(monkeypatch):
    """Three devices. Views of weights cannot be made in inference mode while their tensors pretend."""
    monkeypatch.setattr(torch, "inference_mode", torch.no_grad)
    with Operations(), Numbers():
        yield [Numbered(f"{PRETENDED}:{index}") for index in range(3)]


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Family -> the directory of its miniature; each is saved once."""
    return cache(lambda family: save(FAMILIES[family], tmp_path_factory.mktemp("checkpoints")))


@pytest.fixture
def load(rows, saved):
    def loaded(family, device="cpu"):
        return generator.transformers(replace(rows.models["pocket-llava"], name=family), saved(family), device, "float32")

    return loaded


@pytest.fixture
def divided(load, saved, devices, monkeypatch):
    """Loads a family as on three GPUs of which two hold less than half of it each."""
    numbered = modeling_utils._get_device_map

    def pretended(*arguments):
        """Where each layer goes: a pretended device in the place of a GPU's number."""
        return {name: devices[index] for name, index in numbered(*arguments).items()}

    def loaded(family):
        size = placement.weights(saved(family), "float32")
        with monkeypatch.context() as patch:
            patch.setattr(placement, "free", lambda _: {0: 0.45 * size, 1: 0.45 * size, 2: size})
            patch.setattr(modeling_utils, "_get_device_map", pretended)
            patch.setenv("HF_DEACTIVATE_ASYNC_LOAD", "1")  # other threads would not pretend
            return load(family, devices[0])

    return loaded


def asked():
    return [q.images for q in questions()], [q.prompt for q in questions()]


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "qwen3-vl", "gemma3"])
def test_it_answers_scores_and_learns_as_the_undivided_one(load, divided, devices, family):
    whole, parts = load(family), divided(family)
    assert sorted({str(parameter.device) for parameter in parts.module.parameters()}) == devices
    assert parts.answer(*asked(), 8) == whole.answer(*asked(), 8)
    replies = [q.replies for q in questions()]
    for found, expected in zip(parts.loglikelihood(*asked(), replies), whole.loglikelihood(*asked(), replies), strict=True):
        assert found == pytest.approx(expected, abs=1e-4)
    gradients = []
    for model in (whole, parts):
        taught = model.teach(*asked(), [first for first, *_ in replies])
        with trained_adapters(model.module, model.lora) as adapters:
            answer_loss(model.module, taught).backward()
            gradients.append({name: parameter.grad.to("cpu") for name, parameter in adapters.parameters.items()})
    assert gradients[0].keys() == gradients[1].keys()
    for name, expected in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], expected, atol=1e-5, rtol=1e-3)


def learned(model, folder):
    """Parameters of adapters after two epochs of training, by their names."""
    images, prompts = asked()
    replies = [q.replies[0] for q in questions()]
    adapters = insert(model.module, model.lora, {"rank": 2, "alpha": 4}, seed=0)

    def loss(batch):
        taught = model.teach([images[i] for i in batch], [prompts[i] for i in batch], [replies[i] for i in batch])
        return answer_loss(model.module, taught)

    train(adapters.parameters, len(prompts), loss, lambda: 0.0, {**BUDGET, "epochs": 2, "learning_rate": 1e-2}, Bench(folder))
    return adapters.parameters


def test_adapters_are_trained_where_their_layers_are(tmp_path, load, divided):
    model = divided("qwen2.5-vl")
    whole, parts = learned(load("qwen2.5-vl"), tmp_path / "whole"), learned(model, tmp_path / "parts")
    assert len({parameter.device for parameter in parts.values()}) > 1
    for name, expected in whole.items():
        layer = model.module.get_submodule(name.partition(".lora_")[0])
        assert parts[name].device == layer.weight.device
        torch.testing.assert_close(parts[name].to("cpu"), expected, atol=1e-4, rtol=1e-3)
