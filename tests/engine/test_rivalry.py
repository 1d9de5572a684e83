"""Two outcomes side by side: what was not alike in how they came about is told with their difference."""

from __future__ import annotations

import pytest

from medrival.case import Comparison, Cost, Outcome
from medrival.contracts import Prediction
from medrival.rivalry import compare


def outcome(right: int, **notes: object) -> Outcome:
    """Answers to 40 yes/no questions, so many of them right."""
    said = ["yes"] * right + ["no"] * (40 - right)
    asked = [Prediction(str(i), str(i), "yes", answer=one, form="closed", options=("yes", "no")) for i, one in enumerate(said)]
    return Outcome("key", (), {}, tuple(asked), Cost(1.0, 0.0, 0, None, None, 1.0), notes)


def compared(general: dict[str, object], medical: dict[str, object]) -> Comparison:
    return compare("vqa", [outcome(20, **general)], [outcome(30, **medical)], margin=0.02)


ALIKE: dict[str, object] = {"asked_by": "chat template", "max_new_tokens": 64}


@pytest.mark.parametrize(
    ("differs", "told"),
    [
        (
            {"asked_by": "plain prompt"},
            "the general model was asked by chat template, the medical one was asked by plain prompt",
        ),
        (
            {"max_new_tokens": 2048},
            "the general model could answer in 64 tokens, the medical one could answer in 2,048 tokens",
        ),
    ],
)
def test_two_models_that_were_not_asked_alike_are_compared_with_a_caution(differs, told):
    alike, unlike = compared(ALIKE, ALIKE).difference, compared(ALIKE, ALIKE | differs).difference
    assert told not in alike.caution
    assert unlike.caution == "; ".join(filter(None, [alike.caution, told]))
    assert (unlike.value, unlike.low, unlike.high) == (alike.value, alike.low, alike.high)


def test_what_only_one_of_two_models_has_on_record_is_no_difference():
    assert "asked" not in compared({}, ALIKE).difference.caution
