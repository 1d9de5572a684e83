"""How numbers and long texts read, in the terminal and in the HTML report."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def number(value: float | None) -> str:
    """Three decimals: 0.842; n/a where there is no value."""
    return "n/a" if value is None or not math.isfinite(value) else f"{value:.3f}"


def signed(value: float | None, digits: int = 3) -> str:
    """A difference, never as -0.000."""
    return "n/a" if value is None or not math.isfinite(value) else f"{round(value, digits) + 0.0:+.{digits}f}"


def p_value(value: float | None) -> str:
    """Three decimals, or that it is smaller than these can show."""
    return "<0.001" if value is not None and value < 0.001 else number(value)


def estimate(metric: Mapping[str, Any] | None) -> str:
    """A metric with its interval: 0.842 [0.821, 0.861]."""
    value = number(metric["value"]) if metric else "n/a"
    return value if metric is None or value == "n/a" else f"{value} [{number(metric['low'])}, {number(metric['high'])}]"


def duration(seconds: float | None) -> str:
    """Minutes and seconds, 4:12, with hours where there are any: 1:04:12."""
    if seconds is None or not math.isfinite(seconds):
        return "n/a"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def large(value: float | None, unit: str = "") -> str:
    """Three digits and a power of a thousand: 1.13 M, 16.2 GB."""
    if value is None or not math.isfinite(value):
        return "n/a"
    rounded = float(f"{value:.3g}")
    power = min(int(math.log10(rounded) // 3), 4) if rounded >= 1 else 0
    return f"{rounded / 1000**power:g} {('', 'k', 'M', 'G', 'T')[power]}{unit}".strip()


def count(n: int, noun: str) -> str:
    """Such as "1 case" and "1,811 cases"."""
    return f"{n:,} {noun}" + ("" if n == 1 else "s")


def visible(text: str) -> str:
    """The text without what could steer a terminal: control characters, escapes, changes of direction."""
    return "".join(char if char.isprintable() else " " for char in text)


def clip(text: str, length: int = 300) -> str:
    """The text, cut where it is longer, saying how long it was."""
    return text if len(text) <= length else f"{text[:length]} ... ({len(text):,} characters)"
