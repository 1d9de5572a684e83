"""The splits of a task as an audit looks at them: what each shows and says."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from medrival.contracts import Image, Sample, Task
from medrival.tasks.answers import normalise

Words = tuple[str, str]
"""A question and its answer, normalised."""


@dataclass(frozen=True)
class Split:
    """Samples of one split.

    Attributes:
        name: train, validation or test.
        shown: the digests of each sample's images, as far as they can be read.
    """

    name: str
    samples: tuple[Sample, ...]
    shown: tuple[frozenset[str], ...]

    def __iter__(self) -> Iterator[tuple[Sample, frozenset[str]]]:
        return zip(self.samples, self.shown, strict=True)

    def without(self, unreadable: Collection[str]) -> Split:
        """The same samples without images that cannot be read: two empty files are no duplicates."""
        return Split(self.name, self.samples, tuple(digests.difference(unreadable) for digests in self.shown))

    @cached_property
    def images(self) -> Mapping[str, Image]:
        """The distinct images, by digest."""
        known = frozenset().union(*self.shown)
        images = {image.digest: image for sample in self.samples for image in sample.images}
        return {digest: image for digest, image in images.items() if digest in known}

    @cached_property
    def groups(self) -> frozenset[str]:
        """The patients, where they are known, of whom there is an image that can be read."""
        return frozenset(sample.group for sample, digests in self if sample.group and digests)

    @cached_property
    def first(self) -> Mapping[str, str]:
        """By digest, the id of the first sample that shows the image."""
        found: dict[str, str] = {}
        for sample, digests in self:
            for digest in digests:
                found.setdefault(digest, sample.id)
        return found

    @cached_property
    def words(self) -> tuple[Words, ...]:
        """What each sample asks, and the answer."""
        return tuple((normalise(sample.question), normalise(str(sample.truth))) for sample in self.samples)

    @cached_property
    def said(self) -> Mapping[Words, frozenset[frozenset[str]]]:
        """By question and answer, the images they are said of."""
        found: dict[Words, set[frozenset[str]]] = defaultdict(set)
        for sample, words, digests in zip(self.samples, self.words, self.shown, strict=True):
            found[words].add(digests or frozenset([sample.id]))  # what cannot be read is like nothing else
        return {words: frozenset(images) for words, images in found.items()}


def splits(task: Task) -> dict[str, Split]:
    """Train, validation and test, by name."""
    return {
        name: Split(name, samples, tuple(frozenset(image.digest for image in sample.images) for sample in samples))
        for name, samples in (("train", task.train), ("validation", task.validation), ("test", task.test))
    }
