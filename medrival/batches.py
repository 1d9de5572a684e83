"""Samples through a model in batches: decoded and prepared ahead, unreadable images set apart, halved when memory runs out."""

from __future__ import annotations

import os
from collections import Counter, defaultdict
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from medrival.contracts import Failed, Image, Sample
from medrival.errors import OutOfMemory, UnreadableImage, first_line

if TYPE_CHECKING:
    from PIL import Image as PIL

T = TypeVar("T")
Pictures = tuple["PIL.Image", ...]
"""The decoded images of a sample: one, or several where its question is about several."""
Opened = Callable[[Image], "PIL.Image"]
MOST_READERS = 16
"""More threads wait for the disk and for one another."""
CPU_ROWS = 16
"""Of more rows than these, what a layer makes falls out of a CPU's caches and is in memory that the system hands out anew."""


def opened(image: Image) -> PIL.Image:
    """The decoded image."""
    return image.open()


class Progress(Protocol):
    """Hands items on and shows how far they are."""

    def __call__(self, items: Iterable[T], label: str) -> Iterable[T]: ...  # noqa: D102 - the class says it


class Rows(Protocol):
    """What a model is given, a row a sample; where memory runs out it is given a part of them at a time."""

    def __getitem__(self, part: slice, /) -> Any: ...


R = TypeVar("R", bound=Rows)


def in_batches(
    samples: Sequence[Sample],
    work: Callable[[list[Pictures], list[Sample]], Sequence[T]],
    batch_size: int,
    progress: Progress,
    label: str,
    get: Opened = opened,
) -> list[T | Failed]:
    """Apply `work` to decoded images and their samples; results come back in the samples' order.

    The next batch is decoded while the model works on this one. A sample with an image that cannot be read becomes `Failed`.
    Samples that share their image are worked on close to one another, so that it is decoded once (see `blocks`).

    Raises:
        OutOfMemory: not even one sample fits.
    """
    results: list[T | Failed] = [Failed("not reached")] * len(samples)
    with closing(streamed(samples, list, work, batch_size, progress, label, get)) as found:
        for i, result in found:
            results[i] = result
    return results


def streamed(
    samples: Sequence[Sample],
    prepare: Callable[[list[Pictures]], R],
    work: Callable[[R, list[Sample]], Sequence[T]],
    batch_size: int,
    progress: Progress,
    label: str,
    get: Opened = opened,
    *,
    ahead: bool = False,
    threads: int | None = None,
) -> Generator[tuple[int, T | Failed]]:
    """Each sample's index and what `work` makes of its row of what `prepare` makes of decoded images, batch by batch.

    A batch that does not fit into memory is halved until it does, and later ones begin at the size that did. Of decoded images
    no more than two batches' worth are in memory, and as much of prepared ones.

    Args:
        ahead: whether another thread prepares the next batch while this one is worked on.
        threads: how many decode; None for as many as there are CPUs.

    Raises:
        OutOfMemory: not even one sample fits.
    """
    order = [i for block in blocks(samples, batch_size) for i in block]
    chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    batches, most = _prepared(chunks, samples, prepare, get, threads), batch_size
    with closing(_one_ahead(batches) if ahead else batches) as coming:
        for _ in progress(range(len(chunks)), label):
            batch, start = next(coming), 0
            yield from batch.failed.items()
            while start < len(batch.indices):
                indices = batch.indices[start : start + most]
                done = _where_it_fits(work, batch.rows[start : start + most], [samples[i] for i in indices])
                if done is None:
                    _free()
                    most = len(indices) // 2
                    continue
                yield from zip(indices, done, strict=True)
                start += most
            del batch  # it would stay in memory while the batch after the next is decoded


def blocks(samples: Sequence[Sample], most: int) -> list[list[int]]:
    """Indices of samples, in blocks of at most `most` first images with all the samples of each.

    Within a block samples stand by the length of their prompts, so that a batch is padded little; so do the blocks, by the
    longest prompt of each image. Where no two samples share an image, this is the order by length.
    """
    of_image: dict[str, list[int]] = defaultdict(list)
    for i, sample in enumerate(samples):
        of_image[sample.image.digest].append(i)

    def length(i: int) -> tuple[int, int]:
        return len(samples[i].prompt), i

    groups = sorted(of_image.values(), key=lambda group: max(map(length, group)))
    starts = range(0, len(groups), most)
    return [sorted((i for group in groups[start : start + most] for i in group), key=length) for start in starts]


def at_once(rows: int, device: str, most: int | None = None) -> list[slice]:
    """The parts of so many rows that a device works on at once, each of `most` rows or fewer; a CPU is quick with few."""
    size = max(1, min(rows if most is None else most, CPU_ROWS if device == "cpu" else rows))
    return [slice(start, start + size) for start in range(0, rows, size)]


def read_ahead(
    batches: Sequence[Sequence[Sample]], get: Opened = opened, threads: int | None = None
) -> Generator[list[Pictures | Failed]]:
    """The images of each batch, decoded by several threads while the batch before is worked on.

    An image is decoded once for all the samples that show it beside the same first image, and dropped after the last of
    them. Of batches in the order of `blocks`, each sample with one image, no more than two batches' worth are in memory;
    where batches are smaller than the number of threads, these read further ahead.
    """
    threads = threads or readers()
    uses = Counter(key for batch in batches for sample in batch for key in _keys(sample))
    reading: dict[_Key, Future[PIL.Image]] = {}
    pool = ThreadPoolExecutor(threads, "decoding")
    try:
        for number, batch in enumerate(batches):
            soon = batches[number : number + 2 + threads // len(batch)]
            for sample in chain.from_iterable(soon):
                for key, image in zip(_keys(sample), sample.images, strict=True):
                    if key not in reading:
                        reading[key] = pool.submit(get, image)
            yield [_awaited(sample, reading, get) for sample in batch]
            for key in chain.from_iterable(map(_keys, batch)):
                uses[key] -= 1
                if not uses[key]:
                    del reading[key]
    finally:
        pool.shutdown(cancel_futures=True)


def readers() -> int:
    """How many threads decode: the CPUs that this process may use, shared with xdist's other workers."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cpus // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")), MOST_READERS))


def decode(sample: Sample, get: Opened = opened) -> Pictures | Failed:
    """The sample's images as 8-bit RGB, or why one of them cannot be read."""
    try:
        return tuple(get(image) for image in sample.images)
    except UnreadableImage as error:
        return Failed(str(error))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU or on a GPU."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
    )


_Key = tuple[str, str]


def _keys(sample: Sample) -> list[_Key]:
    """What each image of a sample is known by while it is in memory: its pixels, and those it is shown beside."""
    return [(sample.image.digest, image.digest) for image in sample.images]


def _awaited(sample: Sample, reading: Mapping[_Key, Future[PIL.Image]], get: Opened) -> Pictures | Failed:
    try:
        return tuple(reading[key].result() for key in _keys(sample))
    except UnreadableImage:
        return decode(sample, get)  # equal bytes may lie under another name: the error names this sample's image


@dataclass(frozen=True)
class _Batch:
    """Indices of the samples that can be read, their rows, and why the others cannot."""

    indices: list[int]
    rows: Rows
    failed: dict[int, Failed]


def _prepared(
    chunks: Sequence[Sequence[int]],
    samples: Sequence[Sample],
    prepare: Callable[[list[Pictures]], Rows],
    get: Opened,
    threads: int | None,
) -> Generator[_Batch]:
    with closing(read_ahead([[samples[i] for i in chunk] for chunk in chunks], get, threads)) as decoded:
        for chunk in chunks:
            yield _batch(chunk, next(decoded), prepare)


def _batch(chunk: Sequence[int], decoded: Sequence[Pictures | Failed], prepare: Callable[[list[Pictures]], Rows]) -> _Batch:
    readable: dict[int, Pictures] = {}
    failed: dict[int, Failed] = {}
    for i, pictures in zip(chunk, decoded, strict=True):
        if isinstance(pictures, Failed):
            failed[i] = pictures
        else:
            readable[i] = pictures
    return _Batch([*readable], prepare([*readable.values()]) if readable else [], failed)


def _one_ahead(batches: Generator[_Batch]) -> Generator[_Batch]:
    """The same, each made by another thread while the one before is worked on."""
    pool = ThreadPoolExecutor(1, "preparing")
    try:
        coming = pool.submit(next, batches, None)
        while (batch := coming.result()) is not None:
            coming = pool.submit(next, batches, None)
            yield batch
    finally:
        pool.shutdown(cancel_futures=True)
        batches.close()


def _where_it_fits(work: Callable[[Any, list[Sample]], Sequence[T]], rows: Any, samples: list[Sample]) -> Sequence[T] | None:
    """What `work` gives, or None where memory ran out and fewer samples may fit."""
    try:
        return work(rows, samples)
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        if len(samples) == 1:
            raise OutOfMemory(f"sample {samples[0].id!r} does not fit into memory by itself: {first_line(error)}") from error
        return None


def _free() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
