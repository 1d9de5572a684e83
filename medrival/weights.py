"""Where a model's weights are: in the package, in a folder, in --assets, in the hub's cache, or on the hub."""

from __future__ import annotations

from contextlib import suppress
from functools import cache, partial
from importlib.resources import files
from pathlib import Path

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel, MissingAsset, first_line

# Weights in formats that can carry code (.bin, .pt, .ckpt) are never fetched.
FETCHED = ("*.safetensors", "*.safetensors.index.json", "*.json", "*.jinja", "*.txt", "*.model", "merges.txt")


@cache
def locate(card: ModelCard, assets: Path | None) -> Path:
    """The local directory that holds the model, looked for once a process.

    Order: `package:`, an existing directory (relative to the catalog file), `ASSETS/models/ORG/NAME`, the hub's cache, the hub.

    Raises:
        BrokenModel: the directory has no config.json.
        MissingAsset: it is nowhere, and the hub did not give it.
    """
    folder = _local(card, assets)
    if folder is None:
        return _from_hub(card, assets)
    if not (folder / "config.json").is_file():
        raise BrokenModel(f"{card.name}: {folder} is no model directory: it has no config.json")
    return folder


def _local(card: ModelCard, assets: Path | None) -> Path | None:
    if card.weights.startswith("package:"):
        package, _, folder = card.weights.removeprefix("package:").partition("/")
        return Path(str(files(package))) / folder
    places = [Path(card.folder) / Path(card.weights).expanduser()]
    if assets:
        places.append(assets / "models" / card.weights)
    for place in places:
        if place.is_dir():
            return place
        if place.exists():
            raise BrokenModel(f"{card.name}: {place} is no model directory: it is a file")
    if card.weights.startswith((".", "/", "~")) or card.weights.count("/") != 1:
        looked = " and ".join(map(str, places))
        raise MissingAsset(f"{card.name}: there is no directory {looked}; a hub model would be named ORG/NAME")
    return None


def _from_hub(card: ModelCard, assets: Path | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    fetch = partial(snapshot_download, card.weights, revision=card.revision or None, allow_patterns=list(FETCHED))
    expected = (assets or Path("DIR")) / "models" / card.weights
    advice = f"put its files into {expected} and pass --assets {assets or 'DIR'}, or allow access to the model hub"
    try:
        with suppress(FileNotFoundError):  # not in the cache
            return Path(fetch(local_files_only=True))
        return Path(fetch())
    except HFValidationError:
        raise MissingAsset(f"{card.name}: {card.weights} is neither a directory nor the name of a hub model") from None
    except Exception as error:  # the hub client raises errors of several libraries; each means "not to be had"
        raise MissingAsset(
            f"{card.name}: {card.weights} is not on this machine ({first_line(error)}); "
            f"looked in {Path(card.folder) / card.weights}; {advice}"
        ) from error
