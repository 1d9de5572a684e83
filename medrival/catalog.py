"""The three axes as typed rows, read from TOML.

The project's own rows lie beside what they name (`models/catalog.toml`, `tasks/catalog.toml`, `regimes/catalog.toml`,
`benchmarks/suites.toml`). A third party adds rows with `--catalog FILE` or from its own package: an entry point of group
`medrival` that names the path of such a file (`medrival/rows.py` says what stands in one).
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from medrival import budgets, rows
from medrival.cards import SCHEMES, AdapterCard, Domain, ModelCard, RegimeCard, SuiteCard, TaskCard, domain, partners
from medrival.errors import BrokenCatalog, UnknownName
from medrival.sense import hint

__all__ = [
    "BUILT_IN",
    "AdapterCard",
    "Catalog",
    "Domain",
    "ModelCard",
    "RegimeCard",
    "SuiteCard",
    "TaskCard",
    "comparable",
    "domain",
    "imported",
    "load",
    "partners",
    "unknown",
]

BUILT_IN = {
    "models": "medrival.models:catalog.toml",
    "tasks": "medrival.tasks:catalog.toml",
    "regimes": "medrival.regimes:catalog.toml",
    "suites": "medrival.benchmarks:suites.toml",
}


@dataclass(frozen=True)
class Catalog:
    """All rows that are known, by name.

    Attributes:
        replacing: of each row that took the place of a built-in one, which it is and where it stands, in a line.
    """

    models: Mapping[str, ModelCard]
    tasks: Mapping[str, TaskCard]
    regimes: Mapping[str, RegimeCard]
    suites: Mapping[str, SuiteCard]
    adapters: Mapping[str, AdapterCard]
    replacing: tuple[str, ...] = ()

    def joined_by(self, models: Iterable[ModelCard]) -> Catalog:
        """The same rows and more models.

        Raises:
            BrokenCatalog: one of them names a partner that it cannot be compared with.
        """
        known = {**self.models, **{model.name: model for model in models}}
        _check_partners(known)
        return replace(self, models=known)

    def reads(self, adapter: str) -> AdapterCard:
        """What an adapter reads: of the names and globs that fit it the first, in the order in which the files were read."""
        return next((card for name, card in self.adapters.items() if fnmatchcase(adapter, name)), AdapterCard())

    def trusting(self, names: Iterable[str]) -> Catalog:
        """The same rows, of which some models may run code that lies beside their weights, or beside their base model's.

        Raises:
            UnknownName: for a name that no model has.
        """
        chosen = [self.model(name) for name in names]
        trusted = {one.name: replace(one, trusted=True, base=one.base and replace(one.base, trusted=True)) for one in chosen}
        return replace(self, models={**self.models, **trusted})

    def model(self, name: str) -> ModelCard:
        """The model of exactly this name.

        Raises:
            UnknownName: with the nearest names.
        """
        if name not in self.models:
            raise UnknownName(unknown("models", name, self.models))
        return self.models[name]

    def unfamiliar(self, model: ModelCard) -> list[str]:
        """A line for each modality that a model saw and no task has, nor another model: it is likely misspelt.

        Other models are those of another family or file: rows of one family share what is misspelt in it.
        """
        others = [one for one in self.models.values() if (one.family, one.file) != (model.family, model.file)]
        known = {task.modality for task in self.tasks.values()} | {word for one in others for word in one.saw or ()}
        return [
            f"{model.name}: saw {word!r}, a modality of no task and no other model; it has no effect.{hint(word, known, 1)}"
            for word in model.saw or ()
            if word not in known
        ]

    @cached_property
    def axes(self) -> Mapping[str, Mapping[str, Any]]:
        """The rows of each axis."""
        return {"models": self.models, "tasks": self.tasks, "regimes": self.regimes, "suites": self.suites}

    def select(self, axis: str, names: Iterable[str]) -> list[Any]:
        """The rows that some names or globs mean, in catalog order and without repetition.

        Raises:
            UnknownName: for a name or glob that means no row, with the nearest names.
        """
        known = self.axes[axis]
        chosen: set[str] = set()
        for name in names:
            found = {one for one in known if fnmatchcase(one, name)}
            if not found:
                raise UnknownName(unknown(axis, name, known))
            chosen |= found
        return [card for one, card in known.items() if one in chosen]

    def suite(self, name: str) -> SuiteCard:
        """The one suite that a name or glob means.

        Raises:
            UnknownName: it means none, or several.
        """
        found: list[SuiteCard] = self.select("suites", [name])
        if len(found) > 1:
            raise UnknownName(f"--suite {name!r} means {', '.join(suite.name for suite in found)}; name one of them")
        return found[0]


def unknown(axis: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that no catalog has."""
    return f"unknown {axis.removesuffix('s')} {name!r}.{hint(name, known)} All names: python -m medrival {axis}"


def load(extra: Sequence[Path] = ()) -> Catalog:
    """Read the project's rows, those of installed packages, and those of the user's files.

    Of rows of one name the last counts, but a regime's that has nothing but budgets adds these to the one before; what is said
    of an adapter, on which rows of other files rely, is what was said first.

    Raises:
        BrokenCatalog: naming file, row and key.
    """
    own = [rows.read(_file(place), axis) for axis, place in BUILT_IN.items()]
    theirs = {path: rows.read(path) for path in [*_entry_point_files(), *extra]}
    read = [*own, *theirs.values()]
    known = {axis: {name: card for file in read for name, card in file[axis].items()} for axis in rows.CARDS}
    known["adapters"] |= {name: card for file in reversed(read) for name, card in file["adapters"].items()}
    known["regimes"] = {one.name: one for regime in budgets.regimes(file["regimes"] for file in read) for one in regime.each}
    catalog = Catalog(**known, replacing=tuple(_replacing(own, theirs)))
    _check_partners(catalog.models)
    told = {name: replace(model, reads=catalog.reads(model.adapter)) for name, model in catalog.models.items()}
    return replace(catalog, models=told)


def imported(place: str) -> Callable[..., Any]:
    """The function that "module:function" names; importing it may import torch.

    Raises:
        BrokenCatalog: where there is no such module or function.
    """
    module, _, name = place.partition(":")
    try:
        return cast(Callable[..., Any], getattr(importlib.import_module(module), name))
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise BrokenCatalog(
            f"{place!r} cannot be imported ({error}); a catalog row names it as 'module:function', "
            f"data without code as {', '.join(f'{scheme}:PLACE' for scheme in SCHEMES)}"
        ) from error


def _check_partners(models: Mapping[str, ModelCard]) -> None:
    """A pair is of two kinds, one type and one budget; a partner that is not would silently be compared with nothing."""
    for model in models.values():
        if not model.partner:
            continue
        partner = models.get(model.partner)
        if partner is None:
            raise BrokenCatalog(f"{model.file}: the partner of {model.name!r}: {unknown('models', model.partner, models)}")
        if partner.kind == model.kind or not comparable(model, partner):
            raise BrokenCatalog(
                f"{model.file}: {model.name!r} and its partner {partner.name!r} must be one general and one medical model of "
                f"the same type and budget; they are {model.kind} {model.type} with budget {model.budget!r} and "
                f"{partner.kind} {partner.type} with budget {partner.budget!r}"
            )


def _replacing(own: Sequence[rows.Cards], theirs: Mapping[Path, rows.Cards]) -> Iterator[str]:
    for path, cards in theirs.items():
        for axis in BUILT_IN:
            built_in = {name: card for file in own for name, card in file[axis].items()}
            for name, card in cards[axis].items():
                if name in built_in and not (axis == "regimes" and card.adds):
                    yield f"{path}: [{axis}.{name}] takes the place of the built-in row"
                elif name in built_in:
                    again = (budget for budget in card.budgets if budget in built_in[name].budgets)
                    yield from (f"{path}: [regimes.{name}.budgets.{one}] takes the place of the built-in one" for one in again)


def comparable(one: ModelCard, other: ModelCard) -> bool:
    """Whether both do the same thing under the same budget; one that is served answers as a generator, and spends none."""
    types = {one.type, other.type}
    if "served" in types:
        return types <= {"served", "generator", "engine"}
    return len(types) == 1 and one.budget == other.budget


def _file(place: str) -> Path:
    package, _, name = place.partition(":")
    return Path(str(files(package))) / name


def _entry_point_files() -> list[Path]:
    return [Path(str(point.load())) for point in entry_points(group="medrival")]
