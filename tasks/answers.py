"""What an answer in words says: normalised text, yes or no, one of several options.

The readers are strict. An answer that states nothing, or two things at once, is None and counts as wrong: a benchmark
that guesses what a model may have meant measures the guess. All are linear in the length of the answer.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

ARTICLES = frozenset({"a", "an", "the"})
YES_NO = frozenset({"yes", "no"})

_JOINS = re.compile(r"['\u2019`]|(?<=\d),(?=\d{3}(?!\d))")  # patient's, 1,000
_LONE_DOT = re.compile(r"(?<!\d)\.|\.(?!\d)")

_ONE_OF_TWO = r"(?P<said>yes|no)\b(?! (?:(?:and|or) )?(?!(?P=said)\b)(?:yes|no)\b)"  # not "yes and no", not "yes/no"
_LEADS = re.compile(_ONE_OF_TWO)
_STATES = re.compile(rf"\b(?:answer(?: is)?|boxed(?: text)?) {_ONE_OF_TWO}")
_MENTIONS = re.compile(r"(?<!\bnot )\b(?:yes|no)\b")

_STATEMENT = re.compile(r"\b(?:answer|option|choice)\s*(?:is\b\s*:?|[:=])|\\boxed\s*\{(?:\\\w+\s*\{)?", re.IGNORECASE)
_STATED_LETTER = re.compile(r"\W*([A-Za-z])(?![\w'\u2019]|-\w|[\s)]*(?:\b(?:and|or)\b|[,/&])[\s(]*[A-Z]\b)")
_CAPITAL = re.compile(r"(?<![\w'\u2019-])(?<!\bnot )([A-Z])(?![\w'\u2019]|-\w)")
_SMALL = re.compile(r"\(([a-z])\)|^\W*([a-z])(?:[).:](?!\w)|\W*$)")
_AS_A_WORD = re.compile(r"\s+(?!(?:and|or|is|because|[A-Z])\b)\w")  # what follows the article A and the pronoun I


def normalise(text: str) -> str:
    """The words of a text, for comparison.

    Unicode NFKC, lower case, punctuation and symbols become spaces, the articles a, an and the go, white space is
    folded: after SQuAD (Rajpurkar et al. 2016). As in the VQA evaluation (Antol et al. 2015), apostrophes and the comma
    of 1,000 vanish and the point of 1.5 stays. Number words stay words. A text of nothing but articles keeps them.
    """
    text = _JOINS.sub("", unicodedata.normalize("NFKC", text).lower())
    text = "".join(c if c == "." or unicodedata.category(c)[0] in "LMN" else " " for c in text)
    words = _LONE_DOT.sub(" ", text).split()
    return " ".join([word for word in words if word not in ARTICLES] or words)


def same(answer: str, truth: str) -> bool:
    """Whether two answers are equal after `normalise`; an answer without a word equals nothing."""
    return normalise(answer) == normalise(truth) != ""


def read(answer: str, options: Sequence[str]) -> str | None:
    """What an answer states, or None where it states nothing or two things.

    The options are yes and no, the texts of a choice, or none: then the whole answer is what it states.
    """
    if not options:
        return answer if normalise(answer) else None
    if {normalise(option) for option in options} == YES_NO:
        return parse_yes_no(answer)
    return parse_choice(answer, options)


def parse_yes_no(text: str) -> str | None:
    """The "yes" or "no" that a text states as a word, or None.

    The word it begins with counts first ("Yes, there is no fracture"), then the last explicit statement ("the answer is
    no"), then the only one it mentions ("There is no fracture"). "Yes and no" states neither.
    """
    words = normalise(text)
    if leads := _LEADS.match(words):
        return leads["said"]
    if states := list(_STATES.finditer(words)):
        return states[-1]["said"]
    mentioned = set(_MENTIONS.findall(words))
    return mentioned.pop() if len(mentioned) == 1 else None


def parse_choice(text: str, options: Sequence[str]) -> str | None:
    r"""The text of the option that an answer names, by its letter or its words, or None.

    The last explicit statement counts first ("the answer is (B)", "Answer: B", "\boxed{B}"). Otherwise the whole text
    must name exactly one option. A capital A that goes on as a sentence ("A fracture is seen") is an article.
    """
    for statement in reversed(_STATEMENT.split(text)[1:]):
        index = _stated(statement, options)
        if index is not None:
            return options[index]
    named = _lettered(text, options) | _worded(text, options)
    return options[named.pop()] if len(named) == 1 else None


def _stated(statement: str, options: Sequence[str]) -> int | None:
    letter = _STATED_LETTER.match(statement)
    if letter and (index := _index(letter, options)) is not None:
        return index
    words = f"{normalise(statement)} "
    return next((i for i, phrase in _phrases(options) if words.startswith(f"{phrase} ")), None)


def _lettered(text: str, options: Sequence[str]) -> set[int]:
    for option in sorted(options, key=len, reverse=True):
        if len(option) > 1:  # the B of "vitamin B" is no letter where that is an option's text
            text = re.sub(rf"(?<!\w){re.escape(option)}(?!\w)", " _ ", text, flags=re.IGNORECASE)
    letters = [*_CAPITAL.finditer(text), *_SMALL.finditer(text)]
    return {index for letter in letters if (index := _index(letter, options)) is not None}


def _worded(text: str, options: Sequence[str]) -> set[int]:
    words, named = f" {normalise(text)} ", set()
    for index, phrase in _phrases(options):
        words = words.replace(f" not {phrase} ", " | ")
        if f" {phrase} " in words:
            named.add(index)
        words = words.replace(f" {phrase} ", " | ")
    return named


def _phrases(options: Sequence[str]) -> list[tuple[int, str]]:
    """Options as normalised words, longest first: who names "left lung" does not name "lung"."""
    phrases = [(index, normalise(option)) for index, option in enumerate(options)]
    return sorted(((i, phrase) for i, phrase in phrases if phrase), key=lambda pair: -len(pair[1]))


def _index(letter: re.Match[str], options: Sequence[str]) -> int | None:
    name = letter[letter.lastindex or 0].upper()
    if name in "AI" and _AS_A_WORD.match(letter.string, letter.end(letter.lastindex or 0)):
        return None
    index = ord(name) - ord("A")
    return index if index < len(options) else None
