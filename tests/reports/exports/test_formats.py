"""Each format read by a reader of its own, with text that would harm one."""

import csv
import io
import json
import re

import pytest
from markdown_it import MarkdownIt

from medrival.reports.exports.formats import FORMATS, SUFFIXES, as_csv, as_json, as_latex, as_markdown
from medrival.reports.exports.table import Cell, View

HOSTILE = (
    '=HYPERLINK("http://x","y")',
    "+1",
    "-2+3",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    "a;=1",
    "a\n=1",
    " =1",
    "\uff1d1",
    "a|b | c",
    "`code` **bold** _it_ [a](http://x) ![i](y) <b onclick=x> &lt; # ~~s~~ $x$ @who http://evil www.evil",
    '\\input{/etc/passwd} \\\\ ^^41 % & # $ _ { } ~ " -- --- ` < > |',
    "\x1b[31mred\x07 \u202eright to left\u2066",
    "[0.1] optional",
    "* starred",
    'quote " comma , end',
    "word " * 500,
    "\udcff lone",
)


def table(*rows: tuple[object, ...], columns: tuple[str, ...] = ("text", "value")) -> View:
    return View("results", columns, rows, "What it is: 95% of a_b")  # type: ignore[arg-type]  # rows of any values


def read_csv(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


def read_markdown(text: str) -> list[list[str]]:
    """The cells as a reader sees them, and proof that nothing but text and bold is in them."""
    tokens = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"]).parse(text)
    rows: list[list[str]] = []
    for number, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("th_open", "td_open"):
            children = tokens[number + 1].children or []
            assert {child.type for child in children} <= {"text", "text_special", "strong_open", "strong_close"}
            rows[-1].append("".join(child.content for child in children))
    assert not any(token.type == "html_block" for token in tokens)
    return rows


def balanced(latex: str) -> None:
    """Braces pair off, and no character is left that TeX would act upon, but our own commands."""
    depth = 0
    for found in re.finditer(r"\\.|[{}]", latex, re.DOTALL):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        assert depth >= 0
    assert depth == 0
    assert latex.count(r"\begin{") == latex.count(r"\end{") == 2


COMMANDS = {
    *("begin", "end", "centering", "caption", "label", "usepackage", "toprule", "midrule", "bottomrule", "par", "footnotesize"),
    *("textbf", "textsuperscript", "textbackslash", "textasciicircum", "textasciitilde", "textasciigrave"),
    *("textless", "textgreater", "textbar", "char"),
}


def test_csv_keeps_full_precision_and_nothing_where_there_is_nothing() -> None:
    text = as_csv(table((0.1 + 0.2, None), (3, True), (1e-17, Cell("skipped", note="no data"))))
    header, *rows = read_csv(text)
    assert header == ["text", "value"]
    assert rows == [["0.30000000000000004", ""], ["3", "true"], ["1e-17", "skipped: no data"]]


@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_of_csv_is_a_formula(text: str) -> None:
    _, (written, value) = read_csv(as_csv(table((text, -0.5))))
    for part in re.split(r"[;\t\n]", written):
        assert not re.match(r"\s*[=+\-@\uff1d\uff0b\uff0d\uff20]", part)
    assert all(char.isprintable() or char in "\n\t" for char in written)
    assert value == "-0.5"


def test_csv_leaves_other_text_as_it_is() -> None:
    for text in ("pocket-clip~pocket-medclip", "a - b", "n = 3; p = 0.1", "5 +/- 2", "é 是", 'say "x", y'):
        assert read_csv(as_csv(table((text, 1))))[1][0] == text


def test_names_of_columns_are_text_of_others_too() -> None:
    view = table((1, 2), columns=("=cmd", "a|<b>_{"))
    assert read_csv(as_csv(view))[0][0] == "'=cmd"
    assert read_markdown(as_markdown(view))[0] == ["=cmd", "a|<b>_{"]
    assert r"=cmd & a\textbar{}\textless{}b\textgreater{}\_\{ \\" in as_latex(view)


@pytest.mark.parametrize("text", HOSTILE)
def test_markdown_shows_text_as_text_in_its_own_cell(text: str) -> None:
    rows = read_markdown(as_markdown(table((text, -0.5))))
    assert len(rows) == 2
    shown, value = rows[1]
    expected = " ".join("".join(char if char.isprintable() else " " for char in text).split())
    shown = " ".join(shown.split())
    assert shown == expected if len(text) < 600 else expected.startswith(shown.removesuffix(" ..."))
    assert value == "-0.500"


def test_markdown_aligns_numbers_and_numbers_the_notes() -> None:
    view = table(
        (Cell("0.9 [0.8, 1.0]", best=True), 1),
        (Cell("failed", note="out of | memory"), 1234),
        (Cell("failed", note="x"), 0.0001),
    )
    text = as_markdown(view)
    assert "| --- | ---: |" in text
    assert read_markdown(text)[1:] == [["0.9 [0.8, 1.0]", "1"], ["failed (1)", "1,234"], ["failed (2)", "1.0e-04"]]
    assert text.endswith("\n1. out of \\| memory\n2. x\n")
    assert "What it is: 95% of a\\_b" in text


@pytest.mark.parametrize("text", HOSTILE)
def test_latex_is_balanced_and_holds_no_command_but_its_own(text: str) -> None:
    latex = as_latex(table((text, -0.5), (Cell("n/a", note=text), Cell(text, best=True))))
    balanced(latex)
    assert set(re.findall(r"\\([A-Za-z]+)", latex.replace("\\\\", ""))) <= COMMANDS
    body = latex.partition(r"\midrule")[2].partition(r"\bottomrule")[0].strip().splitlines()
    assert len(body) == 2
    for line in body:
        assert len(re.findall(r"(?<!\\)&", line)) == 1
        assert line.endswith(r" \\")
        assert not line.lstrip().startswith(("[", "*"))
        assert not re.search(r"(?<!\\)[%#$_^~]", line.replace("$-0.500$", ""))
    assert "$-0.500$" in body[0]


def test_latex_sets_dashes_and_brackets_as_they_are() -> None:
    assert r"a-{}-b -{}-{}- c-d & 0.9 [0.8, 1.0] \\" in as_latex(table(("a--b --- c-d", "0.9 [0.8, 1.0]")))


def test_json_holds_rows_by_column() -> None:
    told = json.loads(as_json(table((0.1 + 0.2, None), ("\udcff\x1b", Cell("skipped", note="no data")))))
    assert told["columns"] == ["text", "value"]
    assert told["rows"] == [{"text": 0.1 + 0.2, "value": None}, {"text": "\udcff\x1b", "value": "skipped: no data"}]
    assert as_json(table(("\x1b\u202e", 1))).isascii()


@pytest.mark.parametrize("name", FORMATS)
def test_a_view_without_rows_is_a_table_without_rows(name: str) -> None:
    assert FORMATS[name](table()).count("text") == 1
    assert set(SUFFIXES.values()) == set(FORMATS)
