"""Samples through a model in batches: decoded ahead, unreadable images set apart, halved when memory runs out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol, TypeVar

from medrival.contracts import Failed, Image, Sample
from medrival.errors import OutOfMemory, UnreadableImage, first_line

if TYPE_CHECKING:
    from PIL import Image as PIL

T = TypeVar("T")
Pictures = tuple["PIL.Image", ...]
"""The decoded images of a sample: one, or several where its question is about several."""


class Progress(Protocol):
    """Hands items on and shows how far they are."""

    def __call__(self, items: Iterable[T], label: str) -> Iterable[T]: ...  # noqa: D102


def in_batches(
    samples: Sequence[Sample],
    work: Callable[[list[Pictures], list[Sample]], Sequence[T]],
    batch_size: int,
    progress: Progress,
    label: str,
) -> list[T | Failed]:
    """Apply `work` to decoded images and their samples; results come back in the samples' order.

    The next batch is decoded while the model works on this one. A sample with an image that cannot be read becomes `Failed`.
    Samples with prompts are worked on by length, so that a batch is padded little.

    Raises:
        OutOfMemory: not even one sample fits.
    """
    order = sorted(range(len(samples)), key=lambda i: (len(samples[i].prompt), i))
    chunks = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    results: list[T | Failed] = [Failed("not reached")] * len(samples)
    with ThreadPoolExecutor(max_workers=1) as reader:
        decoded = _ahead(reader, [[samples[i] for i in chunk] for chunk in chunks])
        for number, images in zip(progress(range(len(chunks)), label), decoded, strict=True):
            readable = [(i, image) for i, image in zip(chunks[number], images, strict=True) if not isinstance(image, Failed)]
            for i, image in zip(chunks[number], images, strict=True):
                if isinstance(image, Failed):
                    results[i] = image
            done = _halving(work, [image for _, image in readable], [samples[i] for i, _ in readable])
            for (i, _), result in zip(readable, done, strict=True):
                results[i] = result
    return results


class Decoded:
    """Decoded images of a training set, kept as far as a bound on memory allows and decoded again beyond it."""

    def __init__(self, most_bytes: int = 2**30) -> None:
        self._room = most_bytes
        self._kept: dict[Image, PIL.Image] = {}

    def readable(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples whose images can be decoded."""
        return [sample for sample in samples if not isinstance(self._get(sample), Failed)]

    def of(self, samples: Sequence[Sample]) -> list[Pictures]:
        """The images of readable samples."""
        return [pictures for pictures in map(self._get, samples) if not isinstance(pictures, Failed)]

    def _get(self, sample: Sample) -> Pictures | Failed:
        return decode(sample, self._open)

    def _open(self, image: Image) -> PIL.Image:
        if image in self._kept:
            return self._kept[image]
        decoded = image.open()
        size = 3 * decoded.width * decoded.height
        if size <= self._room:
            self._room -= size
            self._kept[image] = decoded
        return decoded


def decode(sample: Sample, opened: Callable[[Image], PIL.Image] = lambda image: image.open()) -> Pictures | Failed:
    """The sample's images as 8-bit RGB, or why one of them cannot be read."""
    try:
        return tuple(opened(image) for image in sample.images)
    except UnreadableImage as error:
        return Failed(str(error))


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on the CPU or on a GPU."""
    words = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError) and ("out of memory" in words or "can't allocate memory" in words)
    )


def _ahead(reader: ThreadPoolExecutor, chunks: Sequence[Sequence[Sample]]) -> Iterator[list[Pictures | Failed]]:
    waiting = reader.submit(_decode_all, chunks[0]) if chunks else None
    for following in [*chunks[1:], None]:
        if waiting is None:
            return
        images = waiting.result()
        waiting = reader.submit(_decode_all, following) if following is not None else None
        yield images


def _decode_all(samples: Sequence[Sample]) -> list[Pictures | Failed]:
    return [decode(sample) for sample in samples]


def _halving(
    work: Callable[[list[Pictures], list[Sample]], Sequence[T]], images: list[Pictures], samples: list[Sample]
) -> list[T]:
    if not images:
        return []
    try:
        return list(work(images, samples))
    except (RuntimeError, MemoryError) as error:
        if not out_of_memory(error):
            raise
        if len(images) == 1:
            raise OutOfMemory(f"sample {samples[0].id!r} does not fit into memory by itself: {first_line(error)}") from error
    _free()
    middle = len(images) // 2
    return _halving(work, images[:middle], samples[:middle]) + _halving(work, images[middle:], samples[middle:])


def _free() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
