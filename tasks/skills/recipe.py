"""Trains the classifier of understanding and reasoning on MedXpertQA's labels, and measures how often it is right.

Zuo et al. 2025, MedXpertQA (config MM; 2,000 test questions): columns id, question, options, label, images, medical_task,
body_system, question_type; the last is "Reasoning" or "Understanding". The choices written behind each question are cut off.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from medrival.errors import BrokenData, first_line
from medrival.tasks.skills.classifier import SKILLS, Classifier, asked

FOLDS = 5
SEED = 0


def train(path: Path) -> Classifier:
    """Train on a file of MedXpertQA, .jsonl, .json or .parquet; the same file gives the same classifier.

    Raises:
        BrokenData: naming the row and what is wrong with it, or the label of which there are too few.
    """
    questions, labels = _examples(path)
    try:
        scores = _out_of_fold(questions, labels)
    except ValueError as error:
        raise BrokenData(f"{path}: its questions are too few or too much alike to train on ({first_line(error)})") from error
    vectorizer, regression = (step for _, step in _pipeline().fit(questions, labels).steps)
    data = hashlib.sha256(json.dumps([questions, labels.tolist()]).encode()).hexdigest()
    return Classifier(
        terms=tuple(vectorizer.get_feature_names_out().tolist()),
        idf=tuple(vectorizer.idf_.tolist()),
        weights=tuple(regression.coef_[0].tolist()),
        intercept=float(regression.intercept_[0]),
        trained_on={"data": "MedXpertQA", "sha256": data},
        cross_validation=_quality(labels, scores),
    )


def _pipeline() -> Any:
    """Classes weigh the same, as one is nearly three times as frequent as the other; a term must be in two questions."""
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    return make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), min_df=2),
        LogisticRegression(class_weight="balanced", max_iter=1000),
    )


def _out_of_fold(questions: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Probability of reasoning of each question, from a classifier that saw neither it nor one of the same words."""
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    _, groups = np.unique([question.lower() for question in questions], return_inverse=True)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    found: np.ndarray = cross_val_predict(
        _pipeline(), list(questions), labels, cv=folds, groups=groups, method="predict_proba"
    )[:, 1]
    return found


def _quality(labels: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    """Over the pooled out-of-fold predictions; accuracy is to be read beside the share of the larger class."""
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, roc_auc_score

    called = scores >= 0.5
    return {
        "folds": FOLDS,
        "n": len(labels),
        "accuracy": float(accuracy_score(labels, called)),
        "balanced_accuracy": float(balanced_accuracy_score(labels, called)),
        "auroc": float(roc_auc_score(labels, scores)),
        "share_of_the_larger_class": float(max(np.mean(labels), 1 - np.mean(labels))),
    }


def _examples(path: Path) -> tuple[list[str], np.ndarray]:
    questions, labels = [], []
    for number, row in enumerate(_rows(path), start=1):
        question, kind = (row.get(name) for name in ("question", "question_type")) if isinstance(row, dict) else (None, None)
        if not isinstance(question, str) or not asked(question):
            raise BrokenData(f"{path}, row {number}: it has no question")
        if not isinstance(kind, str) or kind.lower() not in SKILLS:
            raise BrokenData(f"{path}, row {number}: question_type is {kind!r}; it must be 'Reasoning' or 'Understanding'")
        questions.append(asked(question))
        labels.append(kind.lower() == "reasoning")
    counts = np.bincount(np.array(labels, dtype=int), minlength=2)
    if counts.min() < FOLDS:
        raise BrokenData(
            f"{path}: {counts.min()} questions of {SKILLS[counts.argmin()]}; cross-validation needs at least {FOLDS} of "
            "each; take the file of the test split, the development split is too small"
        )
    return questions, np.array(labels)


def _rows(path: Path) -> list[Any]:
    try:
        if path.suffix == ".parquet":
            import pyarrow.parquet

            rows: list[Any] = pyarrow.parquet.read_table(path, columns=["question", "question_type"]).to_pylist()
            return rows
        text = path.read_text(encoding="utf-8")
        read = [json.loads(line) for line in text.split("\n") if line.strip()] if path.suffix == ".jsonl" else json.loads(text)
    except (OSError, ValueError) as error:  # pyarrow's own errors are among them
        raise BrokenData(f"{path}: it cannot be read as {path.suffix or 'JSON'}: {error}") from error
    if not isinstance(read, list):
        raise BrokenData(f"{path}: it must hold a list of questions")
    return read
