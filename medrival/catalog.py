"""The three axes as typed rows, read from TOML.

The project's own rows lie beside what they name (`models/catalog.toml`, `tasks/catalog.toml`, `regimes/catalog.toml`,
`benchmarks/suites.toml`). A third party adds rows with `--catalog FILE` or from its own package: an entry point of group
`medrival` that names the path of such a file. There, rows stand under `[models.NAME]`, `[tasks.NAME]`, `[regimes.NAME]`
and `[suites.NAME]`.
"""

from __future__ import annotations

import difflib
import importlib
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, replace
from fnmatch import fnmatchcase
from functools import cached_property
from importlib.metadata import entry_points
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar, cast, get_args, get_origin, get_type_hints

from medrival.contracts import ModelType, TaskKind
from medrival.errors import BrokenCatalog, UnknownName

Domain = Literal["in", "ood", "unknown"]
Row = TypeVar("Row")

BUILT_IN = {
    "models": "medrival.models:catalog.toml",
    "tasks": "medrival.tasks:catalog.toml",
    "regimes": "medrival.regimes:catalog.toml",
    "suites": "medrival.benchmarks:suites.toml",
}

NO_KEY = {"key": False}
"""Marks a field of a card that no catalog file may set."""


@dataclass(frozen=True)
class ModelCard:
    """A row of the model axis.

    Attributes:
        kind: "general" or "medical".
        type: what it can do: "dual-encoder", "generator" or, behind an endpoint that only answers, "served".
        adapter: "module:function" that loads it.
        weights: "package:FOLDER" (shipped), a local directory, or a hub id "org/name"; the endpoint's name of a served model.
        revision: a hub revision, where it is pinned.
        family: models of one family are compared with each other.
        partner: the model of the other kind that this one is held against; either of the two may name it.
        budget: name of the budget that regimes give it; both of a pair have the same.
        saw: modalities seen in pretraining; None where that is not known.
        lora: regular expression of the layers that LoRA adapts; "" for every linear layer of a dual encoder's image tower,
            or of a generator's language model and projector.
        parameters: in billions (1e9); 0 where that is not known.
        gated: whether its owner grants access on request, so that a hub account and its token are needed.
        image_size: pixels of the side of the square it sees, "native" where images keep their size, or "448 a tile".
        resolution: how images of other sizes are brought to it.
        padding: how it wants texts padded, where that is not to the longest: "max_length".
        notes: what to know of its prompt, chat template or checkpoint.
        source: where the row's claims come from; `sources`, by key, where a claim comes from elsewhere.
        published: the model's name among the published figures (reports/published.csv), where it is one of theirs.
    """

    name: str
    kind: Literal["general", "medical"]
    type: ModelType
    adapter: str
    weights: str
    family: str
    revision: str = ""
    partner: str = ""
    budget: str = "standard"
    saw: tuple[str, ...] | None = None
    lora: str = ""
    parameters: float = 0.0
    gated: bool = False
    image_size: str = ""
    resolution: str = ""
    padding: str = ""
    notes: str = ""
    sources: Mapping[str, str] = field(default_factory=dict, hash=False)
    licence: str = ""
    source: str = ""
    published: str = ""
    url: str = ""
    """Base of a served model's endpoint, such as https://api.openai.com/v1; "" for that of OPENAI_BASE_URL."""
    key_variable: str = ""
    """The environment variable that holds the endpoint's key."""
    thinking: int = 0
    """Tokens that a served model may think with, on top of those of its answer."""
    price_in: float = 0.0
    """What a million tokens of a prompt cost in US dollars; 0 where that is not known."""
    price_out: float = 0.0
    """The same of what a served model thinks and says."""
    folder: str = ""
    """Where the row was written: relative paths in it start there."""
    base: ModelCard | None = field(default=None, metadata=NO_KEY)
    """The model that a candidate's adapter directory changes."""
    trusted: bool = field(default=False, metadata=NO_KEY)
    """Whether code that lies beside the weights may run: the user's word for this run, never a row's."""


@dataclass(frozen=True)
class TaskCard:
    """A row of the task axis; `options` are the keys that only its loader understands.

    `published` is the data set's name among the published figures (reports/published.csv), where it is one of theirs.
    """

    name: str
    kind: TaskKind
    modality: str
    data: str
    licence: str = ""
    source: str = ""
    published: str = ""
    folder: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class RegimeCard:
    """A row of the regime axis.

    Attributes:
        diagnosis: "module:function" by model type, for diagnosis tasks.
        vqa: the same for question answering.
        adapts: whether it changes anything.
        seeded: whether chance plays a part in it; where it does not, one seed is as good as another.
        budgets: by name, the numbers both models of a pair are given.
        budget: the one that was chosen.
    """

    name: str
    adapts: bool = True
    seeded: bool = True
    source: str = ""
    folder: str = ""
    diagnosis: Mapping[str, str] = field(default_factory=dict, hash=False)
    vqa: Mapping[str, str] = field(default_factory=dict, hash=False)
    budgets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    budget: Mapping[str, Any] = field(default_factory=dict, hash=False)

    def given(self, budget: str) -> RegimeCard:
        """The same regime under a budget; one that spends nothing, as zero-shot, has none.

        Raises:
            UnknownName: it has budgets, but none of this name.
        """
        if self.budgets and budget not in self.budgets:
            raise UnknownName(f"regime {self.name!r} has no budget {budget!r}; it has {', '.join(self.budgets)}")
        return replace(self, budget=self.budgets.get(budget, {}))

    def runner(self, task: TaskCard, model: ModelCard) -> str | None:
        """The "module:function" that adapts this model to this task, or None where that makes no sense."""
        runners = self.diagnosis if task.kind == "diagnosis" else self.vqa
        return runners.get(model.type)


@dataclass(frozen=True)
class SuiteCard:
    """A named selection; names may be globs.

    Attributes:
        margin: absolute difference in a pair's metric that counts as none.
    """

    name: str
    models: tuple[str, ...]
    tasks: tuple[str, ...]
    regimes: tuple[str, ...]
    margin: float = 0.05
    folder: str = ""


@dataclass(frozen=True)
class Catalog:
    """All rows that are known, by name."""

    models: Mapping[str, ModelCard]
    tasks: Mapping[str, TaskCard]
    regimes: Mapping[str, RegimeCard]
    suites: Mapping[str, SuiteCard]

    def joined_by(self, models: Iterable[ModelCard]) -> Catalog:
        """The same rows and more models.

        Raises:
            BrokenCatalog: one of them names a partner that it cannot be compared with.
        """
        known = {**self.models, **{model.name: model for model in models}}
        _check_partners(known)
        return replace(self, models=known)

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

    @cached_property
    def axes(self) -> Mapping[str, Mapping[str, Any]]:
        """The rows of each axis."""
        return {"models": self.models, "tasks": self.tasks, "regimes": self.regimes, "suites": self.suites}

    def select(self, axis: str, names: Iterable[str]) -> list[Any]:
        """The rows that some names or globs mean, in catalog order and without repetition.

        Raises:
            UnknownName: for a name or glob that means no row, with the nearest names.
        """
        rows = self.axes[axis]
        chosen: set[str] = set()
        for name in names:
            found = {known for known in rows if fnmatchcase(known, name)}
            if not found:
                raise UnknownName(unknown(axis, name, rows))
            chosen |= found
        return [row for known, row in rows.items() if known in chosen]


def unknown(axis: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that no catalog has."""
    spelt = {one.casefold(): one for one in known}
    near = [spelt[one] for one in difflib.get_close_matches(name.casefold().strip("*?"), spelt, n=3, cutoff=0.5)]
    hint = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
    return f"unknown {axis.removesuffix('s')} {name!r}.{hint} All names: python -m medrival {axis}"


def domain(model: ModelCard, task: TaskCard) -> Domain:
    """Whether the model's pretraining saw the task's modality."""
    if model.saw is None:
        return "unknown"
    return "in" if task.modality in model.saw else "ood"


def load(extra: Sequence[Path] = ()) -> Catalog:
    """Read the project's rows, those of installed packages, and those of the user's files; later files win.

    Raises:
        BrokenCatalog: naming file, row and key.
    """
    tables: dict[str, dict[str, Any]] = {axis: {} for axis in BUILT_IN}
    for axis, place in BUILT_IN.items():
        package, name = place.split(":")
        tables[axis].update(_rows(axis, Path(str(files(package))) / name, wrap=axis))
    for path in [*_entry_point_files(), *extra]:
        for axis in BUILT_IN:
            tables[axis].update(_rows(axis, path))
    catalog = Catalog(**tables)
    _check_partners(catalog.models)
    return catalog


def partners(one: ModelCard, other: ModelCard) -> bool:
    """Whether two models are held against each other."""
    return one.partner == other.name or other.partner == one.name


def imported(place: str) -> Callable[..., Any]:
    """The function that "module:function" names; importing it may import torch.

    Raises:
        BrokenCatalog: where there is no such module or function.
    """
    module, _, name = place.partition(":")
    try:
        return cast(Callable[..., Any], getattr(importlib.import_module(module), name))
    except (ModuleNotFoundError, AttributeError, ValueError) as error:
        raise BrokenCatalog(f"{place!r} cannot be imported ({error}); a catalog row names it as 'module:function'") from error


CARDS: Mapping[str, type[Any]] = {"models": ModelCard, "tasks": TaskCard, "regimes": RegimeCard, "suites": SuiteCard}


def _rows(axis: str, path: Path, wrap: str = "") -> dict[str, Any]:
    document = _document(path)
    if wrap:
        document = {wrap: document}
    elif strange := sorted(set(document) - set(BUILT_IN)):
        raise BrokenCatalog(
            f"{path}: unknown table [{strange[0]}]; a catalog has [models.*], [tasks.*], [regimes.*], [suites.*]"
        )
    table = document.get(axis, {})
    if not isinstance(table, dict):
        raise BrokenCatalog(f"{path}: {axis!r} is not a table of rows")
    return {name: _card(axis, name, row, path) for name, row in table.items()}


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenCatalog(f"{path}: not a readable TOML catalog: {error}") from error


def _card(axis: str, name: str, row: Any, path: Path) -> Any:
    card = CARDS[axis]
    where = f"{path}: [{axis}.{name}]"
    if not isinstance(row, dict):
        raise BrokenCatalog(f"{where} is not a table")
    known = {f.name: f for f in fields(card) if f.metadata.get("key", True)}
    hints = get_type_hints(card)
    values = {key: _checked(f"{where}: {key}", hints[key], row[key]) for key in row if key in known}
    others = {key: value for key, value in row.items() if key not in known}
    if others and "options" not in known:
        raise BrokenCatalog(f"{where} has an unknown key {sorted(others)[0]!r}; it may have {', '.join(sorted(known))}")
    if others:
        values["options"] = others
    required = {key for key, f in known.items() if f.default is MISSING and f.default_factory is MISSING} - {"name"}
    if missing := sorted(required - set(values)):
        raise BrokenCatalog(f"{where} lacks {missing[0]!r}")
    return card(**{**values, "name": name, "folder": str(path.parent)})


def _checked(where: str, hint: Any, value: Any) -> Any:
    """A key's value, as its card's type wants it: lists of words become tuples."""
    if get_origin(hint) is Literal:
        good, wanted = value in get_args(hint), f"one of {', '.join(get_args(hint))}"
    elif tuple[str, ...] in (hint, *get_args(hint)):
        good, wanted = isinstance(value, list) and all(isinstance(word, str) for word in value), "a list of texts"
        value = tuple(value) if good else value
    elif get_origin(hint) is Mapping:
        good, wanted = isinstance(value, dict), "a table"
    else:
        types = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}[hint]
        words = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
        good, wanted = type(value) in types, words[hint]
    if not good:
        raise BrokenCatalog(f"{where} is {value!r}; it must be {wanted}")
    return value


def _check_partners(models: Mapping[str, ModelCard]) -> None:
    """A pair is of two kinds, one type and one budget; a partner that is not would silently be compared with nothing."""
    for model in models.values():
        if not model.partner:
            continue
        partner = models.get(model.partner)
        if partner is None:
            raise BrokenCatalog(f"{model.folder}: the partner of {model.name!r}: {unknown('models', model.partner, models)}")
        if partner.kind == model.kind or not _comparable(model, partner):
            raise BrokenCatalog(
                f"{model.folder}: {model.name!r} and its partner {partner.name!r} must be one general and one medical model of "
                f"the same type and budget; they are {model.kind} {model.type} with budget {model.budget!r} and "
                f"{partner.kind} {partner.type} with budget {partner.budget!r}"
            )


def _comparable(one: ModelCard, other: ModelCard) -> bool:
    """Whether both do the same thing under the same budget; one that is served answers as a generator, and spends none."""
    types = {one.type, other.type}
    if "served" in types:
        return types <= {"served", "generator"}
    return len(types) == 1 and one.budget == other.budget


def _entry_point_files() -> list[Path]:
    return [Path(str(point.load())) for point in entry_points(group="medrival")]
