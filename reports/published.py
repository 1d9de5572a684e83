"""Published figures beside what a run measured: the same model, data set, regime and metric.

The figures are facts from published.csv. Which model and data set a catalog row is, the row says itself
(`published = "CLIP"`); nothing is matched by resemblance. A figure agrees where it lies within the measured 95%
interval. Where the number of samples differs, is not known or was inferred, or the cell is not trusted, nothing is
judged. An equal number is no proof that the samples are the same: where a figure disagrees, compare the splits first.
"""

from __future__ import annotations

import csv
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrival.errors import UnknownName
from medrival.reports.figures import count

if TYPE_CHECKING:
    from medrival.case import Case
    from medrival.reports.record import CaseRecord

FILE = Path(__file__).with_name("published.csv")
MODELS = {"Qwen25-VL": "Qwen2.5-VL-7B", "Lingshu": "Lingshu-7B"}
"""What paper A calls a model that paper B names by its size: both load the same checkpoint."""
REGIMES = {"fine-tuned": "lora"}
"""What a paper's regime is called here, where the name differs: VQA models were fine-tuned with LoRA."""
METRICS = {"accuracy": "closed_accuracy"}
"""What a paper's metric is called here, where the name differs: paper B's accuracy is of closed questions only."""
UNJUDGED = ("unusable", "noisy", "budgets differ", "closed questions only")
"""How the trust begins in which no agreement can be read: broken, too few samples to repeat, trained differently, on a
part of the questions whose number is not stated."""


@dataclass(frozen=True)
class Anchor:
    """A figure that a paper states; `n` its number of samples, where that is known, `trust` what is to be known about it."""

    paper: str
    dataset: str
    n: int | None
    model: str
    regime: str
    metric: str
    value: float
    low: float | None
    high: float | None
    trust: str


@dataclass(frozen=True)
class Published:
    """A published figure and what one case measured.

    Attributes:
        case: the case's id.
        metric: the paper's name of it; `measured_metric` is ours.
        published: the figure; `published_low` and `published_high` its interval, `published_n` its samples, where stated.
        measured: ours, with `low`, `high` and `n`; None where it is undefined.
        difference: measured minus published.
        trust: what is to be known about the published figure; "ok" where nothing is.
        agrees: whether the published figure lies within the measured interval; None where that is not judged, for `why`.
    """

    case: str
    paper: str
    dataset: str
    model: str
    regime: str
    metric: str
    measured_metric: str
    published: float
    published_low: float | None
    published_high: float | None
    published_n: int | None
    measured: float | None
    low: float | None
    high: float | None
    n: int
    difference: float | None
    trust: str
    agrees: bool | None
    why: str


@cache
def anchors() -> tuple[Anchor, ...]:
    """All published figures, in the order of the file."""
    with FILE.open(encoding="utf-8", newline="") as stream:
        return tuple(map(_anchor, csv.DictReader(stream)))


def check(cases: Iterable[Case]) -> None:
    """Refuse a catalog row that claims to be what no paper has a figure of.

    Raises:
        UnknownName: naming the row and what there is.
    """
    for case in cases:
        for axis, card in (("model", case.model), ("dataset", case.task)):
            known = sorted({getattr(anchor, axis) for anchor in anchors()}) if card.published else []
            if card.published and card.published not in known:
                near = difflib.get_close_matches(card.published, known, n=1)
                hint = f" Did you mean {near[0]!r}?" if near else ""
                raise UnknownName(
                    f"{card.name!r}: published = {card.published!r} is no {axis} of the published figures.{hint} "
                    f"There are {', '.join(known)}"
                )


def beside(records: Iterable[CaseRecord], cases: Mapping[str, Case]) -> tuple[Published, ...]:
    """The published figures of what was measured, in the order of the records.

    Args:
        records: what became of the cases.
        cases: the cases by id.
    """
    return tuple(found for record in records if record.status == "measured" for found in _beside(record, cases[record.id]))


def line(published: Iterable[Published]) -> str:
    """The comparison in a line, or "" where nothing was compared."""
    verdicts = [one.agrees for one in published]
    parts = ((True, "within the measured interval"), (False, "outside"), (None, "not judged"))
    said = ", ".join(f"{verdicts.count(verdict)} {words}" for verdict, words in parts if verdict in verdicts)
    return f"{count(len(verdicts), 'published figure')}: {said}" if verdicts else ""


def _beside(record: CaseRecord, case: Case) -> Iterator[Published]:
    for anchor in anchors():
        if case.task.published != anchor.dataset or case.model.published not in (anchor.model, MODELS.get(anchor.model)):
            continue
        ours = METRICS.get(anchor.metric, anchor.metric)
        if REGIMES.get(anchor.regime, anchor.regime) == record.regime and ours in record.metrics:
            yield _compared(anchor, record, ours)


def _compared(anchor: Anchor, record: CaseRecord, ours: str) -> Published:
    result = record.metrics[ours]
    measured, low, high = (result.get(name) for name in ("value", "low", "high"))
    why = _unjudged(anchor, result)
    return Published(
        case=record.id,
        paper=anchor.paper,
        dataset=anchor.dataset,
        model=anchor.model,
        regime=anchor.regime,
        metric=anchor.metric,
        measured_metric=ours,
        published=anchor.value,
        published_low=anchor.low,
        published_high=anchor.high,
        published_n=anchor.n,
        measured=measured,
        low=low,
        high=high,
        n=result.get("n", 0),
        difference=None if measured is None else measured - anchor.value,
        trust=anchor.trust,
        agrees=None if why or low is None or high is None else low <= anchor.value <= high,
        why=why,
    )


def _unjudged(anchor: Anchor, result: Mapping[str, Any]) -> str:
    if anchor.n is None:
        return "the published number of samples is not known"
    if anchor.trust.startswith(UNJUDGED):
        return anchor.trust
    if anchor.n != result.get("n"):
        return f"published on {count(anchor.n, 'sample')}, measured on {result.get('n', 0):,}"
    if result.get("low") is None or result.get("high") is None:
        return result.get("reason") or "nothing was measured with an interval"
    return ""


def _anchor(row: Mapping[str, str]) -> Anchor:
    return Anchor(
        paper=row["paper"],
        dataset=row["dataset"],
        n=int(row["n"]) if row["n"] else None,
        model=row["model"],
        regime=row["regime"],
        metric=row["metric"],
        value=float(row["value"]),
        low=float(row["ci_low"]) if row["ci_low"] else None,
        high=float(row["ci_high"]) if row["ci_high"] else None,
        trust=row["trust"],
    )
