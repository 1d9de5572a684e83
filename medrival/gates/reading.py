"""Reads a gate file: TOML with one [[gate]] a rule."""

from __future__ import annotations

import difflib
import math
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal, get_args

from medrival.case import Cost
from medrival.errors import BrokenGates
from medrival.gates.judgement import Side
from medrival.gates.margins import Margin
from medrival.gates.rules import (
    CostBound,
    MaxLeakage,
    MetricBound,
    NoRegression,
    NotWorseThan,
    Required,
    Rule,
    SubgroupGap,
    VerdictIn,
)
from medrival.statistics import Verdict

About = Literal["cases", "pairs", "tasks", "required"]


@dataclass(frozen=True)
class Gate:
    """A rule that cases, pairs or tasks must meet, or the run fails.

    Attributes:
        where: its file and name, for messages.
        about: what the globs name: cases, pairs, tasks, or cases and pairs that must have been measured ("required").
        globs: over ids.
        lenient: whether an inconclusive judgement lets the run pass.
    """

    where: str
    name: str
    about: About
    globs: tuple[str, ...]
    rule: Rule
    lenient: bool = False


def read(*paths: Path) -> tuple[Gate, ...]:
    """The gates of all files, in their order.

    Raises:
        BrokenGates: naming file, gate and key, and what the key may be; a name that two gates have.
    """
    gates: dict[str, Gate] = {}
    for gate in (gate for path in paths for gate in _gates(path)):
        if known := gates.get(gate.name):
            raise BrokenGates(f"{gate.where} is a second gate of that name beside {known.where}; give each a name of its own")
        gates[gate.name] = gate
    return tuple(gates.values())


def _gates(path: Path) -> Iterable[Gate]:
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors put a byte order mark
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BrokenGates(f"--gate {path}: not a readable TOML file: {error}") from error
    rows = document.pop("gate", [])
    if document:
        raise BrokenGates(f"{path}: unknown key {sorted(document)[0]!r}; a gate file has [[gate]] tables alone")
    if not isinstance(rows, list) or not rows or not all(isinstance(row, dict) for row in rows):
        raise BrokenGates(f"{path}: it holds no gate; write each as a [[gate]] table")
    return [_gate(Table(f"{path}: gate {number}", row)) for number, row in enumerate(rows, 1)]


@dataclass
class Table:
    """A TOML table whose keys are taken out one by one, each checked; what is left over is a mistake."""

    where: str
    row: dict[str, Any]

    def text(self, key: str, default: str | None = None) -> str:
        """A text that is not empty; required where it has no default."""
        value = self._take(key, default)
        good = isinstance(value, str) and (value != "" or value == default)
        return str(self._checked(key, value, good, "a text"))

    def one_of(self, key: str, words: Iterable[str], default: str | None = None) -> str:
        """One of few words."""
        value = self.text(key, default)
        return str(self._checked(key, value, value in words, f"one of {', '.join(words)}"))

    def texts(self, key: str) -> tuple[str, ...]:
        """A text or a list of texts, at least one."""
        value = self._take(key, None)
        words = [value] if isinstance(value, str) else value
        good = isinstance(words, list) and bool(words) and all(isinstance(word, str) and word for word in words)
        return tuple(self._checked(key, words, good, "a text or a list of texts"))

    def number(self, key: str, low: float = -math.inf, high: float = math.inf, default: float | None = None) -> float:
        """A number between two others, neither of them included."""
        value = self._take(key, default)
        good = type(value) in (int, float) and low < value < high
        between = "" if math.isinf(low) else f" above {low:g}" if math.isinf(high) else f" between {low:g} and {high:g}"
        return float(self._checked(key, value, good, f"a number{between}"))

    def table(self, key: str) -> Table:
        """A table in this one."""
        value = self._take(key, None)
        return Table(f"{self.where}: {key}", dict(self._checked(key, value, isinstance(value, dict), "a table { ... }")))

    def end(self, known: Iterable[str]) -> None:
        """Nothing is left over.

        Raises:
            BrokenGates: for the first key that is.
        """
        if self.row:
            key, known = next(iter(self.row)), tuple(known)
            near = difflib.get_close_matches(key, known, n=1)
            hint = f" Did you mean {near[0]!r}?" if near else ""
            raise BrokenGates(f"{self.where}: the key {key!r} has no place here.{hint} There may be {', '.join(known)}")

    def _take(self, key: str, default: Any) -> Any:
        value = self.row.pop(key, default)
        if value is None:
            raise BrokenGates(f"{self.where} lacks {key!r}")
        return value

    def _checked(self, key: str, value: Any, good: bool, wanted: str) -> Any:
        if not good:
            raise BrokenGates(f"{self.where}: {key} is {value!r}; it must be {wanted}")
        return value


def _gate(table: Table) -> Gate:
    name = table.text("name")
    table.where += f" {name!r}"
    found = [key for key in RULES if key in table.row]
    if len(found) != 1:
        mistake = f"has {len(found)} rules ({', '.join(found)})" if found else "has no rule"
        raise BrokenGates(f"{table.where} {mistake}; write one of {', '.join(RULES)} into each [[gate]]")
    about, parse, keys = RULES[found[0]]
    globs = table.texts(about)
    lenient = "inconclusive" in keys and table.one_of("inconclusive", ("fail", "pass"), "fail") == "pass"
    rule = parse(table)
    table.end(dict.fromkeys(("name", about, found[0], *keys)))
    return Gate(table.where, name, about, globs, rule, lenient)


def _at(side: Side) -> Callable[[Table], Rule]:
    def bound(table: Table) -> Rule:
        value = table.number(f"at-{side}")
        if "cost" in table.row and "metric" in table.row:
            raise BrokenGates(f"{table.where}: metric and cost exclude each other; give each a [[gate]] of its own")
        if "cost" not in table.row:
            return MetricBound(table.text("metric", ""), value, side)
        return CostBound(table.one_of("cost", [field.name for field in fields(Cost)]), value, side)

    return bound


def _margin(table: Table) -> Margin:
    return Margin(table.number("margin", 0), table.number("confidence", 0.5, 1, 0.95))


def _not_worse_than(table: Table) -> Rule:
    rival = table.table("not-worse-than")
    model, regime, margin = rival.text("model"), rival.text("regime", ""), _margin(rival)
    rival.end(("model", "regime", "margin", "confidence"))
    return NotWorseThan(table.text("metric", ""), model, regime, margin)


def _no_regression(table: Table) -> Rule:
    table.one_of("no-regression-from", ("baseline",))
    return NoRegression(table.text("metric", ""), _margin(table))


def _subgroup_gap(table: Table) -> Rule:
    gap = table.table("subgroup-gap")
    rule = SubgroupGap(gap.text("attribute"), gap.number("at-most", 0))
    gap.end(("attribute", "at-most"))
    return rule


def _verdict(table: Table) -> Rule:
    words, known = table.texts("verdict"), get_args(Verdict)
    if wrong := sorted(set(words) - set(known)):
        raise BrokenGates(f"{table.where}: unknown verdict {wrong[0]!r}; there are {', '.join(known)}")
    return VerdictIn(tuple(verdict for verdict in known if verdict in words))


def _max_leakage(table: Table) -> Rule:
    share = table.number("max-leakage")
    if not 0 <= share < 1:
        raise BrokenGates(f"{table.where}: max-leakage is {share:g}; it must be a share of at least 0 and below 1")
    return MaxLeakage(share)


RULES: Mapping[str, tuple[About, Callable[[Table], Rule], tuple[str, ...]]] = {
    "at-least": ("cases", _at("least"), ("metric", "cost", "inconclusive")),
    "at-most": ("cases", _at("most"), ("metric", "cost", "inconclusive")),
    "not-worse-than": ("cases", _not_worse_than, ("metric", "inconclusive")),
    "no-regression-from": ("cases", _no_regression, ("metric", "margin", "confidence", "inconclusive")),
    "subgroup-gap": ("cases", _subgroup_gap, ("inconclusive",)),
    "verdict": ("pairs", _verdict, ("inconclusive",)),
    "max-leakage": ("tasks", _max_leakage, ()),
    "required": ("required", lambda _: Required(), ()),
}
"""By the key that names a rule: what it is about, how it is read, and which keys go with it."""
