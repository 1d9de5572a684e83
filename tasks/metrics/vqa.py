"""Metrics of answers in words.

Those of open questions compare words: the conclusion of the answer and the reference, both normalised, split at spaces
(docs/answers.md). A sample's BLEU, ROUGE and METEOR are averaged; that is not the BLEU of a corpus.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable
from functools import lru_cache, wraps
from types import SimpleNamespace
from typing import Any

from medrival.contracts import Form, Prediction
from medrival.tasks.answers import conclusion, normalise, read, same
from medrival.tasks.chinese import HAN
from medrival.tasks.metrics.registry import NAN, metric

CACHED = 20_000
"""Texts of which the words are kept: more than a case has, for one metric after the other goes through all of them."""
CLOSED: tuple[Form, ...] = ("closed", "choice")

Words = tuple[str, ...]
_WORDS = re.compile(rf"[{HAN}]|[^\s{HAN}]+")
Compute = Callable[[Prediction], float]


def only(*forms: Form) -> Callable[[Compute], Compute]:
    """Make a metric NaN, not applicable, for questions of other forms."""

    def restrict(compute: Compute) -> Compute:
        @wraps(compute)
        def restricted(p: Prediction) -> float:
            return compute(p) if p.form in forms else NAN

        return restricted

    return restrict


@metric("accuracy", of="vqa")
def accuracy(p: Prediction) -> float:
    """Share of right answers: strictly read where the question is closed or a choice, exact match where it is open."""
    said = stated(p)
    if p.form == "choice":  # an option verbatim
        return float(said == p.truth)
    return float(said is not None and any(same(said, truth) for truth in accepted(p)))


@metric("closed_accuracy", of="vqa")
@only(*CLOSED)
def closed_accuracy(p: Prediction) -> float:
    """Accuracy on closed questions and choices, strictly read: "no" is not found in "abnormal" (see `answers`)."""
    return accuracy(p)


@metric("exact_match", of="vqa")
@only("open")
def exact_match(p: Prediction) -> float:
    """Share of open answers that equal the reference after normalisation (SQuAD, Rajpurkar et al. 2016)."""
    return accuracy(p)


@metric("token_f1", of="vqa")
@only("open")
def token_f1(p: Prediction) -> float:
    """Harmonic mean of word precision and recall of open answers (SQuAD, Rajpurkar et al. 2016)."""
    return _alike(*_words(p))


@metric("token_precision", of="vqa")
@only("open")
def token_precision(p: Prediction) -> float:
    """Share of the answer's words that are in the reference, each at most as often as there (open; as SQuAD's F1)."""
    shared, said, _ = _shared(p)
    return shared / max(said, 1)


@metric("token_recall", of="vqa")
@only("open")
def token_recall(p: Prediction) -> float:
    """Share of the reference's words that are in the answer, each at most as often as there (open; as SQuAD's F1)."""
    shared, _, truth = _shared(p)
    return shared / max(truth, 1)


@metric("bleu_1", of="vqa")
@only("open")
def bleu_1(p: Prediction) -> float:
    """Precision of words with brevity penalty, of open answers (Papineni et al. 2002; NLTK's sentence_bleu)."""
    return _bleu(p, 1)


@metric("bleu_2", of="vqa")
@only("open")
def bleu_2(p: Prediction) -> float:
    """BLEU up to pairs of words, without smoothing; of a shorter answer up to its length (sacrebleu's effective order)."""
    return _bleu(p, 2)


@metric("bleu_3", of="vqa")
@only("open")
def bleu_3(p: Prediction) -> float:
    """BLEU up to triples of words; as `bleu_2`."""
    return _bleu(p, 3)


@metric("bleu_4", of="vqa")
@only("open")
def bleu_4(p: Prediction) -> float:
    """BLEU up to four words in a row; as `bleu_2`."""
    return _bleu(p, 4)


@metric("rouge_l", of="vqa")
@only("open")
def rouge_l(p: Prediction) -> float:
    """F-measure of the longest common subsequence of open answers (Lin 2004; package rouge-score on our words)."""
    truth, said = _words(p)
    return float(_rouge().score(" ".join(truth), " ".join(said))["rougeL"].fmeasure)


@metric("meteor", of="vqa")
@only("open")
def meteor(p: Prediction) -> float:
    """METEOR of open answers by exact and by stemmed words, without synonyms (Lavie & Agarwal 2007; NLTK, Porter stemmer).

    Synonyms would make the number depend on whether WordNet is on the machine. A right answer of one word scores 0.5, of
    m words 1 - 0.5 / m^3: the measure's penalty for fragments knows no whole.
    """
    from nltk.translate.meteor_score import single_meteor_score

    truth, said = _words(p)
    return float(single_meteor_score(truth, said, stemmer=_stemmer(), wordnet=_NoSynonyms()))


@metric("unparseable_rate", of="vqa", lower_is_better=True)
@only(*CLOSED)
def unparseable_rate(p: Prediction) -> float:
    """Share of closed questions and choices whose answer states no option or several; failed samples are among them."""
    return float(stated(p) is None)


@metric("accuracy_understanding", of="vqa")
def accuracy_understanding(p: Prediction) -> float:
    """Accuracy on questions about what is seen (paper B's split of skills)."""
    return accuracy(p) if p.skill == "understanding" else NAN


@metric("accuracy_reasoning", of="vqa")
def accuracy_reasoning(p: Prediction) -> float:
    """Accuracy on questions that need more than what is seen (paper B's split of skills)."""
    return accuracy(p) if p.skill == "reasoning" else NAN


@metric("exact_match_plain", of="vqa")
def exact_match_plain(p: Prediction) -> float:
    """Share of answers that equal the reference but for case and outer white space, whatever the form of the question."""
    return float(p.answer.strip().lower() in {truth.strip().lower() for truth in accepted(p)} - {""})


@metric("exact_match_plain_closed", of="vqa")
@only(*CLOSED)
def exact_match_plain_closed(p: Prediction) -> float:
    """`exact_match_plain` of closed questions and choices."""
    return exact_match_plain(p)


@metric("exact_match_plain_open", of="vqa")
@only("open")
def exact_match_plain_open(p: Prediction) -> float:
    """`exact_match_plain` of open questions."""
    return exact_match_plain(p)


def accepted(p: Prediction) -> tuple[str, ...]:
    """The right answers: of an open question there may be several."""
    return p.options if p.form == "open" and p.options else (p.truth,)


def stated(p: Prediction) -> str | None:
    """What the answer states, strictly read, or None where it states nothing or two things (see `answers`)."""
    return read(p.answer, () if p.form == "open" else p.options, lettered=p.form == "choice")


class _NoSynonyms:
    """Stands in for WordNet."""

    def synsets(self, _word: str) -> list[Any]:
        return []


class _Spaces:
    """Splits what is normalised already; the package's own tokenizer drops every letter beyond a to z."""

    def tokenize(self, text: str) -> list[str]:
        return text.split()


@lru_cache(maxsize=1)
def _rouge() -> Any:
    from rouge_score.rouge_scorer import RougeScorer

    return RougeScorer(["rougeL"], tokenizer=_Spaces())


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    from nltk.stem.porter import PorterStemmer

    return SimpleNamespace(stem=lru_cache(maxsize=CACHED)(PorterStemmer().stem))


def _words(p: Prediction) -> tuple[Words, Words]:
    """The reference's words and the answer's; of several references those that are most alike (SQuAD: the largest F1)."""
    said = _split(conclusion(p.answer))
    return max(map(_split, accepted(p)), key=lambda truth: _alike(truth, said)), said


@lru_cache(maxsize=CACHED)
def _split(text: str) -> Words:
    """Words, and ideographs one by one, as between those there are no spaces (the F1 of CMRC 2018, Cui et al. 2019)."""
    return tuple(_WORDS.findall(normalise(text)))


def _alike(truth: Words, said: Words) -> float:
    return 2 * (Counter(said) & Counter(truth)).total() / max(len(said) + len(truth), 1)


def _shared(p: Prediction) -> tuple[int, int, int]:
    """How many words answer and reference share, how many the answer has, and the reference."""
    truth, said = map(Counter, _words(p))
    return (said & truth).total(), said.total(), truth.total()


def _bleu(p: Prediction, order: int) -> float:
    from nltk.translate.bleu_score import brevity_penalty, modified_precision

    truth, said = _words(p)
    precisions = [float(modified_precision([truth], said, n)) for n in range(1, min(order, len(said)) + 1)]
    if not precisions or not all(precisions):
        return 0.0
    return float(brevity_penalty(len(truth), len(said)) * math.prod(precisions) ** (1 / len(precisions)))
