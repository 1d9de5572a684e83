"""Where a model's weights are: in the package, in a folder, in --assets, in the hub's cache, or on the hub."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache, partial
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medrival import fingerprints
from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, MissingAsset, first_line
from medrival.reads import TEXTS, Part, files_read, kind_there, like, needed, parts
from medrival.sense import NAMED

MARKS = ("config.json", "open_clip_config.json", "adapter_config.json")
"""A directory with one of these is a model's, as is one with weights that the row's adapter reads."""

SECONDS_TO_CONNECT = 10.0


@dataclass(frozen=True)
class Resolved:
    """What a row's weights turned out to be.

    Attributes:
        sha256: over every file of the directory, names and contents.
        bytes: of these files.
        revision: the hub's commit they are of, or "" where that is not known.
        base: the same of the model that an adapter directory changes.
        beside: the same of what the adapter reads of other models, by their names.
    """

    sha256: str
    bytes: int
    revision: str = ""
    base: Resolved | None = None
    beside: Mapping[str, Resolved] = field(default_factory=dict)

    @property
    def hashes(self) -> list[str]:
        """Of all that is read for the model, but not for its base model, which is another row."""
        return [self.sha256, *(one.sha256 for one in self.beside.values())]

    @property
    def known(self) -> dict[str, Any]:
        """As an outcome's notes and a lock file have it: without what is not known."""
        known = {"sha256": self.sha256, "bytes": self.bytes, "revision": self.revision, "base": self.base and self.base.known}
        known |= {"beside": {name: one.known for name, one in self.beside.items()}}
        return {name: value for name, value in known.items() if value not in ("", None, {})}


@cache
def resolved(card: ModelCard, assets: Path | None) -> Resolved:
    """What the row's weights are, read once a process.

    Raises:
        BrokenModel, MissingAsset: as `locate`.
    """
    found = _measured(locate(card, assets))
    beside = {part.name: _measured(folder, part.files) for part, folder in _beside(card, assets)}
    revision = "" if card.pieces else found.revision  # of several repositories, or of one alone
    return replace(found, revision=revision, base=resolved(card.base, assets) if card.base else None, beside=beside)


def settled(card: ModelCard, assets: Path | None) -> ModelCard:
    """The row as its adapter gets it: base model and what lies in other places are the directories that `resolved` tells of.

    Raises:
        BrokenModel, MissingAsset: as `locate`.
    """
    base = card.base and replace(settled(card.base, assets), weights=str(locate(card.base, assets)))
    return replace(card, base=base, places={part.name: str(folder) for part, folder in _beside(card, assets)})


@cache
def locate(card: ModelCard, assets: Path | None, only: tuple[str, ...] = ()) -> Path:
    """The local directory that holds the model, or `only` files of it that are like some globs, looked for once a process.

    Order: `package:`, an existing directory (relative to the catalog file), `ASSETS/models/ORG/NAME`, the hub's cache, the hub.

    Raises:
        BrokenModel: the directory holds no model, or another revision than the row names; or the weights are a path, and there
            is none, or a tag that open_clip has not.
        MissingAsset: it is nowhere, and the hub did not give it.
    """
    folder = _local(card, assets)
    if folder is None:
        return _from_hub(card, assets, only)
    if only and not fingerprints.files_of(folder, only):
        raise MissingAsset(f"{card.name}: {folder} has no {' or '.join(only)}")
    if lacking := _lacking(card, folder, assets):
        raise MissingAsset(f"{card.name}: {folder} has no {' and no '.join(lacking)}; {_fetch(card, assets)}")
    if not only and not _is_model(card, folder):
        raise BrokenModel(
            f"{card.name}: {folder} is no model directory: it has no config.json, open_clip_config.json or adapter_config.json"
        )
    if re.fullmatch("[0-9a-f]{40}", card.revision) and (there := _revision(folder)) not in ("", card.revision):
        raise BrokenModel(
            f"{card.name}: {folder} is of revision {there[:12]}, and {card.revision[:12]} is asked for; fetch it once more"
        )
    return folder


def companion(card: ModelCard, part: Part, near: Path) -> ModelCard:
    """A row for what the adapter of another reads; relative names start at a directory near it."""
    own = replace(card, pieces=(), revision="", notes="", gated=False, trusted=False, base=None, file="")
    return replace(own, weights=part.name, folder=str(near))


def place(card: ModelCard) -> str:
    """The directory or the hub id ORG/NAME that the row's `weights` mean.

    Open_clip's own ways of naming are understood: `hf-hub:ORG/NAME`, `local-dir:PATH`, and `open_clip:MODEL/TAG`, such as
    `open_clip:ViT-B-32/openai`, for the hub repository that open_clip takes a pretrained tag from.

    Raises:
        BrokenModel: open_clip has no such model or tag on the hub; with those that it has.
    """
    if not card.weights.startswith("open_clip:"):
        return card.weights.removeprefix("hf-hub:").removeprefix("local-dir:")
    from open_clip import get_pretrained_cfg, list_models, list_pretrained_tags_by_model

    model, _, tag = card.weights.removeprefix("open_clip:").partition("/")
    tags = list_pretrained_tags_by_model(model)
    repositories = {one: get_pretrained_cfg(model, one).get("hf_hub", "") for one in (tag, *tags)}
    if not repositories[tag]:
        known = [one for one, repository in repositories.items() if repository]
        near = get_close_matches(model, list_models(), n=3, cutoff=0)
        has = f"of {model} it has {', '.join(known)}" if known else f"models with like names are {', '.join(near)}"
        raise BrokenModel(f"{_said(card)}: open_clip has no such model and tag on the hub; {has}")
    return "/".join(repositories[tag].split("/")[:2])


def packaged(card: ModelCard) -> bool:
    """Whether the weights came with an installed package."""
    return card.weights.startswith("package:")


def local(card: ModelCard) -> Path | None:
    """The row's directory outside --assets, where there is one: it came with a package, or the user has it."""
    if packaged(card):
        package, _, path = card.weights.removeprefix("package:").partition("/")
        return Path(str(files(package))) / path
    folder = _beside_row(card)
    return folder if folder.is_dir() else None


def named(card: ModelCard) -> str:
    """What an adapter names as its base model: the row's weights, a directory of the user's by its full path.

    "" for a model that is an adapter on another itself: merged, it lies nowhere.
    """
    if card.base:
        return ""
    folder = None if packaged(card) else local(card)
    return str(folder.resolve()) if folder else card.weights


def on_hub(card: ModelCard) -> bool:
    """Whether the weights, where they are no directory, can be the name of a hub model."""
    return not is_path(card) and "/" in place(card)


def is_path(card: ModelCard) -> bool:
    """Whether the weights can be nothing but a directory of this machine: neither ORG/NAME nor a plain name in --assets."""
    return card.weights.startswith("local-dir:") or not NAMED.fullmatch(place(card))


def mirrored(card: ModelCard, assets: Path | str) -> Path:
    """Where --assets has a model of the hub, or one that was put there by hand.

    Raises:
        BrokenModel: the weights are a path, which could lead to anywhere.
    """
    if is_path(card):
        raise BrokenModel(f"{_said(card)}: it is a path, and there is no directory {_beside_row(card)}; correct it")
    return Path(assets) / "models" / place(card)


def by_hand(card: ModelCard, folder: Path) -> str:
    """Where the files of a model that is not on the hub go, and what its row says of where they come from."""
    notes = f" ({' '.join(card.notes.split())})" if card.notes else ""
    return f"its files go into {folder} by hand{notes}"


def access(card: ModelCard) -> str:
    """What to do for a gated model, as the end of a sentence; "" for others."""
    if not card.gated:
        return ""
    return f"; it is gated: ask for access at https://huggingface.co/{quote(place(card))}, then set HF_TOKEN"


def _is_model(card: ModelCard, folder: Path) -> bool:
    names = [path.name for path in folder.iterdir() if path.is_file()]
    return bool(like(names, *MARKS) or kind_there(card, names))


def _lacking(card: ModelCard, folder: Path, assets: Path | None) -> list[str]:
    """What --assets has not of a model that is put together from pieces, as when a fetch was killed."""
    if assets is None or not card.pieces or folder != mirrored(card, assets):
        return []
    return [name for piece in card.pieces for name in piece.files if not any(folder.glob(name))]


def _fetch(card: ModelCard, assets: Path | None) -> str:
    """What to do for a model that is not on this machine, as the middle of a sentence."""
    there = assets or "DIR"
    return (
        f"put its files into {mirrored(card, there)} (python -m medrival fetch --models {card.name} --assets {there}) "
        f"and pass --assets {there}"
    )


def _local(card: ModelCard, assets: Path | None) -> Path | None:
    if folder := local(card):
        return folder
    places = [_beside_row(card)]
    if assets and not places[0].exists():
        places.append(mirrored(card, assets))
    for folder in places:
        if folder.is_dir():
            return folder
        if folder.exists():
            raise BrokenModel(f"{card.name}: {folder} is no model directory: it is a file")
    looked = " and ".join(map(str, places))
    if card.pieces:
        raise MissingAsset(f"{card.name}: {card.weights} is not on this machine; looked in {looked}; {_fetch(card, assets)}")
    if not on_hub(card):
        there = mirrored(card, assets or "DIR")
        said = by_hand(card, there) if card.notes else "a hub model would be named ORG/NAME"
        raise MissingAsset(f"{card.name}: there is no directory {looked}; {said}")
    return None


def _beside_row(card: ModelCard) -> Path:
    """The directory that the weights are where they are a path; relative ones start at the row's file."""
    return Path(card.folder) / Path(place(card)).expanduser()


def _said(card: ModelCard) -> str:
    """The row, where it is, and what it says its weights are: the beginning of a sentence about them."""
    return f"{card.name}: weights = {card.weights!r}" + (f" in {card.file}" if card.file else "")


def _from_hub(card: ModelCard, assets: Path | None, only: tuple[str, ...]) -> Path:
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HFValidationError

    name, revision = place(card), card.revision or None
    try:
        if folder := _cached(card, only):
            return folder
        if lost := _unreachable(constants.ENDPOINT):
            raise MissingAsset(lost)
        names = HfApi().list_repo_files(name, revision=revision)
        wanted = files_read(card, names, only)
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except HFValidationError:
        raise BrokenModel(f"{_said(card)}: it is neither a directory nor a name that the hub could have; correct it") from None
    except Exception as error:  # the hub client raises errors of several libraries; each means "not to be had"
        raise MissingAsset(
            f"{card.name}: {card.weights} is not on this machine ({first_line(error)}); "
            f"looked in {Path(card.folder) / name}; {_fetch(card, assets)}, or allow access to the model hub{access(card)}"
        ) from error


@cache
def _unreachable(endpoint: str) -> str:
    """Why nobody answers there; asked once a process, for the hub's client tries again and again for every model."""
    from huggingface_hub import get_session

    try:
        get_session().head(endpoint, timeout=SECONDS_TO_CONNECT)
    except Exception as error:  # the hub client raises errors of several libraries; each means that nobody answered
        return f"{endpoint} cannot be reached: {first_line(error)}"
    return ""


def _cached(card: ModelCard, only: tuple[str, ...]) -> Path | None:
    """The directory in the hub's cache, where it has all that is read."""
    from huggingface_hub import snapshot_download

    known = list(only) or [*TEXTS, *(pattern for kind in card.reads.weights[:1] for pattern in kind)]
    others = None if card.reads.folders else ["*/*"]
    read = partial(snapshot_download, local_files_only=True, allow_patterns=known, ignore_patterns=others)
    with suppress(FileNotFoundError):  # not in the cache, or not all of it
        folder = Path(read(place(card), revision=card.revision or None))
        if (only or _complete(card, folder)) and _all_texts(card, folder, only):
            return folder
    return None


def _all_texts(card: ModelCard, folder: Path, only: tuple[str, ...]) -> bool:
    """Whether configuration, tokenizer and chat template are there, as far as the hub has them.

    A program that reads file by file leaves some out. The hub's client looks itself where it has a list of the commit's files
    ("trees" in its cache); else each group of files that are needed counts, of which it may have noted that the hub has none.
    """
    cache, commit, names = folder.parents[1], folder.name, [path.name for path in folder.iterdir()]
    if not only and (cache / "trees" / f"{commit}.json").is_file():
        return True
    return all(
        like(names, *group) or all((cache / ".no_exist" / commit / name).is_file() for name in group)
        for group in needed(card, only)
    )


def _complete(card: ModelCard, folder: Path) -> bool:
    """Whether weights are there, all files of them that their index names, and code where it is to run."""
    names = [path.name for path in folder.iterdir()]
    kind = kind_there(card, names)
    if (card.reads.weights and not kind) or (card.trusted and not like(names, "*.py")):
        return False
    indices = like(names, *(f"{pattern}.index.json" for pattern in kind))
    return all(
        (folder / shard).is_file()
        for index in indices
        for shard in json.loads((folder / index).read_text(encoding="utf-8"))["weight_map"].values()
    )


def _beside(card: ModelCard, assets: Path | None) -> list[tuple[Part, Path]]:
    """What the row's adapter reads of other places, and the directories that have it.

    Looked for in the same ORG/NAME layout as the model's directory first, then as the model itself.
    """
    folder = locate(card, assets)
    found = []
    for part in parts(card, folder):
        try:
            found.append((part, locate(companion(card, part, folder.parent.parent), assets, part.files)))
        except (BrokenModel, MissingAsset) as error:
            raise type(error)(f"{card.name}: {folder} names {part.name} as its {part.role}: {error}") from error
    return found


def _measured(folder: Path, only: tuple[str, ...] = ()) -> Resolved:
    size = sum(path.stat().st_size for path in fingerprints.files_of(folder, only))
    return Resolved(fingerprints.weights(folder, only), size, _revision(folder))


def _revision(folder: Path) -> str:
    """The commit that the hub's client noted: in the name of its cache's folders, or beside the files it put into a folder."""
    if folder.parent.name == "snapshots":
        return folder.name
    notes = (folder / ".cache" / "huggingface" / "download").glob("*.metadata")
    commits = {note.read_text(encoding="utf-8").partition("\n")[0] for note in notes}
    return commits.pop() if len(commits) == 1 else ""
