"""Candidates: local checkpoints that enter a run as rows of their own, each held against the rival that the user names."""

from __future__ import annotations

import json
import re
import tomllib
import warnings
from collections import Counter
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any, Literal

from medrival.catalog import Catalog, ModelCard, comparable
from medrival.errors import BrokenModel, MedrivalError, MedrivalWarning, MissingAsset
from medrival.models.files import mentions
from medrival.sense import NAMED
from medrival.weights import MARKS, is_path, local, mirrored

WHOLE = ("model*.safetensors", "pytorch_model*.bin", "open_clip_*.safetensors", "open_clip_*.bin")
"""Files of a model's own weights, which an adapter directory has none of."""


@dataclass(frozen=True)
class Claims:
    """What the user says of the candidates; their files say the rest.

    Attributes:
        rival: the model they are held against, which lends them its family, budget and tokens to think with; "" for none.
        saw: the modalities of their pretraining; None where that is not said.
        thinking: tokens that those that answer in words may think with; None for those of their base model or their rival.
    """

    kind: Literal["general", "medical"] = "medical"
    rival: str = ""
    saw: tuple[str, ...] | None = None
    thinking: int | None = None


def entered(rows: Catalog, paths: Iterable[Path], claims: Claims, assets: Path | None) -> list[ModelCard]:
    """A row for each candidate, named after its folder.

    Raises:
        BrokenModel: a path holds no checkpoint, one that nothing here loads, or both a whole model and an adapter.
        MissingAsset: the base model of an adapter directory is not on this machine.
        UnknownName: no model has the rival's name.
        MedrivalError: the rival is of the candidates' kind, or of another type.
    """
    rival = rows.model(claims.rival) if claims.rival else None
    found: dict[str, ModelCard] = {}
    for folder, times in Counter(path.expanduser().resolve() for path in paths).items():
        if times > 1:
            warnings.warn(f"--candidate {folder}: named {times} times, and taken once", MedrivalWarning, stacklevel=2)
        name = _name(folder, {*rows.models, *found})
        card = _card(name, folder, rows, rival, assets)
        if rival:
            _refuse_rival(card, rival, claims)
        found[name] = replace(
            card,
            kind=claims.kind,
            saw=claims.saw,
            partner=claims.rival,
            family=rival.family if rival else name,
            budget=rival.budget if rival else card.budget,
            thinking=_thinking(card, rival, claims),
            reads=rows.reads(card.adapter),
        )
    return list(found.values())


def _refuse_rival(card: ModelCard, rival: ModelCard, claims: Claims) -> None:
    """A model that the candidate could not be compared with, in the words of the options."""
    if not comparable(replace(card, budget=rival.budget), rival):
        raise MedrivalError(
            f"--rival {rival.name}: it is a {rival.type}, and the candidate {card.weights} is a {card.type}; name a {card.type}"
        )
    if claims.kind == rival.kind:
        other = "general" if claims.kind == "medical" else "medical"
        raise MedrivalError(
            f"--rival {rival.name}: it is a {rival.kind} model, and so is the candidate {card.weights}; where that is "
            f"a {other} one say --candidate-kind {other}, else name a rival that is"
        )


def introduced(card: ModelCard) -> str:
    """What a run takes a candidate for, in a line."""
    base = f" on {card.base.name}" if card.base else ""
    loader = (card.base or card).adapter.removeprefix("medrival.models.")
    against = f", held against {card.partner}" if card.partner else "; without --rival it is compared with nothing"
    thinks = f", with {card.thinking} tokens to think" if card.thinking else ""
    unknown = "" if card.saw is not None else "; what its pretraining saw is unknown (--candidate-saw)"
    found = f"{card.kind} {card.type}{base} in {card.weights}, loaded by {loader}"
    return f"candidate {card.name}: {found}{thinks}{against}{unknown}"


def _name(folder: Path, taken: Container[str]) -> str:
    """The folder's name without what an id or a glob could trip over; numbered where another model has it."""
    plain = re.sub(r"[^A-Za-z0-9._]+", "-", folder.name).strip("-._") or "candidate"
    return next(name for i in count(1) if (name := plain if i == 1 else f"{plain}-{i}") not in taken)


def _thinking(card: ModelCard, rival: ModelCard | None, claims: Claims) -> int:
    """Tokens to think with: what the user says, what the base model's row says, or as many as the rival has."""
    if card.type != "generator":
        return 0
    return (card.thinking or (rival.thinking if rival else 0)) if claims.thinking is None else claims.thinking


def _card(name: str, folder: Path, rows: Catalog, rival: ModelCard | None, assets: Path | None) -> ModelCard:
    if not folder.is_dir():
        found = "it is a file; name the directory that it lies in" if folder.exists() else "there is no such directory"
        raise BrokenModel(f"candidate {folder}: {found}")
    base = _base(folder, rows, rival, assets) if (folder / "adapter_config.json").is_file() else None
    loading = _taken(base) if base else _loading(folder, rival, assets)
    return ModelCard(
        name, kind="medical", family=name, weights=str(folder), base=base, source="the user's checkpoint", **loading
    )


def _base(folder: Path, rows: Catalog, rival: ModelCard | None, assets: Path | None) -> ModelCard:
    """The model that an adapter directory was trained on: a directory, a row with these weights, or one in --assets.

    Of the revision that the directory names, if it names one, whatever the row says.
    """
    if whole := sorted(path.name for pattern in WHOLE for path in folder.glob(pattern)):
        raise BrokenModel(
            f"candidate {folder}: it holds both a whole model ({whole[0]}) and an adapter (adapter_config.json); move one of "
            "the two into a directory of its own and name the one that is meant"
        )
    config = _json(folder / "adapter_config.json")
    named, revision = config.get("base_model_name_or_path"), config.get("revision") or ""
    if not named:
        raise BrokenModel(
            f"candidate {folder}: adapter_config.json does not say what model it changes (base_model_name_or_path)"
        )
    places = [Path(named).expanduser(), folder / named, *([assets / "models" / named] if assets else [])]
    place = next((place.resolve() for place in places if place.is_dir()), None)
    if place is not None and _is_adapter(place):
        raise BrokenModel(
            f"candidate {folder}: its base model {place} is an adapter itself; merge that one into its own base model with "
            "peft's merge_and_unload, save the whole, and name its directory in base_model_name_or_path"
        )
    row = next((row for row in rows.models.values() if row.weights == named and row.type != "served"), None)
    if row is not None:
        return replace(row, weights=str(place or row.weights), revision=revision or row.revision)
    if place is None and named in rows.models:
        return rows.models[named]
    if place is None:
        raise MissingAsset(
            f"candidate {folder}: adapter_config.json names the base model {named!r}, which is no directory, no row and no "
            f"row's weights; {_where_to_put(named, assets)}"
        )
    loading = _loading(place, rival, assets)
    reads = rows.reads(loading["adapter"])
    return ModelCard(
        place.name, kind="general", family=place.name, weights=str(place), revision=revision, reads=reads, **loading
    )


def _is_adapter(folder: Path) -> bool:
    whole = ("config.json", "open_clip_config.json")
    return (folder / "adapter_config.json").is_file() and not any((folder / name).is_file() for name in whole)


def _where_to_put(named: str, assets: Path | None) -> str:
    """What to do for a base model that is nowhere, as the end of a sentence."""
    if not NAMED.fullmatch(named):
        return "put its files there, or name the directory that has them in base_model_name_or_path"
    return f"put its files into {assets or 'DIR'}/models/{named} and pass --assets {assets or 'DIR'}"


def _taken(base: ModelCard) -> dict[str, Any]:
    """The keys of an adapter directory's row: how it is loaded, and what it has of its base model."""
    (adapter,) = _architectures()["peft"]["adapters"]
    return {"adapter": adapter, "type": base.type, "lora": base.lora, "thinking": base.thinking}


def _loading(folder: Path, rival: ModelCard | None, assets: Path | None) -> dict[str, Any]:
    """The keys of a row that say how a directory is loaded."""
    said = _architecture(folder)
    known = _architectures()
    pattern = next((pattern for pattern in known for one in said if fnmatchcase(one, pattern)), None)
    if pattern is None:
        raise BrokenModel(
            f"candidate {folder}: nothing here loads a {' or '.join(said) or 'model that does not say what it is'}; "
            f"known are {', '.join(known)}. A row in a --catalog file can name an adapter for it"
        )
    if "*" in pattern:  # the end of a name alone
        _refuse_unknown_type(folder, said[0])
    found = known[pattern]
    if "families" in found:
        raise _asked_by_family(folder, said[0], found["families"])
    default, *others = found["adapters"]
    shared = rival is not None and rival.adapter in others and _says_one_of(said, rival, assets)
    return {"type": found["type"], "adapter": rival.adapter if rival and shared else default}


def _asked_by_family(folder: Path, architecture: str, families: Mapping[str, str]) -> BrokenModel:
    """What to raise where a guess could ask a model in another family's prompt; a rival's is no better, as it is of any."""
    known = ", ".join(f"{adapter!r} where it is {family}'s" for family, adapter in families.items())
    return BrokenModel(
        f"candidate {folder}: each family of {architecture} has a prompt of its own, and no file tells which it is; "
        f"a row in a --catalog file, in place of --candidate, names an adapter with that prompt: {known}, else one of your own"
    )


def _refuse_unknown_type(folder: Path, architecture: str) -> None:
    """A name that ends like those of known architectures may be one that transformers has not, unless code lies beside it."""
    config = _json(folder / "config.json")
    kind = config.get("model_type")
    if not kind or "auto_map" in config or _has_folder(kind):
        return
    from transformers import CONFIG_MAPPING  # takes seconds, and is asked of rare ones alone

    if kind not in CONFIG_MAPPING:
        raise BrokenModel(
            f"candidate {folder}: nothing here loads a {architecture}: the transformers that is installed knows no model_type "
            f"{kind!r}; a newer one may, or a row in a --catalog file can name an adapter for it"
        )


def _has_folder(model_type: str) -> bool:
    """Whether transformers has a folder for a type of model, as it has for nearly all."""
    found = find_spec("transformers")
    place = Path(found.origin).parent / "models" if found and found.origin else None
    return place is not None and (place / model_type.replace("-", "_")).is_dir()


def _says_one_of(architectures: Container[str], card: ModelCard, assets: Path | None) -> bool:
    """Whether a model that lies on this machine, in a directory of its own or in --assets, is of one of some architectures."""
    place = local(card) or (mirrored(card, assets) if assets and not is_path(card) else None)
    return bool(place and (place / "config.json").is_file() and any(one in architectures for one in _architecture(place)))


def _architecture(folder: Path) -> list[str]:
    """What a directory says it is, the most exact first."""
    if (folder / "open_clip_config.json").is_file():
        return ["open_clip"]
    config = _json(folder / "config.json") if (folder / "config.json").is_file() else {}
    said = [str(one) for one in (*(config.get("architectures") or ()), config.get("model_type")) if one]
    if not any(fnmatchcase(one, pattern) for one in said for pattern in _architectures()):
        said += _layouts(folder)
    if not said and not config:
        inside = sorted(path.parent.name for mark in MARKS for path in folder.glob(f"*/{mark}"))
        way = f"name a directory in it that has ({inside[0]})" if inside else "save it with its library's save_pretrained"
        raise BrokenModel(f"candidate {folder}: it has no config.json, open_clip_config.json or adapter_config.json; {way}")
    return said


def _layouts(folder: Path) -> list[str]:
    """The architectures whose own files a directory has."""

    def there(row: Mapping[str, Any]) -> bool:
        found = [folder / name for name in row.get("files", ())]
        return bool(found) and all(
            file.is_file() and all(mentions(file, name) for name in row.get("weights", ())) for file in found
        )

    return [architecture for architecture, row in _architectures().items() if there(row)]


def _json(path: Path) -> Mapping[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BrokenModel(f"candidate {path.parent}: {path.name} cannot be read: {error}") from error
    if not isinstance(content, dict):
        raise BrokenModel(f"candidate {path.parent}: {path.name} holds no settings")
    return content


@cache
def _architectures() -> dict[str, dict[str, Any]]:
    """What loads each architecture, in the order of the file."""
    table = tomllib.loads((files("medrival.models") / "architectures.toml").read_text(encoding="utf-8"))
    return {architecture: row for row in table["loaded"] for architecture in row["architectures"]}
