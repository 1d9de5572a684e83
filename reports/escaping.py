"""Text that came from data, models, files or users, made inert in Markdown, in LaTeX and in a spreadsheet."""

from __future__ import annotations

import re

from medrival.reports.figures import visible

LETTERS = 600
"""Characters of a text that stands in a table to be read; as data it is whole."""

MARKUP = re.compile(r"([\\`*_\[\]<>|~&#$@]|(?<=[A-Za-z]):(?=//)|(?<=[wW]{3})\.)")
"""Also what GitHub makes a link, a formula or a mention of."""

TEX = {
    "\\": r"\textbackslash{}",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "`": r"\textasciigrave{}",
    '"': r"\char34{}",  # babel gives the character itself a meaning in some languages
    "-": "-{}",  # else two of them are a dash
    **{char: f"\\{char}" for char in "{}$&#_%"},
}

FORMULA = re.compile(r"((?:^|[;\t\n])\s*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
"""Where a cell begins that a spreadsheet would compute; some begin a new one at a semicolon."""


def clipped(text: str, letters: int = LETTERS) -> str:
    """At most so many characters, in one line."""
    text = visible(text)
    return text if len(text) <= letters else text[: letters - 4] + " ..."


def markdown(text: str, letters: int = LETTERS) -> str:
    """What Markdown and HTML show as this text."""
    return MARKUP.sub(r"\\\1", clipped(text, letters))


def latex(text: str, letters: int = LETTERS) -> str:
    """What LaTeX sets as this text."""
    return re.sub(r"-\{\}(?!-)", "-", "".join(TEX.get(char, char) for char in clipped(text, letters)))


def spreadsheet(text: str) -> str:
    """The text with an apostrophe where a formula would begin, which spreadsheets take for "this is text"."""
    text = "".join(char if char.isprintable() or char in "\n\t" else " " for char in text)
    return FORMULA.sub(r"\1'", text)
