"""Confusion matrices: what is said of the samples of each class."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from math import ceil

import altair as alt

from medrival.contracts import Prediction
from medrival.reports.charts.drawing import HEAT, ON_HEAT, Figure, figure, inline
from medrival.reports.charts.findings import of_findings
from medrival.reports.charts.measured import firsts, seeds_said
from medrival.reports.charts.scales import RANK, panels, part
from medrival.reports.charts.words import names
from medrival.reports.figures import count
from medrival.reports.record import CaseRecord
from medrival.tasks.answers import YES_NO, normalise, read
from medrival.tasks.metrics.diagnosed import diagnosed

CLASSES = 12  # of one matrix
CELLS, FIGURES = 420, 3  # of one figure with anything in them, and of one task
COLUMNS = 5
STEPS = len(HEAT) - 1


class Else(Enum):
    """What may be said of a sample other than one of the classes that are shown."""

    OTHER = "(other classes)"
    UNCLEAR = "(unparseable)"
    FAILED = "(failed)"


Counts = Mapping[tuple[str, "str | Else"], int]
"""By what is true and what is said."""


@dataclass(frozen=True)
class Matrix:
    """How many samples of each class (true, said) a model after a regime calls what."""

    model: str
    regime: str
    counts: Counts


def confusions(cases: Sequence[CaseRecord]) -> list[Figure]:
    """A matrix for each model and regime: of a diagnosis of exclusive classes, and of yes/no questions."""
    diagnoses = [case for case in firsts(cases) if case.classes and case.predictions and not of_findings(case)]
    found = [Matrix(case.model, case.regime, diagnosed_counts(case)) for case in diagnoses]
    asked = [Matrix(case.model, case.regime, yes_no_counts(case.predictions)) for case in firsts(cases) if not case.classes]
    classes = diagnoses[0].classes if diagnoses else ()
    yes_no = [matrix for matrix in asked if matrix.counts]
    return [
        *_figures("Confusion matrices", found, classes, seeds_said(cases)),
        *_figures("Confusion of yes/no questions", yes_no, ("yes", "no"), seeds_said(cases)),
    ]


def diagnosed_counts(case: CaseRecord) -> Counter[tuple[str, str | Else]]:
    """By true and most probable class, the first of equals; samples that failed stand apart."""
    samples = diagnosed(case.predictions, case.classes)
    said = samples.scores.argmax(axis=1)
    return Counter(
        (p.truth, Else.FAILED if failed else case.classes[column])
        for p, column, failed in zip(case.predictions, said, samples.failed, strict=True)
    )


def yes_no_counts(predictions: Sequence[Prediction]) -> Counter[tuple[str, str | Else]]:
    """The same of questions that yes or no answers, read as accuracy reads them."""
    asked = [p for p in predictions if p.form == "closed" and {normalise(option) for option in p.options} == YES_NO]
    return Counter((normalise(p.truth), Else.FAILED if p.error else read(p.answer, p.options) or Else.UNCLEAR) for p in asked)


def _figures(title: str, matrices: Sequence[Matrix], classes: Sequence[str], seeds: str) -> Iterator[Figure]:
    """As many as it takes, and as there may be."""
    shown = most_confused(matrices, classes)
    parts: list[list[Matrix]] = [[]]
    filled = 0
    for matrix in matrices:
        cells = len(_folded(matrix.counts, shown))
        if parts[-1] and filled + cells > CELLS:
            parts.append([])
            filled = 0
        parts[-1].append(matrix)
        filled += cells
    left = sum(map(len, parts[FIGURES:]))
    for i, some in enumerate(parts[:FIGURES], 1):
        if not some:
            return
        says = ["Rows: the true class. Columns: the most probable one, or what was said. Hues: the share of the row."]
        if len(shown) < len(classes):
            hidden, samples = beyond(matrices[0].counts, shown)
            says.append(
                f"Of {len(classes):,} classes the {len(shown)} that are confused most; "
                f"{hidden:,} of {count(samples, 'sample')}, of the others, are not shown."
            )
        if left and i == min(len(parts), FIGURES):
            says.append(f"Not drawn: those of {count(left, 'more case')}; the files under predictions/ have what was said.")
        named = f"{title} ({i} of {min(len(parts), FIGURES)})" if len(parts) > 1 else title
        yield figure(named, " ".join(says) + seeds, _chart(some, shown))


def most_confused(matrices: Sequence[Matrix], classes: Sequence[str]) -> list[str]:
    """At most twelve classes, in their own order: those in most errors, as what is true or as what is said."""
    errors: Counter[str] = Counter()
    for matrix in matrices:
        for (truth, said), n in matrix.counts.items():
            if truth != said:
                errors[truth] += n
                if isinstance(said, str):
                    errors[said] += n
    chosen = set(sorted(classes, key=lambda one: -errors[one])[:CLASSES])
    return [one for one in classes if one in chosen]


def beyond(counts: Counts, shown: Sequence[str]) -> tuple[int, int]:
    """How many samples are of classes that are not shown, and how many there are."""
    return sum(n for (truth, _), n in counts.items() if truth not in shown), sum(counts.values())


def _folded(counts: Counts, shown: Sequence[str]) -> Counter[tuple[str, str | Else]]:
    folded: Counter[tuple[str, str | Else]] = Counter()
    for (truth, said), n in counts.items():
        if truth in shown:
            folded[truth, said if isinstance(said, Else) or said in shown else Else.OTHER] += n
    return folded


def _chart(matrices: Sequence[Matrix], shown: Sequence[str]) -> alt.FacetChart:
    folded = [_folded(matrix.counts, shown) for matrix in matrices]
    extra = [one for one in Else if any(said is one for counts in folded for _, said in counts)]
    columns: list[str | Else] = [*shown, *extra]
    short = names(shown, 20)
    called = {one: one.value if isinstance(one, Else) else short[one] for one in columns}
    titles = names((f"{matrix.model} · {matrix.regime}" for matrix in matrices), 34)
    rows: list[dict[str, object]] = []
    for matrix, counts in zip(matrices, folded, strict=True):
        title = titles[f"{matrix.model} · {matrix.regime}"]
        for truth in shown:
            whole = sum(n for (true, _), n in counts.items() if true == truth)
            for said in columns:
                n = counts[truth, said]
                told = f"{title}: of {whole:,} {called[truth]}, {n:,} {called[said]} ({n / whole:.0%})" if n else ""
                step = LABELS[ceil(n / whole * STEPS - 1e-9)] if n else LABELS[0]
                rows.append(
                    {
                        "panel": title,
                        "truth": called[truth],
                        "said": called[said],
                        "part": "some" if n else "none",
                        "share": step,
                        "text": f"{n:,}" if n else "",
                        "says": told,
                        "rank": len(rows),
                    }
                )
    longest = max(len(str(row["text"] or "")) for row in rows)
    cell = 30 if longest < 4 else 8 * longest
    base = alt.Chart(width=alt.Step(max(cell, 34)), height=alt.Step(30)).encode(
        x=alt.X("said:N", sort=RANK, title="said", axis=alt.Axis(labelAngle=-35, domain=False, ticks=False, grid=False)),
        y=alt.Y("truth:N", sort=RANK, title="true", axis=alt.Axis(domain=False, ticks=False, grid=False)),
    )
    legend = alt.Legend(title="share of the true class", orient="top", direction="horizontal", columns=9, symbolType="square")
    fill = alt.Fill("share:N", scale=alt.Scale(domain=list(LABELS), range=list(HEAT)), legend=legend)
    letters = alt.Color("share:N", scale=alt.Scale(domain=list(LABELS), range=list(ON_HEAT)), legend=None)
    layers = alt.layer(
        part(base, "none").mark_rect(stroke="var(--card)", strokeWidth=1, aria=False).encode(fill=fill),
        part(base, "some").mark_rect(stroke="var(--card)", strokeWidth=1).encode(fill=fill, description="says:N"),
        part(base, "some").mark_text(fontSize=11, aria=False).encode(text="text:N", color=letters),
        data=inline(rows),
    )
    facet, beside = panels("panel", min(COLUMNS, max(1, 14 // len(called))))
    return layers.facet(facet=facet, columns=beside, spacing=28).resolve_axis(x="independent")


LABELS = ("none", *(f"\N{LESS-THAN OR EQUAL TO} {100 * i / STEPS:g}%" for i in range(1, STEPS + 1)))
"""Of the steps of a share."""
