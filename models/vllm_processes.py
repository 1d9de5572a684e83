"""vLLM's processes: started with a model on the GPUs that this process has, ended with it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import torch

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, MissingDevice, first_line
from medrival.models.orphans import none_left
from medrival.models.placement import free, placed
from medrival.workers import free_memory, visible_gpu

if TYPE_CHECKING:
    from vllm import LLM

Code = Literal["vllm", "transformers"]
"""Whose code for the network runs inside vLLM."""
SECONDS_TO_END = 30.0
"""Until a process that was told to end is left to whatever ends it."""
SHARE = {"cuda": 0.9, "cpu": 0.3}
"""Of what is free on a device: vLLM takes it at its start, for weights and for what it remembers of prompts."""


def refuse_other_device(device: str) -> None:
    """See to it that the vLLM that is installed is for the run's kind of device.

    Raises:
        MissingDevice: it is for another.
    """
    _quiet()
    from vllm.platforms import current_platform

    kind = device.partition(":")[0]
    if current_platform.device_type != kind:
        raise MissingDevice(f"--device {kind}: the vLLM that is installed is for {current_platform.device_type or 'no device'}")


def _quiet() -> None:
    """Before vLLM is imported: it tells nobody that it is used, and in the terminal nothing but warnings."""
    os.environ["VLLM_NO_USAGE_STATS"] = os.environ["DO_NOT_TRACK"] = "1"
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    os.environ.setdefault("VLLM_WORKER_MULTIPROC_METHOD", "spawn")  # pytest and torch have threads, which a fork would lose


@contextmanager
def started(card: ModelCard, folder: Path, device: str, dtype: str, code: Code) -> Iterator[LLM]:
    """The model in vLLM's processes, which end with the context, or with this process, however that ends.

    Raises:
        BrokenModel: vLLM does not start with it.
        OutOfMemory: the weights do not fit.
    """
    from vllm import LLM

    kind = device.partition(":")[0]
    gpus = _gpus(card, folder, device, dtype)
    others = multiprocessing.active_children()
    with none_left(os.getpid()):
        try:
            with _visible(gpus):
                llm = LLM(
                    model=str(folder),
                    dtype=dtype,
                    model_impl=code,
                    trust_remote_code=card.trusted,
                    enforce_eager=kind == "cpu",  # where compiling takes longer than it saves
                    generation_config="vllm",  # not the checkpoint's sampling
                    max_model_len=-1,  # as long as there is memory for
                    tensor_parallel_size=max(1, len(gpus)),
                    gpu_memory_utilization=SHARE[kind] * _free_part(gpus),  # of a CPU, too
                )
        except Exception as error:  # whatever stops it, the case fails and others go on
            other = " or with --backend vllm-transformers" if code == "vllm" else ""
            raise BrokenModel(
                f"{card.name}: vLLM does not start with it ({first_line(error)}); what it said stands above. "
                f"Run it without --backend{other}"
            ) from error
        processes = [one for one in multiprocessing.active_children() if one not in others]
        try:
            yield llm
        finally:
            llm.llm_engine.engine_core.shutdown()
            for process in processes:
                process.join(SECONDS_TO_END)


def _gpus(card: ModelCard, folder: Path, device: str, dtype: str) -> list[int]:
    """The GPUs that hold the weights: one, or of those that no other worker holds as many as a network can be divided among."""
    room = placed(card, folder, device, dtype).get("max_memory", {})
    if not device.startswith("cuda"):
        return []
    gpus = [int(gpu) for gpu in room] or [int(device.partition(":")[2] or 0)]
    return gpus[: 2 ** (len(gpus).bit_length() - 1)]  # heads divide by powers of two


def _free_part(gpus: Sequence[int]) -> float:
    """The part of each GPU's memory that is free, or of the CPU's where there are none."""
    if gpus:
        return min(free_memory(gpu) / torch.cuda.mem_get_info(gpu)[1] for gpu in gpus)
    return free("cpu").get("cpu", 0.0) / (os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))


@contextmanager
def _visible(gpus: Sequence[int]) -> Iterator[None]:
    """Let the processes that are started meanwhile see these GPUs alone."""
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(map(visible_gpu, gpus))
    try:
        yield
    finally:
        os.environ.pop("CUDA_VISIBLE_DEVICES", None)
        if before is not None:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def installed() -> str:
    """The version of vLLM."""
    import vllm

    return vllm.__version__
