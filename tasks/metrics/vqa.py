"""Metrics of answers in words."""

from __future__ import annotations

from collections import Counter

from medrival.contracts import Prediction
from medrival.tasks.answers import normalise, read, same
from medrival.tasks.metrics.registry import NAN, metric

CLOSED = ("closed", "choice")


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
