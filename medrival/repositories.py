"""Repositories of the hub mirrored into folders: what is there stays, a broken connection is taken up, hashes are held to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from medrival.errors import MedrivalError, MissingAsset, first_line

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

    Files = Mapping[str, RepoSibling]


def mirror(
    name: str,
    kind: Literal["model", "dataset"],
    folder: Path,
    choose: Callable[[Iterable[str]], Iterable[str]],
    *,
    revision: str = "",
    gated: bool = False,
    dry_run: bool = False,
) -> str:
    """Fetch the files that are chosen of a repository's, and say so; in a dry run, say what would be fetched.

    Raises:
        MissingAsset: it is not to be had, or not what the hub says it is; files that differ from their hash are deleted.
    """
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import GatedRepoError

    url = quote(name if kind == "model" else f"datasets/{name}")
    ask = f"; it is gated: ask for access at https://huggingface.co/{url}, then set HF_TOKEN"
    try:
        info = HfApi().model_info if kind == "model" else HfApi().dataset_info
        about = info(name, revision=revision or None, files_metadata=True)
        known = {file.rfilename: file for file in about.siblings or ()}
        wanted = {path: known[path] for path in choose(known)}
        if not dry_run:
            snapshot_download(name, repo_type=kind, revision=about.sha, local_dir=folder, allow_patterns=list(wanted))
    except MedrivalError:
        raise
    except GatedRepoError as error:
        raise MissingAsset(f"{name} was refused{ask}") from error
    except Exception as error:  # the hub client raises errors of several libraries; each means "not to be had"
        raise MissingAsset(f"{name} cannot be fetched: {first_line(error)}{ask if gated else ''}") from error
    if not dry_run:
        _verify(name, folder, wanted)
    return f"{name} -> {folder}: {_told(wanted)}, revision {str(about.sha)[:12]}{ask if gated and dry_run else ''}"


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
