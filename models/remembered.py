"""What a frozen image tower makes of an image: the same for every question about it and in every epoch, so it is kept."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from types import MethodType
from typing import Any

import torch

TOWER = re.compile(r"(^|\.)vision_(tower|model)$")
"""How the families of transformers name towers that take a row of pixels an image; Qwen-VL's takes patches of all together."""
ROOM = 2**32
"""Bytes that are kept, in the memory of the CPU; what was used longest ago goes first."""
TOGETHER = 8
"""Images that a tower looks at together."""

Row = Mapping[str | int, torch.Tensor]
"""What a tower makes of one image or more, by the field of its output or by the number of a hidden layer that was asked for."""
Tower = Callable[..., Any]


class Kept:
    """Rows by what identifies their image, as far as there is room."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._rows: OrderedDict[bytes, Row] = OrderedDict()

    def get(self, key: bytes) -> Row | None:
        """The row, which counts as used now."""
        if key in self._rows:
            self._rows.move_to_end(key)
        return self._rows.get(key)

    def add(self, key: bytes, row: Row) -> None:
        """Keep a row, in the place of others where room is short."""
        self._rows[key] = row
        self._room -= _size(row)
        while self._room < 0:
            self._room += _size(self._rows.popitem(last=False)[1])

    def clear(self) -> None:
        """Keep none of them any longer."""
        self._room += sum(map(_size, self._rows.values()))
        self._rows.clear()


def remember(module: torch.nn.Module, room: int = ROOM) -> None:
    """Have a network's image tower look at an image once, as long as its weights stay as they are.

    What it makes of one may not differ, in the last digits, by what was beside it when it was first seen, and so from run to
    run. A GPU therefore always looks at as many images together. A CPU makes of several what it makes of each alone wherever
    its sums do not change with their number, which is tried; elsewhere it looks at one after the other. Mixed precision is off
    in the tower: training sees what inference does.
    A network without such a tower stays as it is, as does one whose tower makes a single row of all images, such as Pixtral.
    """
    tower = _tower(module)
    if tower is not None and next(iter(inspect.signature(tower.forward).parameters)) == "pixel_values":
        # Methods, for those of a copy are the copy's own: peft copies a tower that an adapter directory replaces.
        tower.kept, tower.adds_nothing = Kept(room), {}
        tower.look, tower.forward = tower.forward, MethodType(_remembering, tower)


@contextmanager
def forgetful(module: torch.nn.Module) -> Iterator[None]:
    """Have the tower look at every image each time, as it does by itself; what was kept before is kept no longer."""
    tower = _tower(module)
    if tower is None or not hasattr(tower, "kept"):
        yield
        return
    tower.kept.clear()
    remembering, tower.forward = tower.forward, tower.look
    try:
        yield
    finally:
        tower.forward = remembering


def _tower(module: torch.nn.Module) -> Any:
    return next((part for name, part in module.named_modules() if TOWER.search(name)), None)


def _remembering(tower: Any, pixel_values: torch.Tensor, **named: Any) -> Any:
    kept, look = tower.kept, tower.look
    shown = {"pixel_values": pixel_values, **{k: v for k, v in named.items() if isinstance(v, torch.Tensor)}}
    told = {name: value for name, value in named.items() if name not in shown}
    trained = pixel_values.requires_grad or any(parameter.requires_grad for parameter in tower.parameters())
    by_row = pixel_values.ndim == 4 and all(len(value) == len(pixel_values) for value in shown.values())
    if trained or not by_row or told.get("output_hidden_states") is True:
        return look(pixel_values, **named)
    if not hasattr(tower, "makes_rows"):
        tower.makes_rows = _makes_rows(look, shown, told)
    if not tower.makes_rows:
        return look(pixel_values, **named)
    keys = _keys(shown, told, _state(tower))
    found = {key: row for key in keys if (row := kept.get(key))}
    new = {key: i for i, key in enumerate(keys) if key not in found}
    for key, row in zip(new, _looked(tower, shown, told, list(new.values())), strict=True):
        found[key] = row
        kept.add(key, row)
    return _output([found[key] for key in keys], pixel_values.device)


@torch.inference_mode(False)  # training may not use what inference mode computes
@torch.no_grad()
def _looked(tower: Any, shown: Mapping[str, torch.Tensor], told: Mapping[str, Any], places: list[int]) -> list[Row]:
    """What the tower makes of some of the images that are shown."""
    device, rows = shown["pixel_values"].device, list[Row]()
    while len(rows) < len(places):
        left = places[len(rows) :]
        one = device.type == "cpu" and not (len(left) > TOGETHER // 2 and _adds_nothing(tower, shown, told))
        some = left[: 1 if one else TOGETHER]
        fields = _made(tower.look, shown, told, some if one else some + some[-1:] * (TOGETHER - len(some)))
        rows += [{name: value[i].to("cpu", copy=True) for name, value in fields.items()} for i in range(len(some))]
    return rows


def _adds_nothing(tower: Any, shown: Mapping[str, torch.Tensor], told: Mapping[str, Any]) -> bool:
    """Whether a tower makes of each of as many images of a kind, to the last bit, what it makes of one alone.

    How a sum is split among registers and threads is decided by shapes: what holds for copies of an image holds for others.
    """
    kind = _kind(shown, told)
    if kind not in tower.adds_nothing:
        alone, together = (_made(tower.look, shown, told, [0] * count) for count in (1, TOGETHER))
        tower.adds_nothing[kind] = all(torch.equal(value, alone[name].expand_as(value)) for name, value in together.items())
    return bool(tower.adds_nothing[kind])


@torch.inference_mode(False)
@torch.no_grad()
def _makes_rows(look: Tower, shown: Mapping[str, torch.Tensor], told: Mapping[str, Any]) -> bool:
    """Whether a tower makes two rows of two images."""
    return all(len(value) == 2 for value in _made(look, shown, told, [0, 0]).values())


def _made(look: Tower, shown: Mapping[str, torch.Tensor], told: Mapping[str, Any], places: list[int]) -> Row:
    mixed = torch.is_autocast_enabled()  # on CUDA, where alone training has it
    with torch.autocast("cuda", enabled=False) if mixed else nullcontext():
        output = look(**{name: torch.stack([value[i] for i in places]) for name, value in shown.items()}, **told)
    return _fields(output, told.get("output_hidden_states"))


def _fields(output: Any, layers: Any) -> Row:
    """What of an output a projector may take: the hidden layers that were asked for, and the last one's where that is it."""
    asked = [] if layers is None or layers is False else [layers] if isinstance(layers, int) else list(layers)
    last = {name: output.get(name) for name in ("last_hidden_state", "pooler_output") if not asked or -1 in asked}
    return {name: value for name, value in last.items() if value is not None} | {i: output.hidden_states[i] for i in asked}


def _output(rows: list[Row], device: torch.device) -> Any:
    from transformers.modeling_outputs import BaseModelOutputWithPooling

    joined = {name: torch.stack([row[name] for row in rows]).to(device) for name in rows[0]}
    output: Any = BaseModelOutputWithPooling()
    for name, value in joined.items():
        if isinstance(name, str):
            output[name] = value
    output.hidden_states = {name: value for name, value in joined.items() if isinstance(name, int)} or None
    return output


def _state(tower: torch.nn.Module) -> list[tuple[int, int]]:
    """What is another after a weight was replaced or written to, which torch counts unless it is written to by `.data`."""
    weights = [*tower.parameters(), *tower.buffers()]
    return [(value.data_ptr(), 0 if value.is_inference() else value._version) for value in weights]


def _keys(shown: Mapping[str, torch.Tensor], told: Mapping[str, Any], state: object) -> list[bytes]:
    """What identifies each row of what is shown: its every byte, its shape and kind, what is told beside it, the weights."""
    told_of_all = f"{state} {_kind(shown, told)}".encode()
    parts = [value.detach().cpu().contiguous().flatten(1).view(torch.uint8).numpy() for value in shown.values()]
    return [
        hashlib.blake2b(b"".join([told_of_all, *(part[i].tobytes() for part in parts)])).digest() for i in range(len(parts[0]))
    ]


def _kind(shown: Mapping[str, torch.Tensor], told: Mapping[str, Any]) -> str:
    """What all rows have in common: shape and kind of what is shown, and what is told beside it."""
    return repr([sorted(told.items()), [(name, value.shape[1:], value.dtype) for name, value in shown.items()]])


def _size(row: Row) -> int:
    return sum(value.nbytes for value in row.values())
