"""Fetching models into DIR/models/ORG/NAME and data sets into DIR/datasets/ORG/NAME, where --assets DIR finds them offline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from medrival.cards import Piece
from medrival.catalog import ModelCard, TaskCard
from medrival.downloads import take
from medrival.errors import MedrivalError, MissingAsset
from medrival.reads import files_read, kind_there, like, parts
from medrival.repositories import mirror
from medrival.tasks import places
from medrival.weights import by_hand, companion, local, mirrored, on_hub, packaged, place


def fetch(cards: Iterable[ModelCard | TaskCard], assets: Path, say: Callable[[str], object], *, dry_run: bool = False) -> bool:
    """Fetch the files that are read of each model and data set, with a line each; whether all of them are there now.

    A file that is there is not fetched again, a connection that breaks is taken up where it broke, and every file is held to
    the hash that the hub states: one that differs is deleted. Of what comes from elsewhere the sha256 is said. What cannot be
    had does not stop the others.
    """
    failures = 0
    for card in cards:
        try:
            told = _model(card, assets, dry_run) if isinstance(card, ModelCard) else _data(card, assets, dry_run)
            say(f"{card.name}: {told}")
        except MedrivalError as error:
            failures += 1
            say(f"{card.name}: FAILED: {error}")
    return not failures


def _model(model: ModelCard, assets: Path, dry_run: bool) -> str:
    """What was, or would be, fetched: the model, and what its adapter reads of others.

    Raises:
        MissingAsset: it is not to be had, or not what the hub says it is.
    """
    if model.type == "served":
        return "served by an endpoint; nothing to fetch"
    if packaged(model):
        return "came with its package; nothing to fetch"
    there = _there(model, assets)
    folder = there or mirrored(model, assets)
    told = [] if there else _own(model, folder, dry_run)
    for part in parts(model, folder):
        other = companion(model, part, folder.parent.parent)
        if not local(other) or (on_hub(other) and not there):  # what a fetch was killed at lies there, too
            told.append(_repository(other, mirrored(other, assets), part.files, dry_run))
    return "; ".join([f"in {there}", *(told or ["nothing to fetch"])] if there else told)


def _there(model: ModelCard, assets: Path) -> Path | None:
    """The directory that the model has without the hub: the user's, or one in --assets that was filled by hand."""
    if here := local(model):
        return here
    by_hand = mirrored(model, assets) if not (on_hub(model) or model.pieces) else None
    return by_hand if by_hand and by_hand.is_dir() else None


def _own(model: ModelCard, folder: Path, dry_run: bool) -> list[str]:
    """Fetch the model itself: from the places that its row names, or its repository.

    Raises:
        MissingAsset: as `_model`.
    """
    if not model.pieces:
        return [_repository(model, folder, (), dry_run)]
    return [_piece(piece, folder, dry_run) for piece in model.pieces]


def _piece(piece: Piece, folder: Path, dry_run: bool) -> str:
    if "://" in piece.place:
        return take(piece.place, piece.files, folder, dry_run=dry_run)
    name = piece.place.removeprefix("datasets/")
    kind: Literal["model", "dataset"] = "model" if name == piece.place else "dataset"
    return mirror(name, kind, folder, _like(name, piece.files), dry_run=dry_run)


def _repository(model: ModelCard, folder: Path, only: Sequence[str], dry_run: bool) -> str:
    """Fetch one repository's files that are read, or `only` some, and say so; in a dry run, say what would be fetched.

    Raises:
        MissingAsset: as `_model`.
    """
    name, kinds = place(model), model.reads.weights
    if not on_hub(model):
        raise MissingAsset(f"{model.weights} is no model of the hub; {by_hand(model, folder)}")

    def read(known: Iterable[str]) -> list[str]:
        wanted = files_read(model, known, only)
        if only or not kinds or kind_there(model, [path.rpartition("/")[2] for path in wanted]):
            return wanted
        raise MissingAsset(f"{name} has no weights that are read here: none is like {' or '.join(map(' and '.join, kinds))}")

    return mirror(name, "model", folder, read, revision=model.revision, gated=model.gated, dry_run=dry_run)


def _data(task: TaskCard, assets: Path, dry_run: bool) -> str:
    """What was, or would be, fetched from the hub of a data set.

    Raises:
        MissingAsset: it is not to be had, or is put there by hand; with how.
    """
    if not task.where:
        return "drawn when it is asked for; nothing to fetch"
    if not places.on_hub(task):
        if there := places.local(task, assets):
            return f"in {there}; nothing to fetch"
        raise MissingAsset(places.advice(task, assets))
    read, asked = _like(task.where, places.patterns(task)), str(task.options.get("revision", ""))
    return mirror(task.where, "dataset", places.mirrored(task, assets), read, revision=asked, dry_run=dry_run)


def _like(name: str, patterns: Sequence[str] | None) -> Callable[[Iterable[str]], list[str]]:
    """Chooses of a repository's files those that are like some globs, or all of them; each glob must find one."""

    def read(known: Iterable[str]) -> list[str]:
        names = list(known)
        if lacking := [pattern for pattern in patterns or () if not like(names, pattern)]:
            raise MissingAsset(f"{name} has no {', '.join(lacking)}")
        return names if patterns is None else like(names, *patterns)

    return read
