"""Budgets of regimes: those of several files put together, and each held against what the functions that it is for read."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, get_args, get_type_hints

from medrival.cards import RegimeCard
from medrival.contracts import ModelType
from medrival.errors import BrokenCatalog
from medrival.regimes.budgets import ONE_OF, READ
from medrival.rows import checked
from medrival.sense import hint

ITSELF: Mapping[str, type] = {"seeded": bool}
"""What the engine reads of any budget."""
MAY_BE_NONE = ("patience",)
"""Whole numbers of which 0 says that it is not done."""
SHARES = ("dropout", "ratio", "warmup")
POSITIVE = ("l2_strengths", "learning_rate", "learning_rates", "max_grad_norm")


def regimes(files: Iterable[Mapping[str, RegimeCard]]) -> list[RegimeCard]:
    """The regimes of some files, of rows of one name the last, with the numbers of their budgets.

    A row that names no function adds its budgets to the row of that name of the files before.

    Raises:
        BrokenCatalog: there is no such row, a budget has no numbers, or they are not what is read; naming file, budget and key.
    """
    known: dict[str, RegimeCard] = {}
    for cards in files:
        known |= {name: _joined(card, known) if card.adds else card for name, card in cards.items()}
    return [replace(regime, budgets=dict(_with_numbers(regime, known))) for regime in known.values()]


def _joined(card: RegimeCard, known: Mapping[str, RegimeCard]) -> RegimeCard:
    where = f"{card.file}: [regimes.{card.name}] names no function under diagnosis or vqa"
    if card != RegimeCard(card.name, file=card.file, budgets=card.budgets):
        raise BrokenCatalog(f"{where}; it must, or have nothing but budgets, which the regime of that name then has too")
    if card.name not in known:
        raise BrokenCatalog(f"{where}, and there is no such regime to add its budgets to.{hint(card.name, known)}")
    own = known[card.name]
    return replace(own, budgets={**own.budgets, **card.budgets}, added={**own.added, **dict.fromkeys(card.budgets, card.file)})


def _with_numbers(regime: RegimeCard, known: Mapping[str, RegimeCard]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """By name, with another's numbers where that one's name stands for them."""
    as_written: Mapping[str, Any] = regime.budgets
    if not as_written:
        _check(f"{regime.file}: regime {regime.name!r} without a budget", regime, {})
    for name, said in as_written.items():
        shared = isinstance(said, str)
        numbers = known[said].budgets.get(name) if shared and said in known else said
        where = f"{regime.added.get(name, regime.file)}: regime {regime.name!r}: budget {name!r}"
        if not isinstance(numbers, Mapping):
            raise BrokenCatalog(f"{where} is {said!r}; it must be a table, or the name of a regime that has such a table")
        _check(where, regime, numbers, shared=shared)
        yield name, numbers


def _check(where: str, regime: RegimeCard, numbers: Mapping[str, Any], *, shared: bool = False) -> None:
    """Refuse what nothing reads, what is lacking, and what is of another type.

    Args:
        shared: whether it is written for another regime, and may have numbers for types of models that this one does not adapt.
    """
    functions = [(of, place) for places in (regime.diagnosis, regime.vqa) for of, place in places.items()]
    own = {key: value for key, value in numbers.items() if isinstance(value, Mapping)}
    common = {key: value for key, value in numbers.items() if key not in own}
    types = get_args(ModelType) if shared else tuple(dict.fromkeys(of for of, _ in functions))
    if strange := [key for key in own if key not in types]:
        raise BrokenCatalog(f"{where} has a table {strange[0]!r}; it may have one for {', '.join(types)}")
    given = {of: {**common, **own.get(of, {})} for of, _ in functions if common or not own or of in own}
    read = [(of, _read(place, given[of])) for of, place in functions if of in given]
    for table, said in (("", common), *own.items()):
        _refuse_unread(where, said, [keys for of, keys in read if table in ("", of)])
    for of, keys in read:
        if keys is not None:
            _refuse_wrong(where, of, given[of], keys)


def _read(place: str, said: Mapping[str, Any]) -> Any:
    """The keys that a function reads, of several sets those closest to what is said; None where they are not known."""
    return max(READ.get(place, ()), key=lambda one: len(said.keys() & get_type_hints(one).keys()), default=None)


def _refuse_unread(where: str, said: Mapping[str, Any], read: Sequence[Any]) -> None:
    if not read or None in read:
        return
    readable = {key for keys in read for key in get_type_hints(keys)}
    for key in said:
        if key not in readable and key not in ITSELF:
            may = f"it may have {', '.join(sorted(readable))}" if readable else "this regime reads none"
            raise BrokenCatalog(f"{where} has an unknown key {key!r}; {may}.{hint(key, readable, 1)}")


def _refuse_wrong(where: str, of: str, said: Mapping[str, Any], keys: Any) -> None:
    if lacking := sorted(keys.__required_keys__ - said.keys()):
        raise BrokenCatalog(
            f"{where} lacks {lacking[0]!r} for a {of}; it must have {', '.join(sorted(keys.__required_keys__))}"
        )
    hints = get_type_hints(keys)
    if ONE_OF[0] in hints and len(there := [key for key in ONE_OF if key in said]) != 1:
        has = " and ".join(map(repr, there)) or "neither"
        raise BrokenCatalog(f"{where} has {has} for a {of}; it must have one of {' and '.join(ONE_OF)}")
    for key, value in said.items():
        if key in {**hints, **ITSELF}:
            checked(f"{where}: {key}", {**hints, **ITSELF}[key], value)
            whole = hints.get(key) is int and key not in MAY_BE_NONE
            _refuse_out_of_range(f"{where}: {key}", key, value, least=1 if whole else 0)


def _refuse_out_of_range(where: str, key: str, value: Any, least: int) -> None:
    """Of numbers those below `least`, those that are not finite, shares above 1, and 0 where nothing would happen."""
    for number in value if isinstance(value, (list, tuple)) else [value]:
        if not isinstance(number, (int, float)):
            continue
        if not (math.isfinite(number) and number >= least):
            raise BrokenCatalog(f"{where} is {value!r}; it must be finite and at least {least}")
        if key in SHARES and number > 1:
            raise BrokenCatalog(f"{where} is {value!r}; it is a share and must be at most 1")
        if key in POSITIVE and number == 0:
            raise BrokenCatalog(f"{where} is {value!r}; it must be above 0")
