"""Splits that are made: by patient, and of each class or finding alike."""

from __future__ import annotations

from collections import Counter

from medrival.contracts import Sample
from medrival.tasks.splits import made


class Picture:
    """Stands for an image that is never looked at here."""

    digest = "0" * 64


def radiographs(count: int) -> list[Sample]:
    """Two images a patient; of the patients every second has a mass, every tenth an effusion, every fiftieth a hernia."""
    told = (["mass"] * (i % 2) + ["effusion"] * (i % 10 == 1) + ["hernia"] * (i % 50 == 1) for i in range(count))
    return [
        Sample(f"{i}-{view}", Picture(), f"p{i}", "|".join(names), form="findings")
        for i, names in enumerate(told)
        for view in range(2)
    ]


def test_each_finding_is_in_each_split_in_its_share_and_no_patient_in_two():
    samples = radiographs(500)
    split_of = made(samples, {"test": 0.2, "validation": 0.1})
    counts = Counter((split_of[sample.id], name) for sample in samples for name in sample.truth.split("|"))
    assert [counts["test", name] for name in ("hernia", "effusion", "mass")] == [4, 20, 100]
    assert [counts["validation", name] for name in ("hernia", "effusion", "mass")] == [2, 10, 50]
    assert len({(sample.group, split_of[sample.id]) for sample in samples}) == 500


def test_a_made_split_hangs_on_neither_the_order_of_samples_nor_that_of_their_findings():
    samples = radiographs(100)
    turned = [
        Sample(one.id, one.image, one.group, "|".join(reversed(one.truth.split("|"))), form="findings") for one in samples[::-1]
    ]
    assert made(samples, {"test": 0.2}) == made(turned, {"test": 0.2})
