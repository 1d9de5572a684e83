"""How often each class, form, letter or answer is the right one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from medrival.contracts import Sample
from medrival.tasks.answers import YES_NO, normalise
from medrival.tasks.chinese import IN_ENGLISH

ANSWERS = 10
"""Of answers in words the most frequent are told."""
WORDED = ("closed answer", "open answer")


def balance(samples: Sequence[Sample]) -> dict[str, dict[str, int]]:
    """Counts by what is counted, the most frequent first: "class"; or "form", "yes or no", "letter" and those in words."""
    counters: dict[str, Counter[str]] = {}
    for sample in samples:
        for what, value in _traits(sample):
            counters.setdefault(what, Counter())[value] += 1
    return {what: dict(counted.most_common(ANSWERS if what in WORDED else None)) for what, counted in counters.items()}


def classes_of(sample: Sample) -> list[str]:
    """The class of a diagnosis; of findings those that there are."""
    return [name for name in sample.truth.split("|") if name] if sample.form == "findings" else [sample.truth]


def _traits(sample: Sample) -> Iterator[tuple[str, str]]:
    if sample.form in ("label", "findings"):
        for name in classes_of(sample) or ["none"]:
            yield "class", name
        return
    truth = normalise(str(sample.truth))
    answer = IN_ENGLISH.get(truth, truth)
    yield "form", sample.form
    if sample.form == "closed" and answer in YES_NO:
        yield "yes or no", answer
    elif sample.form == "choice" and sample.truth in sample.options:
        yield "letter", sample.reply
    elif sample.form in ("closed", "open"):
        yield f"{sample.form} answer", truth
