"""Catalog files: TOML becomes cards, and what is wrong in one is said with file, row and key.

Rows stand under `[models.NAME]`, `[tasks.NAME]`, `[regimes.NAME]` and `[suites.NAME]`. What models or tasks of one family
have in common may stand once, under `[families.NAME]`, and is taken by the rows of that file alone; a family may itself be of
another one. What adapters read of a model's files stands under `[adapters."module:function"]`, also a glob, and holds for the
rows of every file.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

from medrival.cards import AdapterCard, ModelCard, RegimeCard, SuiteCard, TaskCard
from medrival.errors import BrokenCatalog
from medrival.sense import complaint

CARDS: Mapping[str, type[Any]] = {
    "models": ModelCard,
    "tasks": TaskCard,
    "regimes": RegimeCard,
    "suites": SuiteCard,
    "adapters": AdapterCard,
}
Cards = dict[str, dict[str, Any]]
"""Those of a file, by axis and name."""
WITH_FAMILIES = ("models", "tasks")
JOINED = ("sources", "options")
"""Of which a row takes from its family each by itself."""
NAME = re.compile(r"(?!.*::)[A-Za-z0-9][A-Za-z0-9 ._+@:/-]*")
"""What pytest writes into an id as it is, without what globs, lists of names and pairs are written with."""
GIVEN = ("name", "folder", "file")
"""Fields of a card that a row gets from where it stands, and cannot say."""


def read(path: Path, axis: str = "") -> Cards:
    """The cards of a catalog file, by axis and name; `axis` is that of a file in which the rows of one stand at the top.

    A model or task takes from `[families.ITS FAMILY]` of the same file what its row does not say, and of the sources each by
    itself.

    Raises:
        BrokenCatalog: naming file, row and key.
    """
    document = _document(path)
    families = _table(document.pop("families", {}), f"{path}: 'families'")
    document = {"adapters": document.pop("adapters", {}), axis: document} if axis else document
    if strange := sorted(set(document) - set(CARDS)):
        known = ", ".join(f"[{axis}.*]" for axis in (*CARDS, "families"))
        raise BrokenCatalog(f"{path}: unknown table [{strange[0]}]; a catalog has {known}")
    tables = {axis: _table(document.get(axis, {}), f"{path}: {axis!r}") for axis in CARDS}
    shared = {axis: _shared(axis, families, tables[axis], path) for axis in WITH_FAMILIES}
    if idle := sorted(set(families).difference(*shared.values())):
        raise BrokenCatalog(f"{path}: no model or task of this file is of [families.{idle[0]}]")
    cards = {
        axis: {name: _card(axis, name, row, path, shared.get(axis, {})) for name, row in table.items()}
        for axis, table in tables.items()
    }
    loading = [model.adapter for model in cards["models"].values()]
    if idle := [name for name in cards["adapters"] if not any(fnmatchcase(adapter, name) for adapter in loading)]:
        raise BrokenCatalog(f"{path}: no model of this file is loaded by [adapters.{idle[0]}]")
    return cards


def _shared(axis: str, families: Mapping[str, Any], rows: Mapping[str, Any], path: Path) -> dict[str, dict[str, Any]]:
    """What the families say that rows of this axis name, by family; with what the family of one says, a single step up."""
    named = _families(rows)
    named |= _families({name: families[name] for name in named if name in families})
    said = {name: _values(CARDS[axis], row, f"{path}: [families.{name}]") for name, row in families.items() if name in named}
    return {name: _of_family(values, said.get(values.get("family", ""), {})) for name, values in said.items()}


def _families(rows: Mapping[str, Any]) -> set[str]:
    return {str(row["family"]) for row in rows.values() if isinstance(row, dict) and "family" in row}


def _table(content: Any, where: str) -> dict[str, Any]:
    if not isinstance(content, dict):
        raise BrokenCatalog(f"{where} is not a table of rows")
    return content


def _document(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise BrokenCatalog(f"{path}: there is no such file") from None
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenCatalog(f"{path}: not a readable TOML catalog: {error}") from error


def _card(axis: str, name: str, row: Any, path: Path, families: Mapping[str, Mapping[str, Any]]) -> Any:
    card, where = CARDS[axis], f"{path}: [{axis}.{name}]"
    if axis != "adapters" and not NAME.fullmatch(name):
        allowed = "letters from A to Z, digits, spaces and . _ - + @ : /"
        raise BrokenCatalog(f"{where}: a name is of {allowed}, and begins with a letter or digit")
    values = _values(card, row, where)
    values = _of_family(values, families.get(values.get("family", ""), {}))
    given = {"name": name, "folder": str(path.parent), "file": str(path)}
    return _made(card, values | {f.name: given[f.name] for f in fields(card) if f.name in given}, where)


def _made(card: type[Any], values: Mapping[str, Any], where: str) -> Any:
    required = {f.name for f in fields(card) if f.default is MISSING and f.default_factory is MISSING}
    if missing := sorted(required - set(values)):
        raise BrokenCatalog(f"{where} lacks {missing[0]!r}")
    made = card(**values)
    if wrong := complaint(made):
        raise BrokenCatalog(f"{where}: {wrong}")
    return made


def _of_family(row: Mapping[str, Any], family: Mapping[str, Any]) -> dict[str, Any]:
    """The row and what its family says besides."""
    joined = {key: {**family.get(key, {}), **row.get(key, {})} for key in JOINED if key in family or key in row}
    return {**family, **row, **joined}


def _values(card: type[Any], row: Any, where: str) -> dict[str, Any]:
    """What a table says, by the card's keys; other keys are `options`, where the card has them."""
    if not isinstance(row, dict):
        raise BrokenCatalog(f"{where} is not a table")
    known = {f.name for f in fields(card) if f.metadata.get("key", True)}.difference(GIVEN)
    hints = get_type_hints(card)
    values = {key: checked(f"{where}: {key}", hints[key], row[key]) for key in row if key in known}
    others = {key: value for key, value in row.items() if key not in known}
    if others and "options" not in {f.name for f in fields(card)}:
        raise BrokenCatalog(f"{where} has an unknown key {sorted(others)[0]!r}; it may have {', '.join(sorted(known))}")
    return values | ({"options": others} if others else {})


def checked(where: str, hint: Any, value: Any) -> Any:
    """A key's value, as its card's type wants it: lists become tuples, tables in them what the type says.

    Raises:
        BrokenCatalog: it is of another type; `where` names file, row and key.
    """
    if get_origin(hint) is Literal:
        good, wanted = value in get_args(hint), f"one of {', '.join(get_args(hint))}"
    elif hint == tuple[tuple[str, ...], ...]:
        good = isinstance(value, list) and all(one and _are_texts(one) for one in value)
        wanted = "a list of lists of texts, none of them empty"
        value = tuple(map(tuple, value)) if good else value
    elif hint == tuple[int, ...]:
        good, wanted = isinstance(value, list) and all(type(one) is int for one in value), "a list of whole numbers"
        value = tuple(value) if good else value
    elif hint == tuple[float, ...]:
        good, wanted = isinstance(value, list) and bool(value), "a list of numbers, at least one"
        good = good and all(type(one) in (int, float) for one in value)
        value = tuple(value) if good else value
    elif tuple[str, ...] in (hint, *get_args(hint)):
        good, wanted = _are_texts(value), "a list of texts"
        value = tuple(value) if good else value
    elif get_origin(hint) is tuple and isinstance(of := get_args(hint)[0], type) and is_dataclass(of):
        good, wanted = isinstance(value, list) and bool(value), "a list of tables, at least one"
        value = tuple(_made(of, _values(of, one, where), where) for one in value) if good else value
    elif get_origin(hint) is Mapping:
        good, wanted = isinstance(value, dict), "a table"
    else:
        types = {str: (str,), bool: (bool,), int: (int,), float: (int, float)}[hint]
        words = {str: "a text", bool: "true or false", int: "a whole number", float: "a number"}
        good, wanted = type(value) in types, words[hint]
    if not good:
        raise BrokenCatalog(f"{where} is {value!r}; it must be {wanted}")
    return value


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(word, str) for word in value)
