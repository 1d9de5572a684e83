"""Low-rank adapters beside the layers of a module, whose own weights stay as they are."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from medrival.regimes.training import Parameters


@dataclass(frozen=True)
class Adapters:
    """Adapters that are in a module: their parameters by name, and how to take them out again."""

    parameters: Parameters
    remove: Callable[[], object]

    @property
    def size(self) -> int:
        """How many numbers they hold."""
        return sum(parameter.numel() for parameter in self.parameters.values())


def insert(module: torch.nn.Module, layers: Sequence[str], budget: Mapping[str, Any], seed: int) -> Adapters:
    """Put a LoRA adapter beside each named linear layer of a module, in place. Source: Hu et al. 2022, section 4.1."""
    from peft import LoraConfig, LoraModel

    config = LoraConfig(
        r=budget["rank"], lora_alpha=budget["alpha"], bias="none", target_modules="|".join(map(re.escape, layers))
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tuner = LoraModel(module, {"default": config}, "default")
    parameters = {name: p for name, p in module.named_parameters() if "lora_" in name}
    for name in layers:
        module.get_submodule(name).register_forward_pre_hook(_brought)
    for parameter in parameters.values():
        parameter.data = parameter.data.float()  # small steps are lost in bfloat16; peft casts what flows through
    return Adapters(parameters, tuner.unload)


def _brought(layer: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Over several GPUs accelerate brings inputs to the layer itself, which its adapter now surrounds and comes before."""
    return tuple(value.to(layer.weight.device) for value in inputs)
