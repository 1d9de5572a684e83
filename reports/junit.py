"""Metrics, audits and gates as properties of a test case in the file that --junitxml names.

pytest writes a test's properties whatever `junit_family` is; only xunit1 has a place for them in its schema.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from medrival.case import Comparison, Outcome
from medrival.gates import Judgement
from medrival.integrity import Audit


def properties(measured: Outcome | Comparison | Audit, judged: Iterable[Judgement]) -> list[tuple[str, str]]:
    """Names and values, all texts: a numpy scalar among them would end an xdist session."""
    if isinstance(measured, Audit):
        found: Iterable[tuple[str, Any]] = [("leakage", measured.leakage.share)]
    else:
        found = _of_pair(measured) if isinstance(measured, Comparison) else _of_case(measured)
    gates = ((f"gate {judgement.name}", f"{judgement.status}: {judgement.explanation}") for judgement in judged)
    return [*((name, _text(value)) for name, value in found), *gates]


def _of_case(outcome: Outcome) -> Iterator[tuple[str, Any]]:
    for name, estimate in outcome.metrics.items():
        yield from _interval(name, vars(estimate))


def _of_pair(comparison: Comparison) -> Iterator[tuple[str, Any]]:
    yield from _interval("difference", vars(comparison.difference))
    yield from {"p_value": comparison.difference.p_value, "metric": comparison.metric}.items()
    yield from {"verdict": comparison.verdict, "margin": comparison.margin}.items()


def _interval(name: str, estimate: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    yield name, estimate["value"]
    yield f"{name}.low", estimate["low"]
    yield f"{name}.high", estimate["high"]


def _text(value: float | str | None) -> str:
    return "" if value is None else value if isinstance(value, str) else repr(float(value))
