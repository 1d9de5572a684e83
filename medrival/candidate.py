"""Candidates: local checkpoints that enter a run as rows of their own, each held against the rival that the user names."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from itertools import count
from pathlib import Path
from typing import Any, Literal

from medrival.catalog import Catalog, ModelCard
from medrival.errors import BrokenModel, MissingAsset


@dataclass(frozen=True)
class Claims:
    """What the user says of the candidates; their files say the rest.

    Attributes:
        rival: the model they are held against, which lends them its family and budget; "" for none.
        saw: the modalities of their pretraining; None where that is not said.
    """

    kind: Literal["general", "medical"] = "medical"
    rival: str = ""
    saw: tuple[str, ...] | None = None


def entered(rows: Catalog, paths: Iterable[Path], claims: Claims, assets: Path | None) -> list[ModelCard]:
    """A row for each candidate, named after its folder.

    Raises:
        BrokenModel: a path holds no checkpoint, or one of an architecture that nothing here loads.
        MissingAsset: the base model of an adapter directory is not on this machine.
        UnknownName: no model has the rival's name.
    """
    rival = rows.model(claims.rival) if claims.rival else None
    found: dict[str, ModelCard] = {}
    for path in paths:
        folder = path.expanduser().resolve()
        name = _name(folder, {*rows.models, *found})
        card = _card(name, folder, rows, assets)
        found[name] = replace(
            card,
            kind=claims.kind,
            saw=claims.saw,
            partner=claims.rival,
            family=rival.family if rival else name,
            budget=rival.budget if rival else card.budget,
        )
    return list(found.values())


def introduced(card: ModelCard) -> str:
    """What a run takes a candidate for, in a line."""
    base = f" on {card.base.name}" if card.base else ""
    against = f", held against {card.partner}" if card.partner else "; without --rival it is compared with nothing"
    unknown = "" if card.saw is not None else "; what its pretraining saw is unknown (--candidate-saw)"
    return f"candidate {card.name}: {card.kind} {card.type}{base} in {card.weights}{against}{unknown}"


def _name(folder: Path, taken: Container[str]) -> str:
    """The folder's name without what an id or a glob could trip over; numbered where another model has it."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", folder.name).strip("-._") or "candidate"
    return next(name for i in count(1) if (name := plain if i == 1 else f"{plain}-{i}") not in taken)


def _card(name: str, folder: Path, rows: Catalog, assets: Path | None) -> ModelCard:
    if not folder.is_dir():
        found = "it is a file; name the directory that it lies in" if folder.exists() else "there is no such directory"
        raise BrokenModel(f"candidate {folder}: {found}")
    base = _base(folder, rows, assets) if (folder / "adapter_config.json").is_file() else None
    loading = _taken(base) if base else _loading(folder)
    return ModelCard(
        name, kind="medical", family=name, weights=str(folder), base=base, source="the user's checkpoint", **loading
    )


def _base(folder: Path, rows: Catalog, assets: Path | None) -> ModelCard:
    """The model that an adapter directory was trained on: a directory, a row with these weights, or one in --assets.

    Of the revision that the directory names, if it names one, whatever the row says.
    """
    config = _json(folder / "adapter_config.json")
    named, revision = config.get("base_model_name_or_path"), config.get("revision") or ""
    if not named:
        raise BrokenModel(
            f"candidate {folder}: adapter_config.json does not say what model it changes (base_model_name_or_path)"
        )
    places = [Path(named).expanduser(), folder / named, *([assets / "models" / named] if assets else [])]
    place = next((place.resolve() for place in places if place.is_dir()), None)
    row = next((row for row in rows.models.values() if row.weights == named and row.type != "served"), None)
    if row is not None:
        return replace(row, weights=str(place or row.weights), revision=revision or row.revision)
    if place is None:
        raise MissingAsset(
            f"candidate {folder}: adapter_config.json names the base model {named!r}, which is no directory and no row's "
            f"weights; put its files into {assets or 'DIR'}/models/{named} and pass --assets {assets or 'DIR'}"
        )
    loading = _loading(place)
    return ModelCard(place.name, kind="general", family=place.name, weights=str(place), revision=revision, **loading)


def _taken(base: ModelCard) -> dict[str, Any]:
    """The keys of an adapter directory's row: how it is loaded, and what it has of its base model."""
    return {**_architectures()["peft"], "type": base.type, "lora": base.lora, "thinking": base.thinking}


def _loading(folder: Path) -> dict[str, Any]:
    """The keys of a row that say how a directory is loaded."""
    said = _architecture(folder)
    known = _architectures()
    found = next((row for pattern, row in known.items() for one in said if fnmatchcase(one, pattern)), None)
    if found is None:
        raise BrokenModel(
            f"candidate {folder}: nothing here loads a {' or '.join(said) or 'model that does not say what it is'}; "
            f"known are {', '.join(known)}. A row in a --catalog file can name an adapter for it"
        )
    return dict(found)


def _architecture(folder: Path) -> list[str]:
    """What a directory says it is, the most exact first."""
    if (folder / "open_clip_config.json").is_file():
        return ["open_clip"]
    if not (folder / "config.json").is_file():
        raise BrokenModel(
            f"candidate {folder}: it has no config.json, open_clip_config.json or adapter_config.json; "
            "save the checkpoint with its library's save_pretrained"
        )
    config = _json(folder / "config.json")
    return [str(one) for one in (*(config.get("architectures") or ()), config.get("model_type")) if one]


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenModel(f"candidate {path.parent}: {path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BrokenModel(f"candidate {path.parent}: {path.name} holds no settings")
    return content


@cache
def _architectures() -> dict[str, dict[str, str]]:
    return tomllib.loads((files("medrival.models") / "architectures.toml").read_text(encoding="utf-8"))
