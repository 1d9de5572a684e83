"""vLLM's processes: started with a model on the GPUs that this process has, ended with it."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import psutil
import torch

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, MissingDevice, first_line
from medrival.models.orphans import descendants, end, none_left
from medrival.models.placement import placed
from medrival.workers import free_memory, visible_gpu

if TYPE_CHECKING:
    from vllm import LLM

T = TypeVar("T")
Code = Literal["vllm", "transformers"]
"""Whose code for the network runs inside vLLM."""
SECONDS_TO_END = 30.0
"""Until a process that was told to end is left to whatever ends it."""
CONTEXT = 32_768
"""Tokens that prompt and answer may have together, or as many as the model has positions for: memory is not to decide it."""
SHARE = {"cuda": 0.9, "cpu": 0.3}
"""Of what is free on a device: vLLM takes it at its start, for weights and for what it remembers of prompts."""


@dataclass(frozen=True)
class Shape:
    """What of a network decides how vLLM runs it.

    Attributes:
        context: tokens that prompt and answer may have together; None for as many as vLLM thinks right.
        heads: of attention, in the language model.
    """

    context: int | None
    heads: int

    @classmethod
    def of(cls, module: Any) -> Shape:
        """That of a network of transformers."""
        config = module.config.get_text_config()
        positions = getattr(config, "max_position_embeddings", None)
        return cls(min(positions, CONTEXT) if positions else None, getattr(config, "num_attention_heads", 1))


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
def started(card: ModelCard, folder: Path, device: str, dtype: str, code: Code, shape: Shape) -> Iterator[tuple[LLM, str]]:
    """The model in vLLM's processes, which end with the context, or with this process, however that ends; and who runs it.

    Raises:
        BrokenModel: vLLM does not start with it.
        OutOfMemory: the weights do not fit.
    """
    from vllm import LLM

    kind = device.partition(":")[0]
    gpus = _gpus(card, folder, device, dtype, shape.heads)
    with none_left(os.getpid()):
        others = descendants(psutil.Process())
        try:
            with _environment(gpus, dtype):
                start = partial(
                    LLM,
                    model=str(folder),
                    dtype=dtype,
                    model_impl=code,
                    trust_remote_code=card.trusted,
                    enforce_eager=kind == "cpu",  # where compiling takes longer than it saves
                    generation_config="vllm",  # not the checkpoint's sampling
                    max_model_len=shape.context,
                    tensor_parallel_size=max(1, len(gpus)),
                    gpu_memory_utilization=SHARE[kind] * _free_part(gpus),  # of a CPU, too
                )
                llm = _awaited(start)
        except Exception as error:  # whatever stops it, the case fails and others go on
            other = " or with --backend vllm-transformers" if code == "vllm" else ""
            raise BrokenModel(
                f"{card.name}: vLLM does not start with it ({first_line(error)}); what it said stands above. "
                f"Run it without --backend{other}"
            ) from error
        except BaseException:  # the run is told to stop
            end(descendants(psutil.Process()) - others)
            raise
        processes = descendants(psutil.Process()) - others
        try:
            yield llm, _name(code, len(gpus))
        finally:
            llm.llm_engine.engine_core.shutdown()
            for child in multiprocessing.active_children():  # which nobody but multiprocessing may wait for
                if any(child.pid == one.pid for one in processes):
                    child.join(SECONDS_TO_END)
            _, alive = psutil.wait_procs(processes, SECONDS_TO_END)
            end(alive)


def _awaited(start: Callable[[], T]) -> T:
    """What `start` gives, in a thread that nobody waits for once the run is told to stop: vLLM keeps that to itself."""
    started: Future[T] = Future()

    def work() -> None:
        try:
            started.set_result(start())
        except BaseException as error:  # it is raised where it is waited for
            started.set_exception(error)

    Thread(target=work, daemon=True).start()
    return started.result()


def _gpus(card: ModelCard, folder: Path, device: str, dtype: str, heads: int) -> list[int]:
    """The GPUs that hold the weights: one, or of those that no other worker holds as many as its heads can be divided among."""
    room = placed(card, folder, device, dtype).get("max_memory", {})
    if not device.startswith("cuda"):
        return []
    gpus = [int(gpu) for gpu in room] or [int(device.partition(":")[2] or 0)]
    return gpus[: max(count for count in (1, 2, 4, 8, 16) if count <= len(gpus) and heads % count == 0)]


def _free_part(gpus: Sequence[int]) -> float:
    """The part of each GPU's memory that is free, or of the CPU's where there are none."""
    if gpus:
        return min(free_memory(gpu) / torch.cuda.mem_get_info(gpu)[1] for gpu in gpus)
    memory = psutil.virtual_memory()
    return float(memory.available / memory.total)


@contextmanager
def _environment(gpus: Sequence[int], dtype: str) -> Iterator[None]:
    """What the processes that are started meanwhile find: these GPUs alone, and float32 that is float32."""
    wanted = {"CUDA_VISIBLE_DEVICES": ",".join(map(visible_gpu, gpus))} if gpus else {}
    if dtype == "float32":
        wanted |= {"NVIDIA_TF32_OVERRIDE": "0", "TRITON_F32_DEFAULT": "ieee"}
    before = {name: os.environ.get(name) for name in wanted}
    os.environ.update(wanted)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _name(code: Code, gpus: int) -> str:
    """Which vLLM it is, and what of its ways of running a model could change the last digits."""
    import vllm

    of = ", transformers' code" if code == "transformers" else ""
    return f"vLLM {vllm.__version__}{of}" + (f", on {gpus} GPUs" if gpus > 1 else "")
