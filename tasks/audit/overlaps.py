"""What stands in a data set more than once: images, patients, questions with their answers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping

import numpy as np

from medrival.contracts import TaskKind
from medrival.integrity import Duplicates, Leakage, Lookalikes
from medrival.tasks.audit.looks import BITS, CROPS, Hashes
from medrival.tasks.audit.neighbours import WITHIN, WITHIN_TURNED, Numbers, nearest, nearest_turned
from medrival.tasks.audit.splits import Split

Splits = Mapping[str, Split]

ACROSS = (("test", "train"), ("test", "validation"), ("validation", "train"))
EXAMPLES = 10

Alike = Mapping[str, tuple[str, int]]
"""By an image's digest, that of the image which looks most like it, and the distance of the two."""


Search = Callable[[Hashes, Hashes | None], tuple[Numbers, Numbers]]
"""`nearest` or `nearest_turned`."""


def lookalikes(splits: Splits, hashes: Mapping[str, Hashes]) -> dict[str, Alike]:
    """By split, or by two of them such as "test-train": the images that look like another one and are no exact copy of it."""
    return _everywhere(splits, hashes, nearest)


def turned(splits: Splits, hashes: Mapping[str, Hashes]) -> dict[str, Alike]:
    """Likewise the images that look like another one after a mirror or a turn, and not as they are."""
    return _everywhere(splits, hashes, nearest_turned)


def duplicates(kind: TaskKind, splits: Splits, alike: Mapping[str, Alike], after_turn: Mapping[str, Alike]) -> Duplicates:
    """How many images there are more than once: exactly, nearly, and mirrored or turned."""
    exact = {name: _of_several(kind, split) for name, split in splits.items()}
    exact |= {f"{one}-{other}": len(splits[one].images.keys() & splits[other].images.keys()) for one, other in ACROSS}
    return Duplicates(
        exact=exact,
        near={name: len(images) for name, images in alike.items()},
        turned={name: len(images) for name, images in after_turn.items()},
        within=WITHIN,
        turned_within=WITHIN_TURNED,
        bits=BITS,
        examples=_most_alike(splits, alike),
        turned_examples=_most_alike(splits, after_turn),
    )


def leakage(splits: Splits, alike: Alike, after_turn: Alike) -> Leakage:
    """What of the test split the training split gives away; an image that cannot be read gives and takes nothing.

    Args:
        alike: the test images that look like a training image; `after_turn` those that do once mirrored or turned.
    """
    train, test = splits["train"], splits["test"]
    on_images = {sample.id for sample, digests in test if not digests.isdisjoint(train.images)}
    on_turned = {sample.id for sample, digests in test if not digests.isdisjoint(after_turn)} - on_images
    of_groups = {sample.id for sample, digests in test if digests and sample.group in train.groups}
    given_away = on_images | on_turned | of_groups
    suspected = {sample.id for sample, digests in test if not digests.isdisjoint(alike)} - on_images - on_turned
    return Leakage(
        test_samples=len(test.samples),
        on_training_images=len(on_images),
        on_turned_images=len(on_turned),
        of_training_groups=len(of_groups),
        like_training_images=len(suspected),
        leaked=tuple(sample.id for sample in test.samples if sample.id in given_away),
    )


def repeats(splits: Splits) -> dict[str, dict[str, int]]:
    """Samples whose question and answer stand elsewhere, too, about the same image and about others alone."""
    found = {name: _repeated_within(split) for name, split in splits.items()}
    train, test = splits["train"].said, splits["test"]
    same = sum(digests in train.get(words, ()) for words, digests in zip(test.words, test.shown, strict=True))
    known = sum(words in train for words in test.words)
    return found | {"test-train": {"same image": same, "other image": known - same}}


def _repeated_within(split: Split) -> dict[str, int]:
    distinct = sum(len(images) for images in split.said.values())
    return {"same image": len(split.samples) - distinct, "other image": distinct - len(split.said)}


def _everywhere(splits: Splits, hashes: Mapping[str, Hashes], search: Search) -> dict[str, Alike]:
    found: dict[str, Alike] = {}
    for name, split in splits.items():
        found[name] = _alike([one for one in split.images if one in hashes], None, hashes, search)
    for one, other in ACROSS:
        copies = splits[other].images
        own = [digest for digest in splits[one].images if digest in hashes and digest not in copies]
        found[f"{one}-{other}"] = _alike(own, [digest for digest in copies if digest in hashes], hashes, search)
    return found


def _most_alike(splits: Splits, alike: Mapping[str, Alike]) -> tuple[Lookalikes, ...]:
    pairs: dict[frozenset[str], Lookalikes] = {}
    for name, images in alike.items():
        one, _, other = name.partition("-")
        for digest, (nearest_one, distance) in images.items():
            samples = splits[one].first[digest], splits[other or one].first[nearest_one]
            pairs.setdefault(frozenset((digest, nearest_one)), Lookalikes(samples, distance))
    return tuple(sorted(pairs.values(), key=lambda pair: (pair.distance, pair.samples))[:EXAMPLES])


def _alike(own: list[str], others: list[str] | None, hashes: Mapping[str, Hashes], search: Search) -> Alike:
    known = own if others is None else others
    places, distances = search(_stacked(own, hashes), None if others is None else _stacked(others, hashes))
    return {
        digest: (known[place], distance)
        for digest, place, distance in zip(own, places.tolist(), distances.tolist(), strict=True)
        if place >= 0
    }


def _stacked(digests: list[str], hashes: Mapping[str, Hashes]) -> Hashes:
    return np.stack([hashes[digest] for digest in digests]) if digests else np.empty((0, len(CROPS), 4), np.uint64)


def _of_several(kind: TaskKind, split: Split) -> int:
    """Images that several patients have, or of a diagnosis several samples: of an image there may be many questions."""
    owners: dict[str, set[str]] = defaultdict(set)
    for sample, digests in split:
        for digest in digests:
            owners[digest].add(sample.id if kind == "diagnosis" else sample.group)
    return sum(len(samples) > 1 for samples in owners.values())
