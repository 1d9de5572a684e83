"""Whether a model's weights fit, told before a byte of them is read, and over which devices they go."""

from __future__ import annotations

import json
from math import prod
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from medrival.catalog import ModelCard
from medrival.errors import OutOfMemory

BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
"""Of a weight, by the precision it is loaded in."""
FOUR_BITS = 4.5 / 8
"""Of a weight in NF4: 4 bits, and a float32 scale for every 64 weights (Dettmers et al. 2023, section 3)."""


def placed(card: ModelCard, folder: Path, device: str, dtype: str) -> dict[str, Any]:
    """What transformers must be told about where the weights go: nothing where the device holds them.

    Where one GPU is not enough, accelerate spreads them over all that are visible. Only the weights are counted: a batch needs
    room too, and is halved until it fits.

    Raises:
        OutOfMemory: the weights alone are larger than what is free.
    """
    room = free(device)
    needed = weights(folder, dtype)
    if not room or needed <= room[0]:
        return {}
    if needed <= sum(room):
        return {"device_map": "auto"}
    smaller = f"{_gb(weights(folder, '4bit'))} with --dtype 4bit, {_gb(weights(folder, 'bfloat16'))} with --dtype bfloat16"
    together = f", and {_gb(sum(room))} on all {len(room)} GPUs" if len(room) > 1 else ""
    raise OutOfMemory(
        f"{card.name}: its weights take {_gb(needed)} in {dtype}, and {_gb(room[0])} are free on {device}{together}; "
        f"they take {smaller}"
    )


def weights(folder: Path, dtype: str) -> float:
    """Bytes that a checkpoint's weights take in a precision: "float32", "float16", "bfloat16" or "4bit".

    In 4 bits are the matrices of the layers; embeddings, output head, norms and biases stay in bfloat16, as bitsandbytes leaves
    them. Pickled weights are as large as their files.
    """
    files = weight_files(folder)
    if any(file.suffix != ".safetensors" for file in files):
        return float(sum(file.stat().st_size for file in files))
    return sum(_taken(name, shape, dtype) for name, shape in shapes(folder).items())


def shapes(folder: Path) -> dict[str, list[int]]:
    """Names and shapes of a checkpoint's weights, from the headers of its safetensors."""
    found: dict[str, list[int]] = {}
    for file in weight_files(folder):
        with safe_open(file, framework="pt") as stored:
            found |= {name: stored.get_slice(name).get_shape() for name in stored.keys()}  # noqa: SIM118 - keys() is all it has
    return found


def weight_files(folder: Path) -> list[Path]:
    """The files that hold the weights, as transformers chooses them: safetensors first, one file before shards."""
    for name in ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin", "pytorch_model.bin.index.json"):
        found = folder / name
        if found.is_file():
            return _shards(found) if found.suffix == ".json" else [found]
    return []


def free(device: str) -> list[float]:
    """Bytes free on a device and then on every other visible GPU; empty where that cannot be known."""
    if device.startswith("cuda"):
        first = torch.device(device).index or 0
        others = (index for index in range(torch.cuda.device_count()) if index != first)
        return [float(torch.cuda.mem_get_info(index)[0]) for index in (first, *others)]
    if device != "cpu" or not (told := Path("/proc/meminfo")).is_file():  # Linux alone tells
        return []
    lines = dict(line.split(":") for line in told.read_text().splitlines())
    return [1024.0 * int(lines["MemAvailable"].split()[0])]


def _shards(index: Path) -> list[Path]:
    names = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [index.parent / name for name in sorted(set(names))]


def _taken(name: str, shape: list[int], dtype: str) -> float:
    if dtype != "4bit":
        return prod(shape) * BYTES[dtype]
    layer = len(shape) == 2 and "embed" not in name and "lm_head" not in name
    return prod(shape) * (FOUR_BITS if layer else BYTES["bfloat16"])


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
