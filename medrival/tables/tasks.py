"""The axis of tasks to read: a few lines each, or one row claim by claim."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import fields

from medrival.cards import TaskCard
from medrival.tables.layout import claims, columns, text

HEADER = ("name", "kind", "modality", "train", "validation", "test", "licence")
LEGEND = (
    "train, validation, test: published numbers of samples; what is not there is cut, or not known. DIR is that of --assets.",
    "All of a row: python -m medrival tasks NAME. The layouts of the files: docs/data.md",
)


def overview(cards: Collection[TaskCard]) -> list[str]:
    """A table of tasks in their order; below a task where its data is looked for and where to get it."""
    return columns(HEADER, [(_cells(card), [_where(card)]) for card in cards], LEGEND)


def whole(card: TaskCard) -> list[str]:
    """Everything that a task's row says."""
    said = {field.name: getattr(card, field.name) for field in fields(card) if field.name not in ("name", "folder", "options")}
    shown = {key: text(value) for key, value in {**said, **card.options}.items() if value not in ("", False, {})}
    return claims(card.name, shown.items())


def _cells(card: TaskCard) -> Sequence[str]:
    sizes = [f"{card.sizes[split]:,}" if split in card.sizes else "-" for split in ("train", "validation", "test")]
    return (card.name, card.kind, card.modality, *sizes, card.licence or "?")


def _where(card: TaskCard) -> str:
    whole = f"{card.sizes['all']:,} in all" if "all" in card.sizes else ""
    place = f"in DIR/datasets/{card.where}" if card.where else ""
    access = f"gated: ask at {card.access}" if card.gated else card.access
    return "; ".join(filter(None, [whole, f"for tests alone: {card.test_only}" if card.test_only else "", place, access]))
