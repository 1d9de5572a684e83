"""Fetching what models need into DIR/models/ORG/NAME, where --assets DIR finds it on a machine without network."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import TYPE_CHECKING

from medrival.catalog import ModelCard
from medrival.errors import MedrivalError, MissingAsset, first_line
from medrival.weights import WEIGHTS, access, files_read, local, mirrored, on_hub, packaged, place

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

    Files = Mapping[str, RepoSibling]

COMPANIONS: Sequence[tuple[str, Sequence[str], Sequence[str]]] = (
    ("open_clip_config.json", ("model_cfg", "text_cfg", "hf_model_name"), ("config.json",)),
    ("config.json", ("mm_vision_tower",), ()),
)
"""Where a model's configuration names another repository that its adapter reads: file, keys, files of it (none: all that are
read). Open_clip's Hugging Face text towers need a configuration, models in LLaVA's own layout an image tower."""


def fetch(models: Iterable[ModelCard], assets: Path, say: Callable[[str], object], *, dry_run: bool = False) -> bool:
    """Fetch the files that are read of each model, with one line a model; whether all of them are there now.

    A file that is there is not fetched again, a connection that breaks is taken up where it broke, and every file is held to
    the hash that the hub states: one that differs is deleted. A model that cannot be had does not stop the others.
    """
    failures = 0
    for model in models:
        try:
            say(f"{model.name}: {_needs_nothing(model, assets) or _fetched(model, assets, dry_run)}")
        except MedrivalError as error:
            failures += 1
            say(f"{model.name}: FAILED: {error}")
    return not failures


def _needs_nothing(model: ModelCard, assets: Path) -> str:
    if model.type == "served":
        return "served by an endpoint; nothing to fetch"
    if packaged(model):
        return "came with its package; nothing to fetch"
    by_hand = mirrored(model, assets) if not on_hub(model) else None
    folder = local(model) or (by_hand if by_hand and by_hand.is_dir() else None)
    return f"in {folder}; nothing to fetch" if folder else ""


def _fetched(model: ModelCard, assets: Path, dry_run: bool) -> str:
    """What was, or would be, fetched from the hub.

    Raises:
        MissingAsset: it is not to be had, or not what the hub says it is.
    """
    folder = mirrored(model, assets)
    if not on_hub(model):
        notes = f" ({' '.join(model.notes.split())})" if model.notes else ""
        raise MissingAsset(f"{model.weights} is no model of the hub; its files go into {folder} by hand{notes}")
    told = [_repository(model, folder, (), dry_run)]
    for name, only in () if dry_run else _companions(folder):
        beside = replace(model, weights=name, revision="", gated=False)
        told.append(_repository(beside, mirrored(beside, assets), only, dry_run))
    return "; ".join(told)


def _repository(model: ModelCard, folder: Path, only: Sequence[str], dry_run: bool) -> str:
    """Fetch one repository's files that are read, or `only` some, and say so.

    Raises:
        MissingAsset: as `_fetched`.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError

    name = place(model.weights)
    try:
        about = HfApi().model_info(name, revision=model.revision or None, files_metadata=True)
        known = {file.rfilename: file for file in about.siblings or ()}
        wanted = {path: known[path] for path in only or files_read(known, code=model.trusted)}
        if not dry_run:
            snapshot_download(name, revision=about.sha, local_dir=folder, allow_patterns=list(wanted))
    except GatedRepoError as error:
        raise MissingAsset(f"{name} was refused{access(replace(model, gated=True))}") from error
    except Exception as error:  # the hub client raises errors of several libraries; each means "not to be had"
        raise MissingAsset(f"{name} cannot be fetched: {first_line(error)}{access(model)}") from error
    if not (only or any(Path(path).match(pattern) for path in wanted for pattern in WEIGHTS)):
        raise MissingAsset(f"{name} has no weights in safetensors or pytorch_model.bin")
    if not dry_run:
        _verify(name, folder, wanted)
    return f"{name} -> {folder}: {_told(wanted)}, revision {str(about.sha)[:12]}{access(model) if dry_run else ''}"


def _companions(folder: Path) -> Iterator[tuple[str, Sequence[str]]]:
    """Other repositories that the model's adapter reads, and which files of them; its own configuration names them."""
    for file, keys, only in COMPANIONS:
        try:
            named = reduce(getitem, keys, json.loads((folder / file).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # it names none
        if isinstance(named, str) and named.count("/") == 1:
            yield named, only


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
