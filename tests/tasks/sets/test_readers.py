"""How long the readers of data sets are: a new schema takes at most 25 lines."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

SETS = Path(__file__).parents[3] / "tasks" / "sets"
MOST = 25


def readers() -> dict[str, int]:
    """Lines of each loader and of the functions of its module that it needs, but for docstrings, comments and empty lines."""
    return {f"{path.stem}:{name}": count for path in SETS.glob("*.py") for name, count in in_module(path.read_text()).items()}


def in_module(source: str) -> dict[str, int]:
    functions = {one.name: one for one in ast.parse(source).body if isinstance(one, ast.FunctionDef)}
    return {
        name: sum(lines(functions[one], source) for one in needed(name, functions))
        for name, function in functions.items()
        if any("dataset" in ast.unparse(decorator) for decorator in function.decorator_list)
    }


def needed(name: str, functions: dict[str, ast.FunctionDef]) -> set[str]:
    """A function and those it names, and those that they name."""
    found, left = set(), [name]
    while left:
        found.add(here := left.pop())
        named = {node.id for node in ast.walk(functions[here]) if isinstance(node, ast.Name)}
        left += sorted((named & set(functions)) - found)
    return found


def lines(function: ast.FunctionDef, source: str) -> int:
    first = min(one.lineno for one in (function, *function.decorator_list))
    spoken = function.body[0] if ast.get_docstring(function) else None
    told = range(spoken.lineno, spoken.end_lineno + 1) if spoken else range(0)
    text = source.splitlines()
    code = (text[number - 1].strip() for number in range(first, function.end_lineno + 1) if number not in told)
    return sum(bool(line) and not line.startswith("#") for line in code)


@pytest.mark.parametrize(("reader", "count"), readers().items())
def test_a_schema_takes_at_most_25_lines(reader, count):
    assert count <= MOST, reader


def test_lines_of_helpers_count_and_those_of_docstrings_and_comments_do_not():
    source = '''
@dataset("key")
def rows(card):
    """Told.

    At length.
    """
    # why
    for row in card:

        yield helper(row)


def helper(row):
    return row


def other(row):
    return row
'''
    assert in_module(source) == {"rows": 4 + 2}
