"""The metrics of paper A (arXiv 2506.17337) as its code computes them, for comparison with its tables and nothing else.

Two of its names mislead: closed accuracy looks for the reference anywhere inside the answer, so that "no" is found in
"abnormal", and exact match is close to the precision of words. No verdict and no gate may rest on these numbers; the
strict ones are in `vqa`. Behaviour after eval/vqa.py, eval/metrics.py and eval/utils.py of the paper's repository
MedVLMBench, which took the last two from LLaVA-Med. Choices are left out: how the paper finds an answer's letter is not
known to us.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from medrival.contracts import Prediction
from medrival.tasks.answers import ARTICLES
from medrival.tasks.metrics.registry import metric
from medrival.tasks.metrics.vqa import CACHED, only

RIGHT_FROM = 0.75
"""The recall from which paper A calls an open answer right."""

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_NUMBERS = "zero one two three four five six seven eight nine ten"
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_NUMBERS.split())}
_CONTRACTED = """
    ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
    how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've might've mustn't must've needn't not've o'clock
    oughtn't 'ow's'at shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
    someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
    they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's where'd
    where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've y'all
    y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_CONTRACTIONS = {"somebody'd": "somebodyd"} | {
    word[:place] + word[place + 1 :]: word for word in _CONTRACTED.split() for place, char in enumerate(word) if char == "'"
}
_DOT = re.compile(r"\.(?!\d)")
_DOTS_DROPPED = 32  # the original passes a flag of that value where re takes a count
_DIGIT_COMMA_DIGIT = re.compile(r"\d,\d")


@metric("medvlmbench_closed_accuracy", of="vqa")
@only("closed")
def closed_accuracy(p: Prediction) -> float:
    """Paper A's closed accuracy: share of closed questions whose reference, lower-cased, is somewhere in the answer."""
    return float(p.truth.lower() in p.answer.lower())


@metric("medvlmbench_open_accuracy", of="vqa")
@only("open")
def open_accuracy(p: Prediction) -> float:
    """Paper A's open accuracy: share of open questions whose `medvlmbench_recall` is at least 0.75."""
    return float(recall(p) >= RIGHT_FROM)


@metric("medvlmbench_exact_match", of="vqa")
@only("open", "closed")
def exact_match(p: Prediction) -> float:
    """Paper A's exact match, which is none: distinct words of the reference found in the answer / words of the answer."""
    said, truth = _words(p.answer), _words(p.truth)
    return len(said.keys() & truth.keys()) / max(said.total(), 1)


@metric("medvlmbench_precision", of="vqa")
@only("open", "closed")
def precision(p: Prediction) -> float:
    """Paper A's precision of words: the share of the answer's words that occur in the reference, however often there."""
    return _bag_of_words(p)[0]


@metric("medvlmbench_recall", of="vqa")
@only("open", "closed")
def recall(p: Prediction) -> float:
    """Paper A's recall of words: the answer's words that occur in the reference / these + the reference's it lacks."""
    return _bag_of_words(p)[1]


@metric("medvlmbench_f1", of="vqa")
@only("open", "closed")
def f1(p: Prediction) -> float:
    """Paper A's F1: harmonic mean of `medvlmbench_precision` and `medvlmbench_recall`."""
    precise, complete = _bag_of_words(p)
    return 2 * precise * complete / (precise + complete) if precise else 0.0


def _bag_of_words(p: Prediction) -> tuple[float, float]:
    """Precision and recall, 0 where no word is shared."""
    said, truth = _words(p.answer), _words(p.truth)
    hits = sum(count for word, count in said.items() if word in truth)
    missed = sum(count for word, count in truth.items() if word not in said)
    return (hits / said.total(), hits / (hits + missed)) if hits else (0.0, 0.0)


def _words(text: str) -> Counter[str]:
    return Counter(normalise(text.lower()).split())


@lru_cache(maxsize=CACHED)
def normalise(text: str) -> str:
    """A lower-cased text as paper A compares it: the VQA evaluation's normalisation with the slips it came with.

    A punctuation mark beside a space vanishes from the whole text, else it becomes a space; a comma between digits makes
    all of them vanish. The first 32 full stops that no digit follows go. Number words become digits and "none" 0;
    articles go; contractions get the apostrophe they lack.
    """
    glued = _DIGIT_COMMA_DIGIT.search(text) is not None
    spaced = text
    for mark in _PUNCTUATION:
        vanishes = glued or f"{mark} " in text or f" {mark}" in text
        spaced = spaced.replace(mark, "" if vanishes else " ")
    numbered = (_DIGITS.get(word, word) for word in _DOT.sub("", spaced, count=_DOTS_DROPPED).split())
    return " ".join(_CONTRACTIONS.get(word, word) for word in numbered if word not in ARTICLES)
