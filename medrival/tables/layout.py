"""How rows are laid out in a terminal: in columns, or claim by claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from textwrap import wrap
from typing import Any

WIDTH = 100


def columns(
    header: Sequence[str], rows: Sequence[tuple[Sequence[str], Sequence[str]]], legend: Iterable[str] = ()
) -> list[str]:
    """Cells in columns, below each line of them what else is to be said, and below all what the header means."""
    cells = [header, *(line for line, _ in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(header))]
    first, *others = ["  ".join(one.ljust(width) for one, width in zip(line, widths, strict=True)).rstrip() for line in cells]
    below = [[line for text in told for line in folded(f"    {text}", indent=4)] for _, told in rows]
    table = [first, *(line for row, told in zip(others, below, strict=True) for line in (row, *told))]
    meaning = [line for text in legend for line in folded(text, indent=0)]
    return [*table, "", *meaning] if meaning else table


def claims(name: str, said: Iterable[tuple[str, str]]) -> list[str]:
    """A name, and below it keys in one column and what is claimed under each in another."""
    known = list(said)
    width = max((len(key) for key, _ in known), default=0)
    return [name, *(line for key, text in known for line in folded(f"  {key:<{width}}  {text}", indent=width + 4))]


def text(claim: Any) -> str:
    """A value of a catalog row, as one line."""
    if isinstance(claim, tuple | list):
        return ", ".join(map(text, claim))
    if isinstance(claim, dict):
        return ", ".join(f"{key} = {text(value)}" for key, value in claim.items())
    return "yes" if claim is True else " ".join(str(claim).split())


def folded(line: str, indent: int) -> list[str]:
    """The line in as many as fit, all but the first indented."""
    return wrap(line, WIDTH, subsequent_indent=" " * indent, break_long_words=False, break_on_hyphens=False)
