"""Whether a model's weights fit, told before a byte of them is read, and over which devices they go."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from math import prod
from pathlib import Path
from typing import Any
from zipfile import is_zipfile

import torch

from medrival.catalog import ModelCard
from medrival.errors import OutOfMemory
from medrival.memory import NF4_BITS
from medrival.models.files import header, weight_files
from medrival.workers import free_memory, gpus_beside

Shapes = Mapping[str, Sequence[int]]
"""Shapes of weights, by their names."""
BYTES = {"float32": 4.0, "float16": 2.0, "bfloat16": 2.0}
"""Of a weight, by the precision it is loaded in."""
WHOLE = re.compile(r"embed|lm_head|qformer|\.head\.attention\.|(?<!\.weight)$")
"""Matrices that transformers does not let bitsandbytes round: embeddings, output head, BLIP-2's Q-Former, SigLIP's pooling."""
TOGETHER = 0.9
"""Of what is free on several GPUs: layers go to one of them whole, so that a rest of each stays empty."""


def placed(card: ModelCard, folder: Path, device: str, dtype: str) -> dict[str, Any]:
    """What transformers must be told about where the weights go: nothing where the device holds them.

    Where one GPU is not enough, accelerate spreads them over all that no other worker holds, and over nothing else.

    Raises:
        OutOfMemory: the weights alone are larger than what is free.
    """
    stored = shapes(weight_files(folder))
    refuse_too_large(card, stored, device, dtype, divides=True)
    rooms = _rooms(device, size(stored, dtype))
    if not rooms or size(stored, dtype) <= next(iter(rooms.values())):
        return {}
    # In order: layers go to the first first, and accelerate expects the first layers on the GPU of the lowest index.
    return {"device_map": "auto", "max_memory": {gpu: int(rooms[gpu]) for gpu in sorted(rooms, key=int)}}


def refuse_too_large(
    card: ModelCard, stored: Shapes, device: str, dtype: str, *, divides: bool = False, packs: bool = True
) -> None:
    """Refuse weights for which there is no room. They alone are counted: a batch needs room too, and is halved until it fits.

    Args:
        divides: whether transformers loads them, which spreads them over several GPUs and packs them into 4 bits.
        packs: whether it may pack them, as where no adapter is merged into them.

    Raises:
        OutOfMemory: with the figures.
    """
    needed = size(stored, dtype)
    room = list((_rooms(device, needed) if divides else free(device)).values())
    if not room or needed <= (max(room[0], TOGETHER * sum(room)) if len(room) > 1 and divides else room[0]):
        return
    together = f", and {_gb(sum(room))} on all {len(room)} GPUs" if len(room) > 1 and divides else ""
    sizes = {kind: size(stored, kind) for kind in (("4bit", "bfloat16") if divides and packs else ("bfloat16",))}
    smaller = ", ".join(f"{_gb(one)} with --dtype {kind}" for kind, one in sizes.items() if one < needed)
    taken = torch.cuda.device_count() - len(room) if device.startswith("cuda") and divides else 0
    others = f"; {taken} more GPUs are other workers', run with -n 1 to use them" if taken > 0 else ""
    raise OutOfMemory(
        f"{card.name}: its weights take {_gb(needed)} in {dtype}, and {_gb(room[0])} are free on {device}{together}{others}; "
        + (f"they take {smaller}" if smaller else "it needs a larger device")
    )


def refuse_offloaded(card: ModelCard, module: Any) -> None:
    """Weights that accelerate left on the processor or the disk, as the GPUs could not take them, would make a run crawl.

    Raises:
        OutOfMemory: there are such weights.
    """
    places = {str(place) for place in getattr(module, "hf_device_map", {}).values()}
    if places & {"cpu", "disk"} and places != {"cpu"}:
        raise OutOfMemory(
            f"{card.name}: its layers do not divide among the GPUs; use a smaller --dtype, such as 4bit, or more GPUs"
        )


def weights(folder: Path, dtype: str) -> float:
    """Bytes that a checkpoint of transformers takes in a precision; see `size`."""
    return size(shapes(weight_files(folder)), dtype)


def size(stored: Shapes, dtype: str) -> float:
    """Bytes that weights take in a precision: "float32", "float16", "bfloat16" or "4bit".

    In 4 bits are the matrices of the layers, in the language model, the projector and the image tower; what `WHOLE` names stays
    in bfloat16, as do norms, biases and matrices of no layer.
    """
    return sum(_taken(name, shape, dtype) for name, shape in stored.items())


def shapes(files: Iterable[Path]) -> dict[str, list[int]]:
    """Names and shapes of stored weights, without the weights: from the headers of safetensors, or of what is pickled.

    Raises:
        UnpicklingError: there is code among the pickled weights.
    """
    found: dict[str, list[int]] = {}
    for file in files:
        if file.suffix != ".safetensors":
            pickled = torch.load(file, mmap=is_zipfile(file), weights_only=True, map_location="meta")
            named = {file.name: pickled} if isinstance(pickled, torch.Tensor) else pickled.get("state_dict", pickled)
            found |= {name: list(weight.shape) for name, weight in named.items() if isinstance(weight, torch.Tensor)}
            continue
        found |= {name: shape for name, (_, shape) in header(file).items()}
    return found


def free(device: str) -> dict[int | str, float]:
    """Bytes free on a device, by the index of a GPU or "cpu"; empty where that cannot be known."""
    if device.startswith("cuda"):
        return _free_on([torch.device(device).index or 0])
    if device != "cpu" or not (told := Path("/proc/meminfo")).is_file():  # Linux alone tells
        return {}
    lines = dict(line.split(":") for line in told.read_text().splitlines())
    return {"cpu": 1024.0 * int(lines["MemAvailable"].split()[0])}


def _rooms(device: str, needed: float) -> dict[int | str, float]:
    """The same and, where it is not enough, of the GPUs beside it, which are this worker's from then on."""
    rooms = free(device)
    if not rooms or needed <= next(iter(rooms.values())):
        return rooms
    return rooms | _free_on(gpus_beside(device))


def _free_on(gpus: Iterable[int]) -> dict[int | str, float]:
    return {index: free_memory(index) for index in gpus}


def _taken(name: str, shape: Sequence[int], dtype: str) -> float:
    if dtype != "4bit":
        return prod(shape) * BYTES[dtype]
    layer = len(shape) == 2 and not WHOLE.search(name)
    return prod(shape) * (NF4_BITS / 8 if layer else BYTES["bfloat16"])


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
