"""Where a data set's files are: beside its row, in --assets, in the hub's cache, or on the hub; and how to get them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from medrival.catalog import TaskCard
from medrival.errors import BrokenData, MissingAsset, first_line

SHARD = re.compile(r"(?P<head>.*-)(?P<number>\d{5})-of-(?P<count>\d{5})(?P<tail>.*)")
"""The name of one of several files that are one table."""


def on_hub(card: TaskCard) -> bool:
    """Whether the hub hands it out: the row says `hub:ORG/NAME`, or which `files` of ORG/NAME are read."""
    return card.data.startswith("hub:") or "files" in card.options


def mirrored(card: TaskCard, assets: Path | str) -> Path:
    """Where --assets has a data set."""
    return Path(assets) / "datasets" / card.where


def patterns(card: TaskCard) -> list[str] | None:
    """The files of its repository that are read, as globs; None for all: a list, or of each split one glob or several."""
    said = card.options.get("files")
    if not isinstance(said, dict):
        return said
    return [glob for globs in said.values() for glob in ([globs] if isinstance(globs, str) else globs)]


def local(card: TaskCard, assets: Path | None) -> Path | None:
    """Its folder, or the one file that is all of it: beside the catalog file, in ASSETS/datasets, or in ASSETS.

    Raises:
        MissingAsset: the row does not say where, or the folder has some shards of a table of the hub and lacks others.
        BrokenData: what lies there is of another revision than the row names.
    """
    if not card.where:
        raise MissingAsset(f"{card.name}: its row does not say where its files are: it lacks 'place'")
    found = next((place for place in _places(card, assets) if place.exists()), None)
    asked = str(card.options.get("revision", ""))
    if found and asked and (there := revision(found)) not in ("", asked):
        raise BrokenData(
            f"{card.name}: {found} is of revision {there[:12]}, and {asked[:12]} is asked for; fetch it once more: "
            f"python -m medrival fetch --tasks {card.name} --assets {assets or 'DIR'}"
        )
    if found and on_hub(card) and (lacking := _lacking_shards(found, patterns(card) or ["**/*-of-*"])):
        raise MissingAsset(f"{card.name}: {found} lacks {_some(lacking)}; {advice(card, assets)}")
    return found


def snapshot(card: TaskCard, assets: Path | None) -> Path:
    """The repository's files that the row reads: in the hub's cache, brought there from the hub where they are not.

    Raises:
        MissingAsset: the hub did not give them; with what to do.
    """
    from huggingface_hub import snapshot_download

    read, wanted = card.options.get("revision"), patterns(card)
    get = partial(snapshot_download, card.where, repo_type="dataset", revision=read, allow_patterns=wanted)
    with suppress(FileNotFoundError):  # not in the cache
        folder = Path(get(local_files_only=True))
        if wanted and not _lacking(folder, wanted):
            return folder
    try:
        folder = Path(get())
    except Exception as error:  # the hub client raises errors of several libraries; each means "not to be had"
        raise refused(card, assets, error) from error
    if lacking := _lacking(folder, wanted or ()):
        raise MissingAsset(f"{card.name}: {card.where} has no {_some(lacking)} in {folder}; {advice(card, assets)}")
    return folder


def missing(card: TaskCard, assets: Path | None) -> MissingAsset:
    """The error for a data set that is in none of its places."""
    return MissingAsset(f"{card.name}: not found: {' or '.join(map(str, _places(card, assets)))}; {advice(card, assets)}")


def refused(card: TaskCard, assets: Path | None, error: Exception) -> MissingAsset:
    """The error for a data set of the hub that is in none of its places, and that the hub did not give either."""
    mirror = f" (nor in {mirrored(card, assets)})" if assets else ""
    return MissingAsset(f"{card.name}: {card.where} is not on this machine{mirror}, and {_why(error)}; {advice(card, assets)}")


def advice(card: TaskCard, assets: Path | None = None) -> str:
    """What to do where data is missing."""
    there, licence = mirrored(card, assets or "DIR"), f" ({card.licence})" if card.licence else ""
    given = "" if assets else " and pass --assets DIR"
    if on_hub(card):
        page = f"https://huggingface.co/datasets/{card.where}"
        gated = f"it is gated: ask for access at {card.access or page}, then set HF_TOKEN"
        fetch = f"python -m medrival fetch --tasks {card.name} --assets {assets or 'DIR'}{licence}{given}"
        return f"get it with: {fetch}, or allow access to the hub; {gated if card.gated else f'its page is {page}'}"
    get = "it is gated: ask for it at" if card.gated else "get it from"
    source = f"{get} {card.access}{licence}, " if card.access else f"get the data{licence}, "
    return f"{source}put it into {there}{given}; docs/data.md shows the layout"


def revision(folder: Path) -> str:
    """The commit that the hub's client noted: in the name of its cache's folders, or beside the files it put into a folder."""
    if folder.parent.name == "snapshots":
        return folder.name
    notes = (folder / ".cache" / "huggingface" / "download").rglob("*.metadata")
    commits = {note.read_text(encoding="utf-8").partition("\n")[0] for note in notes}
    return commits.pop() if len(commits) == 1 else ""


def _places(card: TaskCard, assets: Path | None) -> list[Path]:
    beside = Path(card.folder) / Path(card.where).expanduser()
    return [beside, mirrored(card, assets), assets / card.where] if assets else [beside]


def _lacking(folder: Path, wanted: Sequence[str]) -> list[str]:
    """What is not there of some globs: those that find nothing, and shards that are missing beside those that are found."""
    return [glob for glob in wanted if not any(folder.glob(glob))] + _lacking_shards(folder, wanted)


def _lacking_shards(folder: Path, wanted: Sequence[str]) -> list[str]:
    there = {path.relative_to(folder) for glob in wanted for path in folder.glob(glob)}
    there = {path for path in there if not any(part.startswith(".") for part in path.parts)}
    stated = {
        path.with_name(f"{shard['head']}{number:05d}-of-{shard['count']}{shard['tail']}")
        for path in there
        if (shard := SHARD.fullmatch(path.name))
        for number in range(int(shard["count"]))
    }
    return sorted(path.as_posix() for path in stated - there)


def _some(names: Sequence[str], shown: int = 3) -> str:
    return ", ".join(names[:shown]) + (f" and {len(names) - shown} more" if len(names) > shown else "")


def _why(error: Exception) -> str:
    """Why the hub did not give it, in fewer words than its client's."""
    from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError

    if isinstance(error, ConnectionError | LocalEntryNotFoundError):
        return "the hub cannot be reached"
    if isinstance(error, GatedRepoError):
        return "the hub gives it only to those who were granted access"
    if isinstance(error, RepositoryNotFoundError):
        return "the hub has no data set of this name, or shows it to others only"
    return f"the hub did not give it: {first_line(error).rstrip('.')}"
