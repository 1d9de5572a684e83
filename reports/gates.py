"""What the gates decided, as the terminal says it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from textwrap import wrap

from medrival.gates import Judgement
from medrival.reports.figures import count, visible

INTERVAL = re.compile(r"\[([^][ ]*,) ([^][ ]*)\]")  # stays in one piece
SHOWN = 4  # failures told of a gate; the report has them all


def by_gate(judgements: Sequence[Judgement]) -> dict[str, list[Judgement]]:
    """By the gates' names, in their order; of each first where it does not hold."""
    found: dict[str, list[Judgement]] = {}
    for judgement in sorted(judgements, key=lambda one: one.holds):
        found.setdefault(judgement.name, []).append(judgement)
    return {name: found[name] for name in dict.fromkeys(judgement.name for judgement in judgements)}


def gate_lines(judgements: Sequence[Judgement], width: int) -> list[str]:
    """One line a gate that holds, and each failure of one that does not in its own sentence."""
    chosen = by_gate(judgements)
    held = sum(all(one.holds for one in every) for every in chosen.values())
    said = [f"Gates: {held:,} of {len(chosen):,} hold"] if chosen else []
    for name, every in chosen.items():
        broken = [one for one in every if not one.holds]
        if not broken:
            extent = f" ({counted(every)})" if every[0].subject else ""
            said += _wrapped(f"  passed  {visible(name)}{extent}", width)
        for one in broken[:SHOWN]:
            about = f", {one.subject}" if one.subject else ""
            text = f"  FAILED  {visible(name)}{visible(about)}: {visible(one.explanation)}"
            said += [line.replace("\xa0", " ") for line in _wrapped(INTERVAL.sub("[\\1\xa0\\2]", text), width)]
        if len(broken) > SHOWN:
            said.append(f"          and {len(broken) - SHOWN:,} more: see the report")
    return said


def _wrapped(text: str, width: int) -> list[str]:
    return wrap(text, width, subsequent_indent=" " * 10, break_on_hyphens=False)


def counted(judgements: Sequence[Judgement]) -> str:
    """What one gate judged, such as "6 cases, 1 inconclusive"; "the run" where that is all."""
    found = [judgement for judgement in judgements if judgement.subject]  # beside them, that a name matched nothing
    if not found:
        return "the run"
    noun = "case" if found[0].case else "pair" if found[0].pair else "data set"
    undecided = sum(judgement.status == "inconclusive" for judgement in found)
    return f"{count(len(found), noun)}{f', {undecided:,} inconclusive' if undecided else ''}"
