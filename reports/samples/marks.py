"""Why each prediction was scored as it was, by the functions of the engine that scored it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from string import ascii_uppercase
from typing import Literal

from medrival.contracts import Form, Prediction
from medrival.errors import MedrivalError
from medrival.reports.figures import clip
from medrival.reports.record import CaseRecord
from medrival.tasks.answers import conclusion, normalise
from medrival.tasks.metrics import vqa
from medrival.tasks.metrics.diagnosed import Diagnosed, diagnosed
from medrival.tasks.metrics.registry import Undefined

Letter = Literal["r", "w", "f", "n"]
"""Right; wrong; failed, which counts as wrong; neither, where a sample alone is not right or wrong."""

QUOTED = 80  # characters of a text inside a reason
FINDINGS = 3  # the most probable ones are told
CACHED = 20_000  # answers: models say the same things


@dataclass(frozen=True)
class Mark:
    """How one prediction was scored.

    Attributes:
        letter: whether the metric `accuracy` counts it as right.
        answer: what the model said: its words, or the most probable class.
        why: a sentence.
        probability: of the class or option that was taken as the answer; None where the model gave none.
    """

    letter: Letter
    answer: str
    why: str
    probability: float | None = None


def marks(case: CaseRecord) -> list[Mark]:
    """One a prediction, in their order."""
    if case.task_kind == "vqa":
        return [_failed(p) if p.error else _said(p) for p in case.predictions]
    try:
        samples = diagnosed(case.predictions, case.classes)
    except MedrivalError as error:
        return [Mark("n", "", f"Not scored: {clip(str(error), QUOTED)}.") for _ in case.predictions]
    return _findings(case.predictions, samples) if samples.findings else _labels(case.predictions, samples)


def _failed(p: Prediction) -> Mark:
    return Mark("f", "", f"Failed, which counts as wrong: {clip(p.error, 2 * QUOTED)}")


def _labels(predictions: Sequence[Prediction], samples: Diagnosed) -> list[Mark]:
    try:
        hits = samples.hits
    except Undefined as error:
        return [Mark("n", "", f"Not scored: {error}.") for _ in predictions]
    found, sure = [], _probable(samples)
    for p, hit, top in zip(predictions, hits, samples.scores.argmax(axis=1), strict=True):
        if p.error:
            found.append(_failed(p))
            continue
        name = samples.classes[top]
        truth = "it is the truth" if hit else f"the truth is {clip(p.truth, QUOTED)}"
        why = f"{'Most probable' if sure else 'Highest score'} of {len(samples.classes)} classes; {truth}."
        found.append(Mark("r" if hit else "w", name, why, p.scores[top] if sure else None))
    return found


def _probable(samples: Diagnosed) -> bool:
    """Whether the scores are probabilities; where they are not, classes are ranked by them all the same."""
    try:
        return len(samples.probabilities) > 0
    except Undefined:
        return False


def _findings(predictions: Sequence[Prediction], samples: Diagnosed) -> list[Mark]:
    why = "Independent findings: all samples are ranked by each (AUROC), so that one alone is not right or wrong."
    found = []
    for p, scores in zip(predictions, samples.scores, strict=True):
        if p.error:
            found.append(_failed(p))
            continue
        likely = sorted(range(len(scores)), key=lambda i: -scores[i])[:FINDINGS]
        rest = f" and {len(scores) - len(likely)} less probable ones" if len(scores) > len(likely) else ""
        answer = ", ".join(f"{samples.classes[i]} {scores[i]:.2f}" for i in likely)
        found.append(Mark("n", answer + rest, why))
    return found


def _said(p: Prediction) -> Mark:
    right, stated, why = _scored(p.form, p.truth, p.options, p.answer)
    closed = p.form != "open" and stated in p.options and len(p.scores) == len(p.options)
    probability = p.scores[p.options.index(stated)] if closed and stated else None
    return Mark("r" if right else "w", p.answer, why, probability)


@lru_cache(maxsize=CACHED)
def _scored(form: Form, truth: str, options: tuple[str, ...], answer: str) -> tuple[bool, str | None, str]:
    """Whether the answer is right, what it states, and why."""
    p = Prediction("", "", truth, answer=answer, form=form, options=options)
    right, stated = vqa.accuracy(p) == 1.0, vqa.stated(p)
    return right, stated, (_open if form == "open" else _closed)(p, right, stated)


def _closed(p: Prediction, right: bool, stated: str | None) -> str:
    if stated is None:
        return "Counts as wrong: its words state none of the options, or several."
    read = f"Read as {_option(p, stated)}"
    return f"{read}, which is the truth." if right else f"{read}; the truth is {_option(p, p.truth)}."


def _option(p: Prediction, text: str) -> str:
    lettered = p.form == "choice" and text in p.options[: len(ascii_uppercase)]
    return (f"{ascii_uppercase[p.options.index(text)]}, " if lettered else "") + f"“{clip(text, QUOTED)}”"


def _open(p: Prediction, right: bool, stated: str | None) -> str:
    if stated is None:
        return "Counts as wrong: it says nothing."
    said = f"“{clip(normalise(conclusion(p.answer)), QUOTED)}”"
    truths = vqa.accepted(p)
    if right:
        return f"Normalised it is {said}, which is {'the truth' if len(truths) == 1 else 'a right answer'}."
    other = f" or one of {len(truths) - 1} other right answers" if len(truths) > 1 else ""
    words = f"F1 of the words they share {vqa.token_f1(p):.2f}"
    return f"Normalised it is {said} and not “{clip(normalise(p.truth), QUOTED)}”{other}; {words}."
