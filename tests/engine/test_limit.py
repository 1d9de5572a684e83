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


def found(count: int) -> list[Sample]:
    """Of images every second has a mass, every twentieth an effusion, too, every hundredth a hernia with both."""
    names = [["mass"] * (i % 2) + ["effusion"] * (i % 20 == 1) + ["hernia"] * (i % 100 == 1) for i in range(count)]
    return [Sample(f"f{i}", Picture(), f"p{i}", "|".join(one), form="findings") for i, one in enumerate(names)]


def test_a_rare_finding_is_in_a_small_part_of_a_large_set():
    parts = [part(found(1000), most) for most in (4, 100)]
    assert "mass|effusion|hernia" in {sample.truth for sample in parts[0]}
    counts = Counter(name for sample in parts[1] for name in sample.truth.split("|"))
    assert (counts["hernia"], counts["effusion"]) == (1, 5)
    assert 49 <= counts["mass"] <= 51
    turned = part(found(1000)[::-1], 100)
    assert [sample.id for sample in turned[::-1]] == [sample.id for sample in parts[1]]


def test_each_class_is_there_once_before_one_is_there_twice():
    labels = [Sample(f"{truth}{i}", Picture(), "p", truth) for truth, n in (("a", 96), ("b", 3), ("c", 1)) for i in range(n)]
    assert Counter(sample.truth for sample in part(labels, 3)) == {"a": 1, "b": 1, "c": 1}
