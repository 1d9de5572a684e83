"""Fetching what models need into DIR/models/ORG/NAME, where --assets DIR finds it on a machine without network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from medrival.catalog import ModelCard
from medrival.errors import MedrivalError, MissingAsset, first_line
from medrival.models.files import kinds, parts
from medrival.weights import access, companion, files_read, local, mirrored, on_hub, packaged, place

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

    Files = Mapping[str, RepoSibling]


def fetch(models: Iterable[ModelCard], assets: Path, say: Callable[[str], object], *, dry_run: bool = False) -> bool:
    """Fetch the files that are read of each model, with one line a model; whether all of them are there now.

    A file that is there is not fetched again, a connection that breaks is taken up where it broke, and every file is held to
    the hash that the hub states: one that differs is deleted. A model that cannot be had does not stop the others.
    """
    failures = 0
    for model in models:
        try:
            say(f"{model.name}: {_fetched(model, assets, dry_run)}")
        except MedrivalError as error:
            failures += 1
            say(f"{model.name}: FAILED: {error}")
    return not failures


def _fetched(model: ModelCard, assets: Path, dry_run: bool) -> str:
    """What was, or would be, fetched from the hub: the model, and what its adapter reads of others.

    Raises:
        MissingAsset: it is not to be had, or not what the hub says it is.
    """
    if model.type == "served":
        return "served by an endpoint; nothing to fetch"
    if packaged(model):
        return "came with its package; nothing to fetch"
    there = _there(model, assets)
    folder = there or mirrored(model, assets)
    told = [] if there else [_repository(model, folder, (), dry_run)]
    for part in parts(model.adapter, folder):
        other = companion(model, part, folder.parent.parent)
        if not local(other) or (on_hub(other) and not there):  # what a fetch was killed at lies there, too
            told.append(_repository(other, mirrored(other, assets), part.files, dry_run))
    return "; ".join([f"in {there}", *(told or ["nothing to fetch"])] if there else told)


def _there(model: ModelCard, assets: Path) -> Path | None:
    """The directory that the model has without the hub: the user's, or one in --assets that was filled by hand."""
    by_hand = mirrored(model, assets) if not on_hub(model) else None
    return local(model) or (by_hand if by_hand and by_hand.is_dir() else None)


def _repository(model: ModelCard, folder: Path, only: Sequence[str], dry_run: bool) -> str:
    """Fetch one repository's files that are read, or `only` some, and say so; in a dry run, say what would be fetched.

    Raises:
        MissingAsset: as `_fetched`.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError

    name = place(model.weights)
    if not on_hub(model):
        notes = f" ({' '.join(model.notes.split())})" if model.notes else ""
        raise MissingAsset(f"{model.weights} is no model of the hub; its files go into {folder} by hand{notes}")
    try:
        about = HfApi().model_info(name, revision=model.revision or None, files_metadata=True)
        known = {file.rfilename: file for file in about.siblings or ()}
        wanted = {path: known[path] for path in files_read(model, known, only)}
        if not dry_run:
            snapshot_download(name, revision=about.sha, local_dir=folder, allow_patterns=list(wanted))
    except GatedRepoError as error:
        raise MissingAsset(f"{name} was refused{access(replace(model, gated=True))}") from error
    except Exception as error:  # the hub client raises errors of several libraries; each means "not to be had"
        raise MissingAsset(f"{name} cannot be fetched: {first_line(error)}{access(model)}") from error
    if not (only or any(Path(path).match(pattern) for path in wanted for pattern in kinds(model.adapter))):
        raise MissingAsset(f"{name} has no weights that are read here: none is like {' or '.join(kinds(model.adapter))}")
    if not dry_run:
        _verify(name, folder, wanted)
    return f"{name} -> {folder}: {_told(wanted)}, revision {str(about.sha)[:12]}{access(model) if dry_run else ''}"


def _told(files: Files) -> str:
    """Such as "6 files, 813.2 MB"."""
    sizes = [file.size for file in files.values()]
    known = [size for size in sizes if size is not None]
    return f"{len(sizes)} files" + (f", {sum(known) / 1e6:,.1f} MB" if len(known) == len(sizes) else ", of unknown size")


def _verify(name: str, folder: Path, files: Files) -> None:
    """Hold every file to the hub's hash; the client itself looks at sizes alone.

    Raises:
        MissingAsset: naming the files that differ, which are deleted.
    """
    wrong = [path for path, file in files.items() if not _as_stated(folder / path, file)]
    for path in wrong:
        (folder / path).unlink()
        (folder / ".cache" / "huggingface" / "download" / f"{path}.metadata").unlink(missing_ok=True)
    if wrong:
        raise MissingAsset(f"{name}: {', '.join(wrong)}: not what the hub's hash says, and deleted; fetch once more")


def _as_stated(path: Path, file: RepoSibling) -> bool:
    """Large files are known by their sha256, others by git's hash of a blob; where the hub states none, a file is as it is."""
    if file.lfs is not None:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest() == file.lfs.sha256
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return file.blob_id in (None, blob.hexdigest())
