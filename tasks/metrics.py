"""The metrics: one small function each, with its source.

A diagnosis metric takes (truth [samples] class indices, scores [samples, classes]) and returns a number, NaN where it
is undefined. A vqa metric takes one prediction and returns its value, NaN where it does not apply; the metric is the
mean. The order of the functions here is the order of reports.

A sample that failed counts as wrong: its true class has probability 0 and the others share the rest, its answer is
empty.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from medrival.contracts import Prediction, TaskKind
from medrival.errors import BrokenCatalog, BrokenData, MedrivalError, UnknownName
from medrival.statistics import Difference, Estimate, Floats, Statistic, difference, estimates, mean_of
from medrival.tasks.answers import normalise, read, same

Labels = NDArray[np.intp]
Resampled = Callable[[Labels, Floats, Floats], Floats]
F = TypeVar("F", bound=Callable[..., float])

PRIMARY = {"diagnosis": "auroc", "vqa": "closed_accuracy"}
CLOSED = ("closed", "choice")
NAN = float("nan")


@dataclass(frozen=True)
class Metric:
    """A metric of one kind of task; `resampled` computes a diagnosis metric under many rows of weights at once."""

    compute: Callable[..., float]
    resampled: Resampled | None


METRICS: dict[TaskKind, dict[str, Metric]] = {"diagnosis": {}, "vqa": {}}


def metric(name: str, of: TaskKind, resampled: Resampled | None = None) -> Callable[[F], F]:
    """Register a metric.

    `resampled` is for a diagnosis: (truth, scores, weights [resamples, samples]) -> [resamples], equal to the metric on
    samples repeated that often. Without it the metric is called once a resample, which is slow.

    Raises:
        BrokenCatalog: for a name that is taken.
    """

    def register(compute: F) -> F:
        if name in METRICS[of]:
            raise BrokenCatalog(f"metric {name!r} of {of} is defined twice; give yours another name")
        METRICS[of][name] = Metric(compute, resampled)
        return compute

    return register


def measure(
    kind: TaskKind,
    predictions: Sequence[Prediction],
    classes: Sequence[str] = (),
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> dict[str, Estimate]:
    """Every metric of this kind of task, with 95% intervals clustered by the predictions' group.

    A metric that is undefined on these predictions has the value None and a reason.

    Raises:
        BrokenData: a diagnosis whose truth is none of the classes, or whose scores are not one a class.
    """
    statistics = _statistics(kind, predictions, classes, tuple(METRICS[kind]))
    return estimates(statistics, [p.group for p in predictions], seed=seed, resamples=resamples)


def compare(
    kind: TaskKind,
    metric: str,
    first: Sequence[Prediction],
    second: Sequence[Prediction],
    classes: Sequence[str] = (),
    *,
    seed: int = 0,
    resamples: int = 2000,
) -> Difference:
    """First minus second in one metric, on the same samples under the same resamples (paired, clustered by group).

    Raises:
        UnknownName: there is no such metric.
        MedrivalError: the predictions are not of the same samples in the same order.
    """
    if [(p.id, p.group, p.truth) for p in first] != [(p.id, p.group, p.truth) for p in second]:
        raise MedrivalError("only predictions of the same samples in the same order can be compared; measure both anew")
    left, right = (_statistics(kind, p, classes, (metric,))[metric] for p in (first, second))
    return difference(left, right, [p.group for p in first], seed=seed, resamples=resamples)


def primary(kind: TaskKind, predictions: Sequence[Prediction]) -> str:
    """The metric that decides: AUROC; for questions closed accuracy, or accuracy where none is closed."""
    if kind == "vqa" and not any(p.form in CLOSED for p in predictions):
        return "accuracy"
    return PRIMARY[kind]


def _statistics(
    kind: TaskKind, predictions: Sequence[Prediction], classes: Sequence[str], names: Sequence[str]
) -> dict[str, Statistic]:
    if unknown := sorted(set(names) - set(METRICS[kind])):
        raise UnknownName(f"unknown metric {unknown[0]!r}; those of {kind} are {', '.join(METRICS[kind])}")
    chosen = {name: METRICS[kind][name] for name in names}
    if kind == "vqa":
        said = [replace(p, answer="") if p.error else p for p in predictions]
        return {name: _per_answer(one, said) for name, one in chosen.items()}
    truth, scores = _scored(predictions, classes)
    return {name: _over_scores(one, truth, scores, classes) for name, one in chosen.items()}


def _per_answer(metric: Metric, predictions: Sequence[Prediction]) -> Statistic:
    statistic = mean_of(np.array([metric.compute(p) for p in predictions], dtype=np.float64))
    return replace(statistic, undefined="no question of the kind it is about") if statistic.undefined else statistic


def _over_scores(metric: Metric, truth: Labels, scores: Floats, classes: Sequence[str]) -> Statistic:
    point = metric.compute(truth, scores) if len(truth) else NAN
    present = [classes[i] for i in np.unique(truth)]
    undefined = f"undefined where samples are of {' and '.join(present) or 'no class'} only" if np.isnan(point) else ""
    resampled: Any = partial(metric.resampled or partial(_one_by_one, metric.compute), truth, scores)
    return Statistic(point, resampled, len(truth), undefined)


def _one_by_one(compute: Callable[..., float], truth: Labels, scores: Floats, weights: Floats) -> Floats:
    times = weights.astype(np.intp)
    return np.array([compute(np.repeat(truth, row), np.repeat(scores, row, axis=0)) for row in times])


def _scored(predictions: Sequence[Prediction], classes: Sequence[str]) -> tuple[Labels, Floats]:
    index = {name: i for i, name in enumerate(classes)}
    truth, scores = np.empty(len(predictions), np.intp), np.empty((len(predictions), len(classes)))
    for row, p in enumerate(predictions):
        if p.truth not in index:
            raise BrokenData(f"sample {p.id!r}: its class {p.truth!r} is none of {', '.join(classes)}")
        if not p.error and len(p.scores) != len(classes):
            raise BrokenData(f"sample {p.id!r}: {len(p.scores)} scores for {len(classes)} classes")
        truth[row] = index[p.truth]
        failed = bool(p.error) or not np.isfinite(p.scores).all()
        scores[row] = 1 / max(len(classes) - 1, 1) if failed else p.scores
        if failed:
            scores[row, truth[row]] = 0.0
    return truth, scores


def _hits(truth: Labels, scores: Floats) -> Floats:
    hits: Floats = (scores.argmax(axis=1) == truth).astype(np.float64)
    return hits


def _columns(scores: Floats) -> list[int]:
    """The classes that are ranked against the rest: the last of two, each of more."""
    return [1] if scores.shape[1] == 2 else list(range(scores.shape[1]))


def _resampled_auroc(truth: Labels, scores: Floats, weights: Floats) -> Floats:
    """Weighted Mann-Whitney statistic; a tie counts one half."""
    areas = np.zeros(len(weights))
    for column in _columns(scores):
        order = np.argsort(scores[:, column], kind="stable")
        score, positive, drawn = scores[order, column], truth[order] == column, weights[:, order]
        ties = np.flatnonzero(np.r_[True, score[1:] != score[:-1]])
        positives, negatives = (np.add.reduceat(drawn * of, ties, axis=1) for of in (positive, ~positive))
        below = np.cumsum(negatives, axis=1) - negatives / 2
        with np.errstate(invalid="ignore"):
            areas += (positives * below).sum(axis=1) / (positives.sum(axis=1) * negatives.sum(axis=1))
    return areas / len(_columns(scores))


def _resampled_accuracy(truth: Labels, scores: Floats, weights: Floats) -> Floats:
    return mean_of(_hits(truth, scores)).resampled(weights)


def _resampled_balanced_accuracy(truth: Labels, scores: Floats, weights: Floats) -> Floats:
    members = np.eye(scores.shape[1])[truth]
    with np.errstate(invalid="ignore"):
        recalls = (weights @ (members * _hits(truth, scores)[:, None])) / (weights @ members)
    mean: Floats = np.nanmean(recalls, axis=1)
    return mean


@metric("auroc", of="diagnosis", resampled=_resampled_auroc)
def auroc(truth: Labels, scores: Floats) -> float:
    """Area under the ROC curve of the last of two classes; of more, the mean of each against the rest (sklearn)."""
    from sklearn.metrics import roc_auc_score

    if len(np.unique(truth)) < max(scores.shape[1], 2):
        return NAN
    return float(np.mean([roc_auc_score(truth == column, scores[:, column]) for column in _columns(scores)]))


@metric("accuracy", of="diagnosis", resampled=_resampled_accuracy)
def diagnosis_accuracy(truth: Labels, scores: Floats) -> float:
    """Share of samples whose most probable class is the true one (scikit-learn)."""
    from sklearn.metrics import accuracy_score

    return float(accuracy_score(truth, scores.argmax(axis=1)))


@metric("balanced_accuracy", of="diagnosis", resampled=_resampled_balanced_accuracy)
def balanced_accuracy(truth: Labels, scores: Floats) -> float:
    """Mean recall over the classes that occur, chance = 1 / classes (scikit-learn's definition)."""
    from sklearn.metrics import recall_score

    occurring = np.unique(truth)
    return float(recall_score(truth, scores.argmax(axis=1), labels=occurring, average="macro", zero_division=0.0))


@metric("accuracy", of="vqa")
def accuracy(p: Prediction) -> float:
    """Share of right answers: strictly read where the question is closed or a choice, exact match where it is open."""
    stated = p.answer if p.form == "open" else read(p.answer, p.options)
    return float(stated is not None and same(stated, p.truth))


@metric("closed_accuracy", of="vqa")
def closed_accuracy(p: Prediction) -> float:
    """Accuracy on closed questions and choices, strictly read: "no" is not found in "abnormal" (see `answers`)."""
    return accuracy(p) if p.form in CLOSED else NAN


@metric("exact_match", of="vqa")
def exact_match(p: Prediction) -> float:
    """Share of open answers that equal the reference after normalisation (SQuAD, Rajpurkar et al. 2016)."""
    return accuracy(p) if p.form == "open" else NAN


@metric("token_f1", of="vqa")
def token_f1(p: Prediction) -> float:
    """Harmonic mean of word precision and recall of open answers (SQuAD, Rajpurkar et al. 2016)."""
    if p.form != "open":
        return NAN
    said, truth = Counter(normalise(p.answer).split()), Counter(normalise(p.truth).split())
    return 2 * (said & truth).total() / max(said.total() + truth.total(), 1)


@metric("bleu_1", of="vqa")
def bleu_1(p: Prediction) -> float:
    """Unigram BLEU with brevity penalty of open answers, normalised (Papineni et al. 2002; NLTK's sentence_bleu)."""
    if p.form != "open":
        return NAN
    from nltk.translate.bleu_score import sentence_bleu

    return float(sentence_bleu([normalise(p.truth).split()], normalise(p.answer).split(), weights=(1.0,)))


@metric("rouge_l", of="vqa")
def rouge_l(p: Prediction) -> float:
    """F-measure of the longest common subsequence of open answers, normalised (Lin 2004; package rouge-score)."""
    if p.form != "open":
        return NAN
    from rouge_score.rouge_scorer import RougeScorer

    return float(RougeScorer(["rougeL"]).score(normalise(p.truth), normalise(p.answer))["rougeL"].fmeasure)


@metric("unparseable_rate", of="vqa")
def unparseable_rate(p: Prediction) -> float:
    """Share of closed questions and choices whose answer states no option or several; failed samples are among them."""
    return float(read(p.answer, p.options) is None) if p.form in CLOSED else NAN


@metric("accuracy_understanding", of="vqa")
def accuracy_understanding(p: Prediction) -> float:
    """Accuracy on questions about what is seen (paper B's split of skills)."""
    return accuracy(p) if p.skill == "understanding" else NAN


@metric("accuracy_reasoning", of="vqa")
def accuracy_reasoning(p: Prediction) -> float:
    """Accuracy on questions that need more than what is seen (paper B's split of skills)."""
    return accuracy(p) if p.skill == "reasoning" else NAN
