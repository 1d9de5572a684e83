"""The axis of regimes to read: what each does to which models, and with which numbers."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from medrival.cards import RegimeCard
from medrival.tables.layout import claims, columns, text

HEADER = ("name", "diagnosis", "vqa", "adapts", "budgets")
LEGEND = (
    "diagnosis, vqa: the types of models that it adapts to this kind of task; below, an engine is a generator under --backend. "
    "adapts: whether it changes anything. budgets: "
    "the names by which a model's row, or --budget, chooses its numbers; none where it has no numbers to choose.",
    "All of a row, with the numbers of each budget: python -m medrival regimes NAME",
)


def overview(cards: Sequence[RegimeCard]) -> list[str]:
    """A table of regimes in their order; below each, or the last of those that differ in shots alone, what it does."""
    told = [_told(card) for card in cards]
    once = [[] if mine == later else mine for mine, later in zip(told, [*told[1:], None], strict=True)]
    return columns(HEADER, list(zip(map(_cells, cards), once, strict=True)), LEGEND)


def whole(card: RegimeCard) -> list[str]:
    """Everything that a regime's row says, and each budget as a type of model is given it."""
    return claims(card.name, _claims(card))


def _cells(card: RegimeCard) -> Sequence[str]:
    kinds = [", ".join(types[0] for types, _ in _alike(runners)) or "-" for runners in (card.diagnosis, card.vqa)]
    return (card.name, *kinds, "yes" if card.adapts else "no", ", ".join(card.budgets) or "-")


def _told(card: RegimeCard) -> list[str]:
    """What it does to models of each type, and where it is from."""
    runners = [*_alike(card.diagnosis), *_alike(card.vqa)]
    does = [f"{', '.join(types)}: {said(place)}" for types, place in runners if said(place)]
    return [*does, *([f"source: {card.source}"] if card.source else [])]


def _claims(card: RegimeCard) -> Iterator[tuple[str, str]]:
    for kind, runners in (("diagnosis", card.diagnosis), ("vqa", card.vqa)):
        for alike, place in _alike(runners):
            yield kind, f"{', '.join(alike)}: {said(place)} [{place}]"
    yield "adapts", "yes" if card.adapts else "no: nothing is trained"
    yield "seeded", "yes" if card.seeded else "no: one seed is as good as another"
    if card.findings:
        yield "findings", "yes: it fits independent findings, too"
    if card.dtype:
        yield "dtype", card.dtype
    if card.shots:
        yield "shots", f"{text(card.shots)}: samples a class, or solved questions"
    if card.source:
        yield "source", card.source
    for name in card.budgets:
        for types, numbers in _numbers(card, name):
            yield f"budget {name}", f"{types}: {numbers}"


def _alike(runners: Mapping[str, str]) -> list[tuple[list[str], str]]:
    """The types of models that one function adapts, and the function."""
    types: dict[str, list[str]] = {}
    for model_type, place in runners.items():
        types.setdefault(place, []).append(model_type)
    return [(alike, place) for place, alike in types.items()]


def _numbers(card: RegimeCard, budget: str) -> Iterator[tuple[str, str]]:
    """The types of model that are given the same numbers, and these."""
    types: dict[str, list[str]] = {}
    for model_type in dict.fromkeys((*card.diagnosis, *card.vqa)):
        given = card.given(budget, model_type)  # type: ignore[arg-type]  # the keys of a row that was read are types of models
        seeded = {} if given.seeded == card.seeded else {"seeded": given.seeded}
        types.setdefault(_listed({**given.budget, **seeded}), []).append(model_type)
    return ((", ".join(alike), numbers or "nothing") for numbers, alike in types.items())


def _listed(numbers: Mapping[str, Any]) -> str:
    return ", ".join(f"{key} = {_value(value)}" for key, value in numbers.items())


def _value(value: Any) -> str:
    """As TOML has it, so that it can be copied into a row."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, bool):
        return str(value).lower()
    return f'"{value}"' if isinstance(value, str) else f"{value:g}"


def said(place: str) -> str:
    """The first line of what a "module:function" says of itself, "" where it cannot be read; without importing torch."""
    module, _, name = place.partition(":")
    return _documented(module).get(name, "")


@cache
def _documented(module: str) -> Mapping[str, str]:
    try:
        found = find_spec(module)
        tree = ast.parse(Path(found.origin).read_bytes() if found and found.origin else b"")
    except (ImportError, ValueError, OSError, SyntaxError):
        return {}
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return {one.name: (ast.get_docstring(one) or "").partition("\n")[0] for one in functions}
