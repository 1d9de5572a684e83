"""Names that came from users, as charts have room for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain, count

from medrival.reports.figures import visible
from medrival.reports.record import plain

LENGTH = 60  # characters of a name on an axis


def name(text: str, length: int = LENGTH) -> str:
    """The text on one line, without what no font shows, cut where it is longer."""
    line = " ".join(visible(plain(text)).split())
    return (line if len(line) <= length else f"{line[: length - 1].rstrip()}\N{HORIZONTAL ELLIPSIS}") or "(no name)"


def names(texts: Iterable[str], length: int = LENGTH) -> Mapping[str, str]:
    """What each text is called in a chart, in the order in which they first come; unlike texts have unlike names."""
    called: dict[str, str] = {}
    taken: set[str] = set()
    for text in dict.fromkeys(texts):
        short = name(text, length)
        numbered = (f"{short} ({i})" for i in count(2))
        called[text] = next(free for free in chain([short], numbered) if free not in taken)
        taken.add(called[text])
    return called


def metric_name(metric: str) -> str:
    """Such as AUROC and closed accuracy."""
    return {"auroc": "AUROC", "ece": "ECE"}.get(metric, name(metric.replace("_", " ")))


def listed(texts: Iterable[str], most: int = 6) -> str:
    """The first few, and how many more there are."""
    every = list(texts)
    rest = [f"{len(every) - most:,} more"] if len(every) > most else []
    return ", ".join([name(text, 40) for text in every[:most]] + rest)
