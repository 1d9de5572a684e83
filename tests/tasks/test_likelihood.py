"""Accuracy by likelihood: the likeliest option counts, a failed sample is wrong, and no likelihood is no number."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from medrival.contracts import Prediction
from medrival.tasks.metrics import measure

NAME = "choice_likelihood_accuracy"


def asked(scores, truth="left", options=("left", "right", "both"), form="choice", **more):
    return Prediction("1", "g", truth, tuple(scores), form=form, options=options, **more)


def measured(*predictions):
    return measure("vqa", [replace(p, id=str(i), group=str(i)) for i, p in enumerate(predictions)], resamples=0).metrics[NAME]


def test_the_likeliest_option_counts_whatever_was_written():
    right, wrong = asked((0.5, 0.3, 0.2), answer="(B) right"), asked((0.3, 0.5, 0.2), answer="left")
    assert measured(right, wrong, right, right).value == 0.75


def test_yes_and_no_count_too_and_open_questions_do_not():
    closed = asked((0.2, 0.8), "no", ("yes", "no"), "closed")
    known = measured(closed, asked((), "a lung", (), "open", answer="a lung"))
    assert (known.value, known.n) == (1.0, 1)


def test_a_tie_is_wrong():
    assert measured(asked((0.4, 0.4, 0.2))).value == 0.0


def test_a_failed_sample_is_wrong_where_the_model_gives_likelihoods():
    known = measured(asked((0.5, 0.3, 0.2)), asked((), error="torn"), asked((), error="torn"))
    assert (known.value, known.n) == (pytest.approx(1 / 3), 3)


def test_a_model_that_gives_no_likelihoods_has_no_such_number_even_where_samples_failed():
    known = measured(asked((), answer="left"), asked((), error="torn"))
    assert (known.value, known.reason) == (None, "no question of the kind it is about")


@given(st.lists(st.tuples(st.lists(st.floats(0, 1), min_size=3, max_size=3), st.integers(0, 2)), min_size=1), st.randoms())
def test_it_is_the_share_of_strict_maxima_in_any_order(samples, random):
    options = ("left", "right", "both")
    expected = sum(all(scores[i] > s for j, s in enumerate(scores) if j != i) for scores, i in samples) / len(samples)
    random.shuffle(samples)
    known = measured(*(asked(scores, options[i]) for scores, i in samples))
    assert known.value == pytest.approx(expected, abs=1e-12)
