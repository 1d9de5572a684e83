"""A limited task: the same proportions, whatever the options of its questions say."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from medrival.contracts import Form, Sample
from medrival.limit import part


class Picture:
    """Stands for an image that is never looked at here."""

    digest = "0" * 64


def question(number: int, form: Form, *options: str) -> Sample:
    return Sample(f"{form}-{number}", Picture(), "p", options[0] if options else "x", form=form, options=options)


def asked() -> list[Sample]:
    own = [question(i, "choice", *(f"{letter}{i}" for letter in "wxyz")) for i in range(200)]
    return [*own, *(question(i, "open") for i in range(200)), *(question(i, "closed", "yes", "no") for i in range(100))]


def test_choices_with_options_of_their_own_are_one_stratum_among_the_forms():
    assert Counter(sample.form for sample in part(asked(), 50)) == {"choice": 20, "open": 20, "closed": 10}


def test_which_choices_are_taken_does_not_hang_on_the_words_of_their_options():
    alphabetical = sorted((question(i, "choice", f"{i:03d}", "z") for i in range(200)), key=lambda sample: sample.options)
    taken = [int(sample.options[0]) for sample in part(alphabetical, 40)]
    assert 10 <= sum(number < 100 for number in taken) <= 30


def test_a_smaller_part_is_contained_in_a_larger_one_in_the_order_of_all():
    parts = [[sample.id for sample in part(asked(), most)] for most in (10, 60, 300, 500)]
    assert all(set(small) < set(large) for small, large in pairwise(parts))
    assert parts[-1] == [sample.id for sample in asked()]


def test_each_class_is_there_once_before_one_is_there_twice():
    labels = [Sample(f"{truth}{i}", Picture(), "p", truth) for truth, n in (("a", 96), ("b", 3), ("c", 1)) for i in range(n)]
    assert Counter(sample.truth for sample in part(labels, 3)) == {"a": 1, "b": 1, "c": 1}
