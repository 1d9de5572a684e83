"""Low-rank adapters beside the layers of a module, whose own weights stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from medrival.regimes.training import Parameters

if TYPE_CHECKING:
    from peft import LoraConfig


@dataclass(frozen=True)
class Adapters:
    """What is trained of a module: parameters by name, and how to take them out again.

    Attributes:
        dropouts: modules that are at work in training alone.
        write: writes them into a folder in peft's format, for the base model of a name; None where peft cannot load them.
    """

    parameters: Parameters
    remove: Callable[[], object]
    dropouts: tuple[torch.nn.Module, ...] = ()
    write: Callable[[Path, str], object] | None = None

    @property
    def size(self) -> int:
        """How many numbers they hold."""
        return sum(parameter.numel() for parameter in self.parameters.values())

    def save(self, base: str) -> Callable[[Path], object] | None:
        """What writes them into a folder, for a base model of this name; None where it has none, or peft cannot load them."""
        write = self.write
        return (lambda folder: write(folder, base)) if write and base else None


def insert(module: torch.nn.Module, layers: Sequence[str], budget: Mapping[str, Any], seed: int) -> Adapters:
    """Put a LoRA adapter beside each named linear layer of a module, in place. Source: Hu et al. 2022, section 4.1."""
    from peft import LoraConfig, LoraModel
    from transformers import PreTrainedModel

    config = LoraConfig(
        r=budget["rank"],
        lora_alpha=budget["alpha"],
        lora_dropout=budget.get("dropout", 0.0),
        bias="none",
        target_modules="|".join(map(re.escape, layers)),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tuner = LoraModel(module, {"default": config}, "default")
    parameters = {name: p for name, p in module.named_parameters() if "lora_" in name}
    for name in layers:
        module.get_submodule(name).register_forward_pre_hook(_brought)
    for parameter in parameters.values():
        parameter.data = parameter.data.float()  # small steps are lost in bfloat16; peft casts what flows through
    # peft inserts them at work, and a training that only reads what an earlier run left makes no step after which to stop them.
    dropouts = [part.eval() for name, part in module.named_modules() if name.endswith("lora_dropout.default")]
    # Only a module of transformers has the names that whoever loads it with peft finds again.
    write = partial(_write, config, parameters) if isinstance(module, PreTrainedModel) else None
    return Adapters(parameters, tuner.unload, tuple(dropouts), write)


def _write(config: LoraConfig, parameters: Parameters, folder: Path, base: str) -> None:
    """As peft's `save_pretrained` does: a layer is known by its name in the base model, the adapter by none."""
    from peft.utils import SAFETENSORS_WEIGHTS_NAME
    from safetensors.torch import save_file

    plain = {f"base_model.model.{name.replace('.default.', '.')}": value for name, value in parameters.items()}
    weights = {name: value.detach().cpu().contiguous() for name, value in plain.items()}
    save_file(weights, folder / SAFETENSORS_WEIGHTS_NAME, metadata={"format": "pt"})
    config.base_model_name_or_path = base
    config.save_pretrained(str(folder))


def deciding(module: torch.nn.Module, output: Callable[[], torch.Tensor]) -> tuple[list[str], list[str]]:
    """Names of the linear layers that an output depends on, and of those that are called for it in vain.

    A gradient tells: BERT's pooler is called where its output is not used, and an adapter there would learn nothing.
    """
    probes: dict[str, torch.Tensor] = {}

    def probed(name: str, _: torch.nn.Module, __: object, made: torch.Tensor) -> torch.Tensor:
        probes.setdefault(name, torch.zeros((), device=made.device, requires_grad=True))
        return made + probes[name].to(made.dtype)

    layers = [(name, part) for name, part in module.named_modules() if isinstance(part, torch.nn.Linear)]
    hooks = [part.register_forward_hook(partial(probed, name)) for name, part in layers]
    try:
        with torch.enable_grad():
            made = output()
    finally:
        for hook in hooks:
            hook.remove()
    if not made.requires_grad:
        return [], list(probes)
    found = torch.autograd.grad(made.sum(), list(probes.values()), allow_unused=True)
    reached = [name for name, gradient in zip(probes, found, strict=True) if gradient is not None]
    return reached, [name for name in probes if name not in reached]


def _brought(layer: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Over several GPUs accelerate brings inputs to the layer itself, which its adapter now surrounds and comes before."""
    return tuple(value.to(layer.weight.device) for value in inputs)
