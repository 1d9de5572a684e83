"""What an audit found out about a data set: plain typed values, which the store, the gates and the reports share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

Severity = Literal["broken", "warning", "note"]

LEAKED_SHARE = 0.01
"""More than this share of leaked test samples is a warning."""
UNREADABLE_SHARE = 0.5
"""Of a split with more than this share of images that cannot be read, scores would say nothing: its data is broken."""


@dataclass(frozen=True)
class Concern:
    """One thing to know before a score is believed.

    Attributes:
        severity: "broken" where scores would be wrong whatever the model, "warning" where they may mislead, else "note".
    """

    severity: Severity
    text: str


@dataclass(frozen=True)
class Images:
    """The distinct images of a data set; the same bytes are the same image, unless they are none.

    Attributes:
        distinct: how many, by split, and "all" of them together.
        unreadable: why an image cannot be read, which names it; all of them.
        plain: how many are too empty to be compared by their looks.
    """

    distinct: Mapping[str, int]
    unreadable: tuple[str, ...]
    plain: int


@dataclass(frozen=True)
class Lookalikes:
    """Two images that look alike (a suspicion), or of which one looks like the other after a mirror or a turn.

    Attributes:
        samples: ids of a sample that shows the one and of one that shows the other.
        distance: differing bits of their perceptual hashes.
    """

    samples: tuple[str, str]
    distance: int


@dataclass(frozen=True)
class Duplicates:
    """Images that are there more than once. Keys are a split, or two of them such as "test-train".

    Attributes:
        exact: distinct images: within a split those of several patients (or samples of a diagnosis), else those in both.
        near: images of the (first) split that look like another one, without the exact copies.
        turned: likewise those that are another one mirrored, or turned by a quarter or a half.
        within: the most bits by which the hashes of two images that look alike differ; `bits` is how many there are.
        turned_within: the most between an image and the mirrored or turned one.
        examples: the most alike; `turned_examples` of those that are mirrored or turned.
    """

    exact: Mapping[str, int]
    near: Mapping[str, int]
    turned: Mapping[str, int]
    within: int
    turned_within: int
    bits: int
    examples: tuple[Lookalikes, ...]
    turned_examples: tuple[Lookalikes, ...]


@dataclass(frozen=True)
class Leakage:
    """Test samples that the training split gives away; one may count several times over, but `leaked` names it once.

    Attributes:
        on_training_images: test samples one of whose images is a training image.
        on_turned_images: further test samples one of whose images is a training image mirrored or turned.
        of_training_groups: test samples of a patient who is in the training split.
        like_training_images: further test samples one of whose images looks like a training image: a suspicion.
        leaked: ids of test samples on training images, as they are, mirrored or turned, or of training patients.
    """

    test_samples: int
    on_training_images: int
    on_turned_images: int
    of_training_groups: int
    like_training_images: int
    leaked: tuple[str, ...]

    @property
    def share(self) -> float:
        """Of the test samples, how many are leaked."""
        return len(self.leaked) / max(self.test_samples, 1)


@dataclass(frozen=True)
class Blind:
    """What is scored without a look at the image.

    Attributes:
        answers: what is answered, in words.
        learnt_on: where that was chosen or learnt.
        primary: the metric that decides, a name in `metrics`.
        metrics: the primary metric and accuracy; None where one is undefined.
    """

    answers: str
    learnt_on: str
    primary: str
    metrics: Mapping[str, float | None]

    @property
    def value(self) -> float | None:
        """Of the primary metric."""
        return self.metrics[self.primary]


@dataclass(frozen=True)
class Audit:
    """All that is known of a data set without a model.

    Attributes:
        fingerprint: of the task that was audited.
        limit: of `--limit`; None where all samples were audited.
        counts: samples by split; `published` the numbers that its row states.
        repeats: samples whose question and answer stand elsewhere, too, by a split or by "test-train": "same image" and
            "other image" (vqa). Within a split the first of its kind does not count.
        balance: by split, how often there is what: "class"; of questions "form", "yes or no", "letter", "open answer".
        constant: the best answer that is always the same; None where the data is broken.
        question_only: a model of the words of question and options; None where no question is closed.
        findings: the gravest first; of equal gravity, what leaks comes first.
    """

    task: str
    fingerprint: str
    limit: int | None
    counts: Mapping[str, int]
    published: Mapping[str, int]
    images: Images
    duplicates: Duplicates
    leakage: Leakage
    repeats: Mapping[str, Mapping[str, int]]
    balance: Mapping[str, Mapping[str, Mapping[str, int]]]
    constant: Blind | None
    question_only: Blind | None
    findings: tuple[Concern, ...]

    @property
    def cut(self) -> frozenset[str]:
        """Splits that the limit may have cut: what a part of one lacks, the whole may have."""
        return frozenset(split for split, count in self.counts.items() if self.limit is not None and count >= self.limit)

    @property
    def broken(self) -> tuple[str, ...]:
        """Why scores on the data set would be wrong whatever the model."""
        return tuple(concern.text for concern in self.findings if concern.severity == "broken")


def audit_from(record: Mapping[str, Any]) -> Audit:
    """The audit that `dataclasses.asdict` took apart, also after a detour through JSON.

    Raises:
        KeyError, TypeError: it was no audit, or one of another version.
    """
    duplicates = _read(Duplicates, record["duplicates"])
    pairs = {
        name: tuple(_read(Lookalikes, one) for one in record["duplicates"][name]) for name in ("examples", "turned_examples")
    }
    parts: dict[str, Any] = {
        "images": _read(Images, record["images"]),
        "duplicates": Duplicates(**{**vars(duplicates), **pairs}),
        "leakage": _read(Leakage, record["leakage"]),
        "constant": _read(Blind, record["constant"]) if record["constant"] else None,
        "question_only": _read(Blind, record["question_only"]) if record["question_only"] else None,
        "findings": tuple(_read(Concern, one) for one in record["findings"]),
    }
    return Audit(**{**record, **parts})


def _read(kind: Any, record: Mapping[str, Any]) -> Any:
    """A dataclass whose sequences are tuples."""
    known = {field.name for field in fields(kind)}
    return kind(**{name: tuple(one) if isinstance(one, list) else one for name, one in record.items() if name in known})
