"""From what a model answered to predictions: one a sample, with what it said or why it counts as failed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from medrival.contracts import NOT_FINITE, Answer, Failed, Prediction, Said, Sample
from medrival.tasks.answers import boxed, spoken

CUT_OFF = "its thought was cut off before it answered; `thinking` in its row, or --candidate-thinking, gives it more tokens"


def predicted(samples: Sequence[Sample], answers: Sequence[Answer]) -> tuple[Prediction, ...]:
    """A prediction a sample; numbers that are none, and a thought without an answer, are failures."""
    return tuple(_prediction(sample, _concluded(_finite(answer))) for sample, answer in zip(samples, answers, strict=True))


def _finite(answer: Answer) -> Answer:
    """The answer, or a failure where its scores are no numbers: a model that overflows must not end the case."""
    scores = answer.scores if isinstance(answer, Said) else answer if isinstance(answer, tuple) else ()
    return answer if np.isfinite(scores).all() else Failed(NOT_FINITE)


def _concluded(answer: Answer) -> Answer:
    """The answer without the thought before it, which nothing scores; a failure where it is all thought."""
    if not isinstance(answer, Said):
        return answer
    text = spoken(answer.text)
    return Failed(CUT_OFF) if text is None else replace(answer, text=text)


def _answer(answer: Answer) -> str:
    """The words that are scored; none where the answer should be in a box and is not."""
    if not isinstance(answer, Said):
        return ""
    return (boxed(answer.text) or "") if answer.boxed else answer.text


def _prediction(sample: Sample, answer: Answer) -> Prediction:
    return Prediction(
        id=sample.id,
        group=sample.group,
        truth=sample.truth,
        scores=answer.scores if isinstance(answer, Said) else answer if isinstance(answer, tuple) else (),
        answer=_answer(answer),
        thought=answer.text if isinstance(answer, Said) and answer.boxed else "",
        error=answer.reason if isinstance(answer, Failed) else "",
        question=sample.question,
        form=sample.form,
        options=sample.options,
        skill=sample.skill,
        attributes=dict(sample.attributes),
    )
