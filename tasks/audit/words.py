"""A model that answers questions by their words and those of the options, and sees no image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from medrival.contracts import Sample
from medrival.limit import part
from medrival.tasks.answers import normalise
from medrival.tasks.chinese import HAN

MOST_LEARNED = 20_000
"""Training questions: more of them change little and take their time."""
FOLDS = 5
LETTERS = 26
WORDS = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": rf"[{HAN}]|[^\W{HAN}]+"}
"""Words and pairs of words; Chinese, which has no spaces, by character."""


def answered(test: Sequence[Sample], train: Sequence[Sample]) -> dict[str, str]:
    """A reply to each test question of one form, closed or choice, by id.

    Without training questions a fold of the test questions is answered by a model of the others, of which no group is in the
    fold. Nothing is answered where there are too few groups for that.
    """
    if train:
        return _learnt(part(train, MOST_LEARNED), test)
    from sklearn.model_selection import GroupKFold

    groups = [sample.group or sample.id for sample in test]
    if len(set(groups)) < 2:
        return {}
    replies: dict[str, str] = {}
    for others, fold in GroupKFold(min(FOLDS, len(set(groups)))).split(test, groups=groups):
        replies |= _learnt(part([test[i] for i in others], MOST_LEARNED), [test[i] for i in fold])
    return replies


def _learnt(train: Sequence[Sample], test: Sequence[Sample]) -> dict[str, str]:
    learn = _choices if train[0].form == "choice" else _classes
    return dict(zip((sample.id for sample in test), learn(train, test), strict=True))


def _classes(train: Sequence[Sample], test: Sequence[Sample]) -> list[str]:
    """The most probable of the training answers; among a question's own options where it has any."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    answers = np.array([normalise(sample.truth) for sample in train])
    if len(set(answers)) == 1:
        return [str(answers[0])] * len(test)
    model = make_pipeline(TfidfVectorizer(**WORDS), LogisticRegression(max_iter=1000))
    model.fit([sample.question for sample in train], answers)
    shares = model.predict_proba([sample.question for sample in test])
    column = {answer: place for place, answer in enumerate(model.classes_)}
    return [_likeliest(sample, row, column) for sample, row in zip(test, shares, strict=True)]


def _likeliest(sample: Sample, shares: np.ndarray, column: dict[str, int]) -> str:
    if not sample.options:
        return max(column, key=lambda answer: shares[column[answer]])
    return max(sample.options, key=lambda option: shares[column[normalise(option)]] if normalise(option) in column else -1.0)


def _choices(train: Sequence[Sample], test: Sequence[Sample]) -> list[str]:
    """The letter of the likeliest option: by its words, its letter, its length and what it shares with the question."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    words = TfidfVectorizer(**WORDS)
    words.fit([text for sample in train for text in (sample.question, *sample.options)])
    right = np.array([option == sample.truth for sample in train for option in sample.options])
    if right.all():  # every question has one option
        return [sample.replies[0] for sample in test]
    model = LogisticRegression(max_iter=1000).fit(_described(train, words), right)
    scores = model.decision_function(_described(test, words))
    ends = np.cumsum([len(sample.options) for sample in test])[:-1]
    return [sample.replies[int(own.argmax())] for sample, own in zip(test, np.split(scores, ends), strict=True)]


def _described(samples: Sequence[Sample], words: Any) -> Any:
    """[options of all samples, features], sparse."""
    from scipy.sparse import csr_matrix, hstack

    of = np.repeat(np.arange(len(samples)), [len(sample.options) for sample in samples])
    options = words.transform([option for sample in samples for option in sample.options])
    questions = words.transform([sample.question for sample in samples])[of]
    likeness = options.multiply(questions).sum(axis=1)
    letters = np.eye(LETTERS)[[place for sample in samples for place in range(len(sample.options))]]
    lengths = [len(option) / max(map(len, sample.options)) for sample in samples for option in sample.options]
    return hstack([options, csr_matrix(np.column_stack([likeness, letters, lengths]))]).tocsr()
