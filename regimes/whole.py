"""Parameters that are trained themselves, in float32 whatever the precision of the model, and given back as they were."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch

from medrival import memory
from medrival.errors import AdaptationFailed, OutOfMemory
from medrival.regimes.adapters import Adapters

BYTES = 16
"""Of a parameter in training: in float32 itself, its gradient and the two moments that AdamW keeps of it."""


def free(module: torch.nn.Module, names: Sequence[str], *, rest_too: bool = False) -> Adapters:
    """Let named parameters of a module be trained, in place; `remove` gives back the very numbers that were there.

    Args:
        rest_too: whether the rest of the module is in float32 meanwhile, too. Otherwise the parts that hold only these
            parameters compute in float32, and hand on what the rest expects.

    Raises:
        AdaptationFailed: they are packed into 4 bits.
    """
    parameters = {name: module.get_parameter(name) for name in names}
    if packed := [name for name, parameter in parameters.items() if not parameter.is_floating_point()]:
        raise AdaptationFailed(f"{packed[0]} is packed into 4 bits, where adapters alone can be trained; take --dtype bfloat16")
    hooks = [] if rest_too else _bridges(module, set(map(id, parameters.values())))
    rest = [value for value in (*module.parameters(), *module.buffers()) if value.is_floating_point()]
    widened: list[torch.Tensor] = rest if rest_too else list(parameters.values())
    before = [parameter.data for parameter in widened]
    for parameter in widened:
        parameter.data = parameter.data.to(torch.float32, copy=True)
    for parameter in parameters.values():
        parameter.requires_grad_(True)

    def remove() -> None:
        for hook in hooks:
            hook.remove()
        for parameter, value in zip(widened, before, strict=True):
            parameter.requires_grad_(False)
            parameter.grad = None
            parameter.data = value

    return Adapters(parameters, remove)


def refuse_too_large(module: torch.nn.Module) -> None:
    """Refuse to train every parameter where there is no room for it beside the weights that are loaded.

    Raises:
        OutOfMemory: with the figures.
    """
    needed = BYTES * sum(parameter.numel() for parameter in module.parameters())
    room = memory.available({parameter.device for parameter in module.parameters()})
    if room is not None and needed > room:
        raise OutOfMemory(
            f"training every weight takes {needed / 1e9:,.1f} GB (weights, gradients and AdamW's moments, in float32), and "
            f"{room / 1e9:,.1f} GB are free; train adapters, as lora does, or take a larger device"
        )


def _bridges(module: torch.nn.Module, own: set[int]) -> list[Any]:
    """Hooks of the outermost parts all of whose parameters are among these, where they are not in float32 already."""
    held = [part for part in module.children() if any(id(p) in own for p in part.parameters())]
    hooks: list[Any] = []
    for part in held:
        whole = {id(p) for p in part.parameters()} <= own and not isinstance(part, torch.nn.ModuleList)
        if not whole:
            hooks += _bridges(part, own)
            continue
        kind = next(part.parameters()).dtype
        if kind != torch.float32:
            hooks.append(part.register_forward_pre_hook(_widened, with_kwargs=True))
            hooks.append(part.register_forward_hook(partial(_narrowed, kind)))
    return hooks


def _widened(_: torch.nn.Module, inputs: tuple[Any, ...], named: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return tuple(map(_float32, inputs)), {name: _float32(value) for name, value in named.items()}


def _float32(value: Any) -> Any:
    return value.float() if isinstance(value, torch.Tensor) and value.is_floating_point() else value


def _narrowed(kind: torch.dtype, _: torch.nn.Module, __: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
    return output.to(kind)
