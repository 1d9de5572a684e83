"""A view written as CSV and JSON, for programs, and as Markdown and LaTeX, to be read."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Mapping

from medrival.reports import escaping
from medrival.reports.exports.table import Cell, Value, View


def as_csv(view: View) -> str:
    """Full precision; texts are quoted, and one that a spreadsheet would compute begins with an apostrophe."""
    stream = io.StringIO()
    writer = csv.writer(stream, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(map(escaping.spreadsheet, view.columns))
    for row in view.rows:
        writer.writerow([escaping.spreadsheet(value) if isinstance(value, str) else value for value in map(_datum, row)])
    return stream.getvalue()


def as_json(view: View) -> str:
    """The view's name, caption and columns, and each row as an object."""
    rows = [dict(zip(view.columns, map(_plain, row), strict=True)) for row in view.rows]
    content = {"view": view.name, "caption": view.caption, "columns": view.columns, "rows": rows}
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def as_markdown(view: View) -> str:
    """A table as GitHub reads it, with the caption and notes below."""
    notes = _numbered(view)
    lines = [_piped(map(escaping.markdown, view.columns)), _piped("---:" if right else "---" for right in _numeric(view))]
    lines += [_piped(_in_markdown(value, notes) for value in row) for row in view.rows]
    lines += ["", escaping.markdown(view.caption, len(view.caption))]
    lines += ["", *(f"{number}. {escaping.markdown(note)}" for note, number in notes.items())] if notes else []
    return "\n".join(lines) + "\n"


def as_latex(view: View) -> str:
    """A table with the rules of booktabs."""
    notes = _numbered(view)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{escaping.latex(view.caption, len(view.caption))}}}",
        rf"\label{{tab:medrival-{view.name}}}",
        rf"\begin{{tabular}}{{{''.join('r' if right else 'l' for right in _numeric(view))}}}",
        r"\toprule",
        _set(map(escaping.latex, view.columns)),
        r"\midrule",
        *(_set(_in_latex(value, notes) for value in row) for row in view.rows),
        r"\bottomrule",
        r"\end{tabular}",
        *(rf"\par\footnotesize\textsuperscript{{{number}}} {escaping.latex(note)}" for note, number in notes.items()),
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


FORMATS: Mapping[str, Callable[[View], str]] = {
    "markdown": as_markdown,
    "csv": as_csv,
    "latex": as_latex,
    "json": as_json,
}

SUFFIXES: Mapping[str, str] = {".md": "markdown", ".csv": "csv", ".tex": "latex", ".json": "json"}
"""The format that a file's name asks for."""


def _plain(value: Value) -> str | float | None:
    return value.whole if isinstance(value, Cell) else value


def _datum(value: Value) -> str | float | None:
    """As CSV has it: numbers as they are, nothing where there is nothing."""
    return ("true" if value else "false") if isinstance(value, bool) else _plain(value)


def _numeric(view: View) -> list[bool]:
    """Of each column, whether it holds numbers."""
    columns = [[value for value in column if value is not None] for column in zip(*view.rows, strict=True)]
    return [bool(held) and all(map(_is_number, held)) for held in columns] or [False] * len(view.columns)


def _is_number(value: Value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _numbered(view: View) -> dict[str, int]:
    """The notes of the cells, each with a number."""
    notes = dict.fromkeys(value.note for row in view.rows for value in row if isinstance(value, Cell) and value.note)
    return {note: number for number, note in enumerate(notes, 1)}


def _in_markdown(value: Value, notes: Mapping[str, int]) -> str:
    text = escaping.markdown(_said(value))
    if isinstance(value, Cell):
        text = f"**{text}**" if value.best else text
        return f"{text} ({notes[value.note]})" if value.note else text
    return text


def _in_latex(value: Value, notes: Mapping[str, int]) -> str:
    text = escaping.latex(_said(value))
    if isinstance(value, Cell):
        text = rf"\textbf{{{text}}}" if value.best else text
        return rf"{text}\textsuperscript{{{notes[value.note]}}}" if value.note else text
    return f"${text}$" if _is_number(value) and text.startswith("-") else text


def _said(value: Value) -> str:
    """Three decimals, and more digits for what these cannot show."""
    if isinstance(value, Cell):
        return value.text
    if value is None or isinstance(value, bool):
        return "" if value is None else "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.1e}" if 0 < abs(value) < 0.0005 else f"{value:,.3f}"
    return f"{value:,}" if isinstance(value, int) else value


def _piped(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _set(cells: Iterable[str]) -> str:
    """A row; a bracket or a star at its beginning would belong to the end of the row before."""
    text = " & ".join(cells)
    return ("{}" if text.lstrip().startswith(("[", "*")) else "") + text + r" \\"
