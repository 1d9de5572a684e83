"""Suites to read: what each selects, by the globs of its row or by name."""

from __future__ import annotations

from collections.abc import Collection

from medrival.cards import SuiteCard
from medrival.catalog import Catalog
from medrival.tables.layout import claims, columns, text

HEADER = ("name", "margin")
LEGEND = (
    "margin: the difference in a pair's metric that counts as none.",
    "All that one selects, by name: python -m medrival suites NAME",
)
AXES = ("models", "tasks", "regimes")


def overview(cards: Collection[SuiteCard]) -> list[str]:
    """A table of suites in their order; below each what it selects."""
    told = ([f"{axis}: {text(getattr(card, axis))}" for axis in AXES] for card in cards)
    return columns(HEADER, [((card.name, f"{card.margin:g}"), said) for card, said in zip(cards, told, strict=True)], LEGEND)


def whole(card: SuiteCard, known: Catalog) -> list[str]:
    """Everything that a suite's row says, with the names that its globs mean.

    Raises:
        UnknownName: one of them means nothing.
    """
    chosen = {axis: [one.name for one in known.select(axis, getattr(card, axis))] for axis in AXES}
    shown = [(axis, f"{len(names)}: {text(names)}") for axis, names in chosen.items()]
    return claims(card.name, [*shown, ("margin", f"{card.margin:g}")])
