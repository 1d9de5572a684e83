"""The split that a row asks for: pinned by a manifest, one of several folds, made anew, or as the data set has it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from medrival.catalog import TaskCard
from medrival.contracts import Sample
from medrival.errors import BrokenCatalog, BrokenData
from medrival.tasks import splits
from medrival.tasks.splits import Assigned, Manifest

NAMES = {"training": "train", "val": "validation", "valid": "validation", "dev": "validation", "testing": "test"}
"""Other names of the splits, which count whatever their case."""
OFFICIAL = "official"
SHARES = {"test": 0.2, "validation": 0.1}


def used_as(card: TaskCard, theirs: str) -> str | None:
    """What a split of the data set is used as, "" for not at all; None where neither the row nor its name says it."""
    said = {name.casefold(): use for name, use in card.options.get("splits", {}).items()}
    name = theirs.casefold()
    use: str = said.get(name, NAMES.get(name, name))
    return use if name in said or use in splits.SPLITS else None


def check_uses(card: TaskCard, theirs: Collection[str]) -> None:
    """Whether the row's `splits` are splits that the data set has, and are used as what there is.

    Raises:
        BrokenCatalog: naming the one that is not.
    """
    for name, use in card.options.get("splits", {}).items():
        if use not in (*splits.SPLITS, ""):
            raise BrokenCatalog(
                f"task {card.name!r}: splits has {name!r} used as {use!r}; it must be one of {', '.join(splits.SPLITS)}, "
                'or "" for not at all'
            )
        if name.casefold() not in {one.casefold() for one in theirs}:
            there = ", ".join(map(repr, sorted(theirs)))
            raise BrokenCatalog(f"task {card.name!r}: splits names {name!r}, of which there is no sample; there are {there}")


def cut(card: TaskCard, samples: Sequence[Sample], said: Assigned, shown: Mapping[str, str]) -> tuple[Assigned, str]:
    """The split of each sample that is used, by id, and how it came about in words.

    Args:
        said: the split that the data set names, by id; of no sample where it has none.
        shown: what messages call each sample.

    Raises:
        BrokenCatalog: the row asks for what cannot be.
        BrokenData: an unknown split, or a manifest that is of other data.
    """
    options = card.options
    if "manifest" in options:
        path = Path(card.folder) / options["manifest"]
        manifest = Manifest.read(path)
        manifest.check(samples, path)
        return manifest.split_of, manifest.rule
    if "folds" in options:
        split_of, rule = _fold(card, samples)
    elif options.get("split") == "made" or "shares" in options or not said:
        shares = _shares(card)
        told = ", ".join(f"{share:.0%} {name}" for name, share in shares.items())
        split_of, rule = splits.made(samples, shares), f"made by group, of each class {told}"
    else:
        split_of, rule = _official(card, samples, said, shown), OFFICIAL
    whole = splits.with_validation([sample for sample in samples if sample.id in split_of], split_of)
    if whole != split_of:
        rule = f"{rule}; validation cut from train by group"
    elif "train" in whole.values() and "validation" not in whole.values():
        rule = f"{rule}; no validation, for training has too few groups to cut it from"
    return whole, rule


def _official(card: TaskCard, samples: Sequence[Sample], said: Assigned, shown: Mapping[str, str]) -> Assigned:
    uses = {theirs: used_as(card, theirs) for theirs in {*said.values(), ""}}
    split_of = {}
    for sample in samples:
        theirs = said.get(sample.id, "")
        name = uses[theirs]
        if name is None:
            raise BrokenData(
                f"{card.name}: {shown[sample.id]} is of an unknown split {theirs!r}; known are "
                f"{', '.join(splits.SPLITS)}, and the row's `splits` can say what others are"
            )
        if name:
            split_of[sample.id] = name
    return split_of


def _fold(card: TaskCard, samples: Sequence[Sample]) -> tuple[Assigned, str]:
    try:
        count, fold, seed = (card.options["folds"][key] for key in ("of", "fold", "seed"))
        if not all(type(number) is int for number in (count, fold, seed)):
            raise ValueError("they must be whole numbers")
        return splits.folds(samples, count, fold, seed), f"fold {fold} of {count}, seed {seed}"
    except (KeyError, TypeError, ValueError) as error:
        raise BrokenCatalog(
            f"task {card.name!r}: folds is {card.options['folds']!r} ({error}); "
            "it must be like { of = 5, fold = 0, seed = 42 }"
        ) from None


def _shares(card: TaskCard) -> Mapping[str, float]:
    shares: Mapping[str, Any] = card.options.get("shares", SHARES)
    parts = list(shares.values())
    if not (
        "test" in shares
        and set(shares) <= set(SHARES)
        and all(type(part) is float and part > 0 for part in parts)
        and sum(parts) < 1
    ):
        raise BrokenCatalog(
            f"task {card.name!r}: shares is {dict(shares)!r}; it must be like {{ test = 0.2, validation = 0.1 }}: "
            "parts of one, which leave some for training"
        )
    return shares
