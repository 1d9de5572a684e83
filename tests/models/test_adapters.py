"""An adapter of a family is short: what it alone needs is 30 lines, and what it shares serves other families, too."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from medrival import catalog

MODELS = Path(__file__).parents[2] / "models"
LIBRARIES = {
    *("medrival.models.dual_encoder:transformers", "medrival.models.generator:transformers"),
    *("medrival.models.open_clip:open_clip", "medrival.models.served:openai"),
}
"""Adapters of whatever a library or an endpoint offers, of many families each."""
FAMILIES = sorted({model.adapter for model in catalog.load().models.values()} - LIBRARIES)
GENERAL = {("own_layout", "split"), ("own_layout", "filled")}
"""What a single family calls today, and any could: a file that holds several networks, a module that is no transformers'."""

Name = tuple[str, str]
"""Module and name of a function, class or constant."""


@pytest.fixture(scope="module")
def modules() -> dict[str, tuple[str, ast.Module]]:
    sources = {path.stem: path.read_text(encoding="utf-8") for path in MODELS.glob("*.py")}
    return {name: (source, ast.parse(source)) for name, source in sources.items()}


@pytest.fixture(scope="module")
def needs(modules) -> dict[str, set[Name]]:
    return {adapter: reached(modules, start(adapter)) for adapter in {*FAMILIES, *LIBRARIES}}


def defined(tree: ast.Module) -> Iterator[tuple[str, ast.stmt]]:
    for node in tree.body:
        match node:
            case ast.FunctionDef(name=name) | ast.ClassDef(name=name) | ast.AnnAssign(target=ast.Name(id=name)):
                yield name, node
            case ast.Assign(targets=[target]):
                yield from ((part.id, node) for part in ast.walk(target) if isinstance(part, ast.Name))


def reached(modules: Mapping[str, tuple[str, ast.Module]], start: Name) -> set[Name]:
    """What of models/ an adapter uses, by itself or through what it uses."""
    nodes = {(module, name): node for module, (_, tree) in modules.items() for name, node in defined(tree)}
    borrowed = {
        (module, alias.asname or alias.name): (str(node.module).rpartition(".")[2], alias.name)
        for module, (_, tree) in modules.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("medrival.models.")
        for alias in node.names
    }
    found, waiting = set(), [start]
    while waiting:
        one = waiting.pop()
        one = borrowed.get(one, one)
        if one in nodes and one not in found:
            found.add(one)
            waiting += [(one[0], part.id) for part in ast.walk(nodes[one]) if isinstance(part, ast.Name)]
    return found


def lines(source: str, nodes: list[ast.stmt]) -> int:
    """Lines of some definitions, without imports, docstrings, comments and blank lines."""
    counted = {number for node in nodes for number in range(node.lineno, (node.end_lineno or 0) + 1)}
    for node in (part for one in nodes for part in ast.walk(one)):
        text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if text or isinstance(node, ast.Import | ast.ImportFrom):
            counted -= set(range(node.lineno, (node.end_lineno or 0) + 1))
    written = source.splitlines()
    return sum(bool(line) and not line.startswith("#") for line in (written[number - 1].strip() for number in counted))


def start(adapter: str) -> Name:
    module, _, name = adapter.removeprefix("medrival.models.").partition(":")
    return module, name


@pytest.mark.parametrize("adapter", FAMILIES)
def test_what_a_family_alone_needs_is_at_most_30_lines_wherever_it_stands(modules, needs, adapter):
    alone = needs[adapter].difference(GENERAL, *(needs[other] for other in needs.keys() - {adapter}))
    assert start(adapter) in alone
    count = sum(
        lines(source, [node for name, node in defined(tree) if (module, name) in alone])
        for module, (source, tree) in modules.items()
    )
    assert count <= 30, f"{adapter} has {count} lines of its own: {sorted(alone)}"


def test_constants_helpers_and_what_helpers_use_are_counted_and_words_for_readers_are_not():
    shared = ast.parse("def used():\n    pass\n")
    source = '''
from medrival.models.shared import used

SIZE, MEAN = 224, 0.5
"""Of what."""


def mine(card):
    """A docstring.

    Of several lines.
    """
    from somewhere import thing

    # a comment
    return used(
        helper(thing), SIZE
    )


def helper(thing):
    return thing


def others():
    return 0
'''
    known = {"mine": (source, ast.parse(source)), "shared": ("", shared)}
    found = reached(known, ("mine", "mine"))
    assert found == {*(("mine", name) for name in ("mine", "helper", "SIZE", "MEAN")), ("shared", "used")}
    assert lines(source, [node for name, node in defined(known["mine"][1]) if ("mine", name) in found]) == 1 + 4 + 2
