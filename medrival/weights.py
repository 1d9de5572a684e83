"""Where a model's weights are: in the package, in a folder, in --assets, in the hub's cache, or on the hub."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from urllib.parse import quote

from medrival import fingerprints
from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, MissingAsset, first_line

MARKS = ("config.json", "open_clip_config.json", "adapter_config.json", "pytorch_model.bin", "*.pth")
"""A directory with one of these is a model's; the last two are layouts of authors that wrote no configuration."""

TEXTS = ("*.json", "*.jinja", "*.txt", "*.model")
WEIGHTS = ("*.safetensors", "*pytorch_model*.bin")
"""Of these, a repository's first kind is fetched: what can carry code only where there is nothing else."""

KNOWN: Mapping[str, Any] = {"allow_patterns": [*TEXTS, WEIGHTS[0]], "ignore_patterns": ["*/*"]}
"""What the hub's client must find in its cache to take a model as complete, in the client's words."""


@dataclass(frozen=True)
class Resolved:
    """What a row's weights turned out to be.

    Attributes:
        sha256: over every file of the directory, names and contents.
        bytes: of these files.
        revision: the hub's commit they are of, or "" where that is not known.
        base: the same of the model that an adapter directory changes.
    """

    sha256: str
    bytes: int
    revision: str = ""
    base: Resolved | None = None

    @property
    def known(self) -> dict[str, Any]:
        """As an outcome's notes and a lock file have it: without what is not known."""
        known = {"sha256": self.sha256, "bytes": self.bytes, "revision": self.revision, "base": self.base and self.base.known}
        return {name: value for name, value in known.items() if value not in ("", None)}


@cache
def resolved(card: ModelCard, assets: Path | None) -> Resolved:
    """What the row's weights are, read once a process.

    Raises:
        BrokenModel, MissingAsset: as `locate`.
    """
    folder = locate(card, assets)
    return Resolved(
        sha256=fingerprints.weights(folder),
        bytes=sum(path.stat().st_size for path in fingerprints.files_of(folder)),
        revision=_revision(folder),
        base=resolved(card.base, assets) if card.base else None,
    )


@cache
def locate(card: ModelCard, assets: Path | None) -> Path:
    """The local directory that holds the model, looked for once a process.

    Order: `package:`, an existing directory (relative to the catalog file), `ASSETS/models/ORG/NAME`, the hub's cache, the hub.

    Raises:
        BrokenModel: the directory holds no model.
        MissingAsset: it is nowhere, and the hub did not give it.
    """
    folder = _local(card, assets)
    if folder is None:
        return _from_hub(card, assets)
    if not any(path.is_file() for mark in MARKS for path in folder.glob(mark)):
        raise BrokenModel(
            f"{card.name}: {folder} is no model directory: it has no config.json, open_clip_config.json or adapter_config.json"
        )
    return folder


def place(weights: str) -> str:
    """The directory or the hub id ORG/NAME that `weights` means.

    Open_clip's own ways of naming are understood: `hf-hub:ORG/NAME`, `local-dir:PATH`, and `open_clip:MODEL/TAG`, such as
    `open_clip:ViT-B-32/openai`, for the hub repository that open_clip takes a pretrained tag from.

    Raises:
        MissingAsset: open_clip has no such model or tag.
    """
    if not weights.startswith("open_clip:"):
        return weights.removeprefix("hf-hub:").removeprefix("local-dir:")
    from open_clip import get_pretrained_cfg

    model, _, tag = weights.removeprefix("open_clip:").partition("/")
    repository = get_pretrained_cfg(model, tag).get("hf_hub", "")
    if not repository:
        raise MissingAsset(f"{weights}: open_clip has no such model and tag on the hub; open_clip.list_pretrained() names them")
    return "/".join(repository.split("/")[:2])


def packaged(card: ModelCard) -> bool:
    """Whether the weights came with an installed package."""
    return card.weights.startswith("package:")


def local(card: ModelCard) -> Path | None:
    """The row's directory outside --assets, where there is one: it came with a package, or the user has it."""
    if packaged(card):
        package, _, path = card.weights.removeprefix("package:").partition("/")
        return Path(str(files(package))) / path
    folder = Path(card.folder) / Path(place(card.weights)).expanduser()
    return folder if folder.is_dir() else None


def on_hub(card: ModelCard) -> bool:
    """Whether the weights, where they are no directory, can be the name of a hub model."""
    where = place(card.weights)
    return where.count("/") == 1 and not where.startswith((".", "/", "~"))


def mirrored(card: ModelCard, assets: Path | str) -> Path:
    """Where --assets has a model of the hub."""
    return Path(assets) / "models" / place(card.weights)


def files_read(names: Iterable[str], *, code: bool = False) -> list[str]:
    """The files of a repository that are read: configuration, tokenizer, weights; its Python files where that is wanted."""
    top = [name for name in names if "/" not in name]

    def like(*patterns: str) -> list[str]:
        return [name for name in top if any(fnmatchcase(name, pattern) for pattern in patterns)]

    weights = next((found for pattern in WEIGHTS if (found := like(pattern))), [])
    return like(*TEXTS, *(["*.py"] if code else [])) + weights


def access(card: ModelCard) -> str:
    """What to do for a gated model, as the end of a sentence; "" for others."""
    if not card.gated:
        return ""
    return f"; it is gated: ask for access at https://huggingface.co/{quote(place(card.weights))}, then set HF_TOKEN"


def _local(card: ModelCard, assets: Path | None) -> Path | None:
    if folder := local(card):
        return folder
    where = place(card.weights)
    places = [Path(card.folder) / Path(where).expanduser()]
    if assets:
        places.append(mirrored(card, assets))
    for folder in places:
        if folder.is_dir():
            return folder
        if folder.exists():
            raise BrokenModel(f"{card.name}: {folder} is no model directory: it is a file")
    if not on_hub(card):
        looked = " and ".join(map(str, places))
        raise MissingAsset(f"{card.name}: there is no directory {looked}; a hub model would be named ORG/NAME")
    return None


def _from_hub(card: ModelCard, assets: Path | None) -> Path:
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HFValidationError

    name, revision = place(card.weights), card.revision or None
    try:
        with suppress(FileNotFoundError):  # not in the cache
            folder = Path(snapshot_download(name, revision=revision, local_files_only=True, **KNOWN))
            needed = [WEIGHTS, *([("*.py",)] if card.trusted else [])]
            if all(any(path.match(one) for one in patterns for path in folder.iterdir()) for patterns in needed):
                return folder
        wanted = files_read(HfApi().list_repo_files(name, revision=revision), code=card.trusted)
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except HFValidationError:
        raise MissingAsset(f"{card.name}: {card.weights} is neither a directory nor the name of a hub model") from None
    except Exception as error:  # the hub client raises errors of several libraries; each means "not to be had"
        raise MissingAsset(
            f"{card.name}: {card.weights} is not on this machine ({first_line(error)}); "
            f"looked in {Path(card.folder) / name}; put its files into {mirrored(card, assets or 'DIR')} "
            f"(python -m medrival fetch --models {card.name} --assets {assets or 'DIR'}) and pass --assets {assets or 'DIR'}, "
            f"or allow access to the model hub{access(card)}"
        ) from error


def _revision(folder: Path) -> str:
    """The commit that the hub's client noted: in the name of its cache's folders, or beside the files it put into a folder."""
    if folder.parent.name == "snapshots":
        return folder.name
    notes = (folder / ".cache" / "huggingface" / "download").glob("*.metadata")
    commits = {note.read_text(encoding="utf-8").partition("\n")[0] for note in notes}
    return commits.pop() if len(commits) == 1 else ""
