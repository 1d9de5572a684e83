"""Images that are asked for again and again, decoded once as far as memory allows."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from threading import Lock
from typing import TYPE_CHECKING

from medrival.batches import Pictures, in_batches, read_ahead, readers
from medrival.contracts import Failed, Image, Sample

if TYPE_CHECKING:
    from PIL import Image as PIL


class Decoded:
    """Decoded images of a training set, kept as far as a bound on memory allows and decoded again beyond it."""

    def __init__(self, most_bytes: int = 2**30) -> None:
        self._room = most_bytes
        self._kept: dict[str, PIL.Image] = {}
        self._lock = Lock()

    def readable(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples whose images can be decoded."""
        found = in_batches(samples, lambda _, some: [True] * len(some), readers(), lambda items, _: items, "", self._get)
        return [sample for sample, decoded in zip(samples, found, strict=True) if not isinstance(decoded, Failed)]

    def of(self, samples: Sequence[Sample]) -> list[Pictures]:
        """The images of readable samples."""
        if all(image.digest in self._kept for sample in samples for image in sample.images):
            return [tuple(map(self._get, sample.images)) for sample in samples]
        with closing(read_ahead([samples], self._get)) as decoded:
            return [pictures for pictures in next(decoded) if not isinstance(pictures, Failed)]

    def _get(self, image: Image) -> PIL.Image:
        kept = self._kept.get(image.digest)
        if kept is not None:
            return kept
        decoded = image.open()
        size = 3 * decoded.width * decoded.height
        with self._lock:
            if image.digest not in self._kept and size <= self._room:
                self._room -= size
                self._kept[image.digest] = decoded
        return self._kept.get(image.digest, decoded)
