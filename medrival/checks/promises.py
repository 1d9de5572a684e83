"""What the checks of all models share: a broken promise is said, adapters are as training leaves them, weights are compared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch

from medrival.regimes.adapters import Adapters, insert


def promise(kept: bool, sentence: str) -> None:
    """Say that a promise is broken, where it is not kept.

    Raises:
        AssertionError: with the sentence.
    """
    if not kept:
        raise AssertionError(sentence)


@contextmanager
def trained_adapters(module: torch.nn.Module, layers: Sequence[str]) -> Iterator[Adapters]:
    """Adapters as training leaves them: LoRA begins with second factors of zero, which would hide the first ones."""
    known = {name for name, _ in module.named_modules()}
    for name in layers:
        promise(name in known, f"LoRA found other layers than `lora` names: {name} is none")
    adapters = insert(module, layers, {"rank": 2, "alpha": 4}, seed=0)
    numbers = torch.Generator().manual_seed(0)
    for name, parameter in adapters.parameters.items():
        if "lora_B" in name:
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=numbers).to(parameter)
    try:
        yield adapters
    finally:
        adapters.remove()


def weights(module: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of every parameter and buffer, by its name."""
    named = (*module.named_parameters(), *module.named_buffers())
    return {name: value.detach().clone() for name, value in named}


def identical(one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]) -> bool:
    """Whether both hold the same names and, bit by bit, the same values."""
    return one.keys() == other.keys() and all(torch.equal(value, other[name]) for name, value in one.items())
