"""Which sample is for training, choosing or testing: as published, else made, and written down with a hash."""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

from medrival.contracts import Sample
from medrival.errors import BrokenData
from medrival.files import write_atomically
from medrival.limit import rarest

SPLITS = ("train", "validation", "test")
VALIDATION_SHARE = 0.12
"""Of the groups of a published training set, where it comes without validation samples."""

Assigned = Mapping[str, str]
"""The split of each sample, by its id."""


@dataclass(frozen=True)
class Manifest:
    """A split, written down.

    Attributes:
        rule: how it was made, in words.
        split_of: of each sample, by id.
    """

    task: str
    rule: str
    split_of: Assigned

    @property
    def sha256(self) -> str:
        """Over the ids of each split, in sorted order."""
        return hashlib.sha256(json.dumps(self._members, sort_keys=True).encode()).hexdigest()

    @property
    def _members(self) -> dict[str, list[str]]:
        return {split: sorted(one for one, there in self.split_of.items() if there == split) for split in SPLITS}

    def write(self, path: Path) -> None:
        """Write it for people and for `read`."""
        told = {"task": self.task, "rule": self.rule, "sha256": self.sha256, "splits": self._members}
        write_atomically(path, lambda stream: stream.write((json.dumps(told) + "\n").encode()))

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """Read a file that `write` wrote.

        Raises:
            BrokenData: it is missing or damaged, or its samples are not those that its hash is of.
        """
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            found = cls(told["task"], told["rule"], {one: split for split in SPLITS for one in told["splits"][split]})
            if found.sha256 != told["sha256"]:
                raise ValueError("its samples are not those that its hash is of")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise BrokenData(f"{path}: not a readable split: {error}") from error
        return found

    def check(self, samples: Iterable[Sample], path: Path) -> None:
        """Whether it is about these samples and no others.

        Raises:
            BrokenData: naming a sample that only one of the two has.
        """
        if strange := sorted(self.split_of.keys() ^ {sample.id for sample in samples}):
            where = "is not in the data" if strange[0] in self.split_of else "is not in the file"
            raise BrokenData(f"{self.task}: the split in {path} is of other data: sample {strange[0]!r} {where}")


def made(samples: Sequence[Sample], shares: Mapping[str, float], seed: int = 0) -> Assigned:
    """Cut by group, so that no patient is in two splits; by a group's rarest class, so that each split has its share of it.

    Of several findings each counts. It depends on ids, groups and truths alone, not on their order. Without classes there is
    one stratum.

    Args:
        shares: of the groups of each stratum, by split, and at least one where there are two; the rest is for training.
    """
    groups: dict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        groups[sample.group].append(sample)
    class_of = rarest(samples)
    frequent = Counter(class_of.values())
    strata: dict[str, list[str]] = defaultdict(list)
    for group, members in groups.items():
        classes = [class_of[member.id] for member in members if class_of[member.id]]
        strata[min(classes, key=lambda name: (frequent[name], name), default="")].append(group)
    split_of: dict[str, str] = {}
    for names in strata.values():
        left = shuffled(names, seed)
        for split, share in shares.items():
            count = max(round(share * len(names)), 1 if share and len(left) > 1 else 0)
            split_of |= dict.fromkeys(left[:count], split)
            left = left[count:]
        split_of |= dict.fromkeys(left, "train")
    return {sample.id: split_of[sample.group] for sample in samples}


def with_validation(samples: Sequence[Sample], split_of: Assigned, share: float = VALIDATION_SHARE) -> Assigned:
    """The same split with a validation part, cut from the training samples where the data set has none.

    It is cut by group, of groups that are not in the test where there are such, so that nothing is chosen on what is tested.
    """
    present = set(split_of.values())
    if "validation" in present or "train" not in present:
        return split_of
    tested = {sample.group for sample in samples if split_of[sample.id] == "test"}
    train = [sample for sample in samples if split_of[sample.id] == "train"]
    apart = [sample for sample in train if sample.group not in tested] or train
    # A share of all training groups, however many of them can be taken.
    wanted = share * len({sample.group for sample in train}) / len({sample.group for sample in apart})
    return {**split_of, **made(apart, {"validation": min(wanted, 0.5)})}


def folds(samples: Sequence[Sample], count: int, tested: int, seed: int) -> Assigned:
    """One of several folds as the test, the others for training: the samples shuffled by Python's `random`, cut in order.

    Raises:
        ValueError: there is no such fold.
    """
    if not 0 <= tested < count:
        raise ValueError(f"there is no fold {tested} of {count}; they count from 0")
    order = [sample.id for sample in samples]
    Random(seed).shuffle(order)  # noqa: S311 - not for secrets; paper A's cut
    start, end = tested * len(order) // count, (tested + 1) * len(order) // count
    return {one: "test" if start <= place < end else "train" for place, one in enumerate(order)}


def shuffled(names: Collection[str], seed: int = 0) -> list[str]:
    """In an order that depends on nothing but the names and the seed."""
    salt = str(seed) if seed else ""
    return sorted(names, key=lambda name: hashlib.sha256((salt + name).encode()).digest())
