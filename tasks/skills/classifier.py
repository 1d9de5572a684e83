"""Labels questions as understanding or reasoning, where a data set does not.

Counts of words and pairs of words times idf, scaled to length 1, into a logistic regression: what scikit-learn's
`TfidfVectorizer` and `LogisticRegression` compute, from a JSON file that `python -m medrival skills train` writes (`recipe`).
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from medrival.contracts import Prediction
from medrival.errors import BrokenData
from medrival.scorers import Scores
from medrival.store import key_of
from medrival.tasks.metrics.vqa import accuracy

FORMAT = "medrival skills 1"
SKILLS = ("understanding", "reasoning")

_WORD = re.compile(r"\b\w\w+\b")  # as scikit-learn's vectorizers: no word of one letter
_CHOICES = re.compile(r"\bAnswer Choices:.*", re.DOTALL)


@dataclass(frozen=True)
class Classifier:
    """A trained classifier, and what is known of its errors.

    Attributes:
        terms: words and pairs of words, each with its `idf` and its `weights`; a positive weight speaks for reasoning.
        trained_on: "data" and "sha256" of its questions and labels.
        cross_validation: "folds", "n", "accuracy", "balanced_accuracy", "auroc", "share_of_the_larger_class".
    """

    terms: tuple[str, ...]
    idf: tuple[float, ...]
    weights: tuple[float, ...]
    intercept: float
    trained_on: Mapping[str, str]
    cross_validation: Mapping[str, float]

    @classmethod
    def read(cls, path: Path) -> Classifier:
        """Read a classifier from its JSON file.

        Raises:
            BrokenData: the file is not there, is not one, or was changed since it was written.
        """
        advice = "write one with: python -m medrival skills train"
        try:
            record: dict[str, Any] = json.loads(path.read_bytes())
            if record.pop("format") != FORMAT:
                raise ValueError
            fingerprint = record.pop("fingerprint")
            record |= {name: tuple(value) for name, value in record.items() if isinstance(value, list)}
            classifier = cls(**record)
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            raise BrokenData(f"{path}: it is no readable file of a skill classifier; {advice}") from None
        if classifier.fingerprint != fingerprint:
            raise BrokenData(f"{path}: its content does not match its fingerprint, it is damaged or was edited; {advice}")
        return classifier

    def text(self) -> str:
        """The JSON file's content; the same classifier gives the same text."""
        return json.dumps({"format": FORMAT, "fingerprint": self.fingerprint, **asdict(self)}, indent=0, ensure_ascii=False)

    @cached_property
    def fingerprint(self) -> str:
        """Sha256 over everything in it."""
        return key_of(asdict(self))

    def probability(self, question: str) -> float:
        """How probably a question is one of reasoning."""
        values = {i: count * self.idf[i] for i, count in self._known(question).items()}
        length = math.sqrt(sum(value**2 for value in values.values())) or 1.0
        logit = self.intercept + sum(value * self.weights[i] for i, value in values.items()) / length
        return 1 / (1 + math.exp(-logit)) if logit >= 0 else math.exp(logit) / (1 + math.exp(logit))

    def label(self, question: str) -> str:
        """The likelier skill, or "" where the question has no word that training has seen."""
        return SKILLS[self.probability(question) >= 0.5] if self._known(question) else ""

    def _known(self, question: str) -> Mapping[int, int]:
        """How often each term is in the question."""
        words = _WORD.findall(asked(question).lower())
        counts = Counter([*words, *map(" ".join, pairwise(words))])
        return {self._index[term]: count for term, count in counts.items() if term in self._index}

    @cached_property
    def _index(self) -> Mapping[str, int]:
        return {term: i for i, term in enumerate(self.terms)}


class LabelledSkills:
    """A scorer that labels what has no native skill, and splits accuracy by native and given labels alike."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def __call__(self, predictions: Sequence[Prediction]) -> Scores:
        """Accuracy on either skill, and beside it how often the classifier is right on the data it comes from."""
        labels = [p.skill or self._classifier.label(p.question) for p in predictions]
        given = Counter(label for p, label in zip(predictions, labels, strict=True) if not p.skill)
        if not given:
            return Scores({})
        hits = np.array([accuracy(replace(p, answer="") if p.error else p) for p in predictions], dtype=np.float64)
        values = {f"accuracy_{skill}": np.where(np.array(labels) == skill, hits, np.nan) for skill in SKILLS}
        about = {
            "labelled_by": "classifier",
            "labelled": {skill: given[skill] for skill in SKILLS},
            "unlabelled": given[""],
            "native": len(predictions) - given.total(),
            "classifier": self._classifier.fingerprint,
            "trained_on": dict(self._classifier.trained_on),
            "cross_validation": dict(self._classifier.cross_validation),
            "caveat": "cross-validated on questions of trained_on; how often it is right on this task's is not known",
        }
        return Scores(values, {"skills": about})


def asked(question: str) -> str:
    """A question without the choices that MedXpertQA writes behind it: other data sets have none in the text."""
    return _CHOICES.sub("", question).strip()
