"""What an answer in words says: normalised text, yes or no, one of several options.

The readers are strict. An answer that states nothing, or two things at once, is None and counts as wrong: a benchmark
that guesses what a model may have meant measures the guess. All are linear in the length of the answer. The rules and
their reasons are in docs/answers.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence

ARTICLES = frozenset({"a", "an", "the"})
YES_NO = frozenset({"yes", "no"})

_JOINS = re.compile(r"['\u2019`]|(?<=\d),(?=\d{3}(?!\d))")  # patient's, 1,000
_LONE_DOT = re.compile(r"(?<!\d)\.|\.(?!\d)")

_BOX = re.compile(r"\bboxed\s*\{")
_BRACE = re.compile(r"[{}]")
_MARKUP = re.compile(r"\\(?:text|math)(?:bf|it|rm|sf|tt)?\b|[*`${}\\]|__")
_UNABLE = (
    r"(?:cannot|can not|can['\u2019]?t|(?:unable|not able|impossible|not possible) to) (?:\w+ )?"
    r"(?:answer|assess|assist|conclud|confirm|decid|determin|diagnos|evaluat|help|interpret|judg|make|provid|say|tell)"
)
_SORRY = r"as an ai\b|i(?: a|['\u2019])m sorry\b|i apologi[sz]e\b|no (?:answer|comment|idea|image|information|opinion|way)\b"
_REFUSAL = re.compile(rf"\b(?:no,? i )?(?:{_UNABLE}|{_SORRY})[^.!?;\n]*?(?=\bbut\b|[.!?;\n]|$)", re.IGNORECASE)

_END = r"(?= ?(?:[^\w\s]|$))"  # of a clause: "no." is an answer, "no fracture" is a finding
_BOTH = re.compile(rf"\b(yes|no)(?: ?(?:[/&]|\b(?:and|or)\b) ?(?!\1)(?:yes|no)\b|,? (?!\1)(?:yes|no)\b{_END})", re.MULTILINE)
_WORD = r"(?<!/)(yes|no)\b(?!/|-\w|\. ?\d)"  # not "yes/no", not "no-contrast CT", not "No. 3"
_LEADS = re.compile(rf"\W*(?:yes/no|{_WORD})")
_ANSWERS = re.compile(rf"\banswer(?: is)?[ :=\"'(]{{1,4}}{_WORD}")
_MENTIONS = re.compile(rf"(?<!\bnot )\b{_WORD}(?:(?<=yes)|{_END})", re.MULTILINE)

_STATEMENT = re.compile(r"\b(?:answer|option|choice) ?(?:is\b ?:?|[:=])", re.IGNORECASE)
_LETTER = re.compile(r"\W*([A-Za-z])(?![\w'\u2019]|-\w|[\s)]*(?:\b(?:and|or)\b|[,/&])[\s(]*[A-Z]\b)")
_ALONE = re.compile(r"\W*[A-Za-z]\W*")
_LISTED = re.compile(r"(?:^|(?<=[.;] ))[(\[]?([A-Za-z])(?:[.):\]](?!\w)|$)", re.MULTILINE)
_NAMED = r"(?:vitamin|hepatitis|influenza|type|grade|group|class|stage|factor|panel|figure|image|arrow|label) [A-Z]\b"
_RULED_OUT = r"(?i:is|are|was) (?i:not|wrong|incorrect|unlikely|excluded|ruled out)\b"
_WITHOUT = r"(?i:no|not|nor|without|excludes?|rules? out)"
_DENIED = re.compile(rf"\b{_WITHOUT} \(?[A-Z]\b|\b[A-Z]\)? {_RULED_OUT}|\b(?i:{_NAMED})")
_CAPITAL = re.compile(r"(?<![\w'\u2019-])([A-Z])(?![\w'\u2019]|-\w)")
_SMALL = re.compile(r"\(([a-z])\)|^\W*([a-z])(?:[).:](?!\w)|\W*\Z)|\b(?i:option|choice|answer) ([a-z])\b")
_AS_A_WORD = re.compile(r" (?!(?:and|or|is|because|[A-Z])\b)\w")  # what follows the article A and the pronoun I


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


def conclusion(answer: str) -> str:
    r"""What an answer ends in: without the <think> block, and of the rest what is in the last \boxed{} or <answer>.

    A thought that was cut off has no conclusion.
    """
    said = answer.rpartition("</think>")[2].partition("<think>")[0]
    boxes = list(_BOX.finditer(said))
    if boxes:
        return _braced(said[boxes[-1].end() :])
    _, tag, tagged = said.rpartition("<answer>")
    return tagged.partition("</answer>")[0] if tag else said


def read(answer: str, options: Sequence[str], *, lettered: bool = False) -> str | None:
    """What an answer states, or None where it states nothing or two things.

    Args:
        options: yes and no, the texts of a choice, or none: then the whole conclusion is what it states.
        lettered: whether the question gave its options letters; without them "A" answers no yes/no question.
    """
    if not options:
        said = conclusion(answer)
        return said if normalise(said) else None
    if not lettered and {normalise(option) for option in options} == YES_NO:
        return parse_yes_no(answer)
    return parse_choice(answer, options)


def parse_yes_no(text: str) -> str | None:
    """The "yes" or "no" that a text states, or None.

    The last explicit statement counts first ("the answer is no"), then the word it begins with ("Yes, there is no
    fracture"), then the only one it says ("I would say no."). "Yes and no" states neither, and so does "There is no
    fracture": whether that means yes or no depends on the question.
    """
    said = _BOTH.sub("yes/no", _prose(text).lower())
    if answers := _ANSWERS.findall(said):
        return str(answers[-1])
    if leads := _LEADS.match(said):
        return leads[1]
    mentioned = set(_MENTIONS.findall(said))
    return mentioned.pop() if len(mentioned) == 1 else None


def parse_choice(text: str, options: Sequence[str]) -> str | None:
    r"""The text of the option that an answer names, by its letter or its words, or None.

    An explicit statement counts first ("the answer is (B)", "Answer: B", a last line "B", a beginning "B. Effusion"), the
    last one where there are several. Otherwise the whole text must name exactly one option, those it denies aside. A
    capital A that goes on as a sentence ("A fracture is seen") is an article.
    """
    said = _prose(text)
    for statement in _statements(said, options):
        index = _stated(statement, options)
        if index is not None:
            return options[index]
    named = _lettered(said, options) | _worded(said, options)
    return options[named.pop()] if len(named) == 1 else None


def _braced(text: str) -> str:
    """The text up to the brace that closes the one before it."""
    depth = 1
    for brace in _BRACE.finditer(text):
        depth += 1 if brace[0] == "{" else -1
        if not depth:
            return text[: brace.start()]
    return text


def _prose(text: str) -> str:
    """The conclusion without Markdown, LaTeX, refusals and needless white space."""
    said = _MARKUP.sub("", unicodedata.normalize("NFKC", conclusion(text)))
    lines = (" ".join(line.split()) for line in said.splitlines())
    return _REFUSAL.sub("", "\n".join(line for line in lines if line))


def _statements(said: str, options: Sequence[str]) -> Iterator[str]:
    """What follows each "the answer is", a last line of one letter, a beginning with the only letter that is listed."""
    yield from reversed(_STATEMENT.split(said)[1:])
    last = said.rpartition("\n")[2]
    if _ALONE.fullmatch(last):
        yield last
    listed = {index: letter for letter in _LISTED.finditer(said) if (index := _index(letter, options)) is not None}
    if len(listed) == 1 and next(iter(listed.values())).start() == 0:
        yield said


def _stated(statement: str, options: Sequence[str]) -> int | None:
    """The option that a statement begins with, unless another follows at once: "B. Pneumonia", "pneumonia or effusion"."""
    letter = _LETTER.match(statement)
    index = _index(letter, options) if letter else None
    if letter and index is not None:
        return index if _first(normalise(statement[letter.end() :]), options) in (None, index) else None
    words = normalise(statement)
    index = _first(words, options)
    if index is None:
        return None
    rest = words.removeprefix(normalise(options[index])).strip()
    return None if rest.startswith(("or ", "and ")) and _first(rest.partition(" ")[2], options) is not None else index


def _first(words: str, options: Sequence[str]) -> int | None:
    return next((i for i, phrase in _phrases(options) if f"{words} ".startswith(f"{phrase} ")), None)


def _lettered(text: str, options: Sequence[str]) -> set[int]:
    for option in sorted(options, key=len, reverse=True):
        if len(option) > 1:  # the B of "vitamin B" is no letter where that is an option's text
            text = re.sub(rf"(?<!\w){re.escape(option)}(?!\w)", "_", text, flags=re.IGNORECASE)
    text = _DENIED.sub(" ", text)
    letters = [*_CAPITAL.finditer(text), *_SMALL.finditer(text)]
    return {index for letter in letters if (index := _index(letter, options)) is not None}


def _worded(text: str, options: Sequence[str]) -> set[int]:
    words = normalise(text)
    named: set[int] = set()
    for index, phrase in _phrases(options):
        if phrase in YES_NO:
            named |= {index} if parse_yes_no(text) == phrase else set()
            continue
        naming = re.compile(rf"(?<!\S)(?P<no>{_WITHOUT} )?{re.escape(phrase)}(?P<out> {_RULED_OUT})?(?!\S)")
        if any(not (found["no"] or found["out"]) for found in naming.finditer(words)):
            named.add(index)
        words = naming.sub("|", words)
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
