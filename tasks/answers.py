"""What an answer in words says: normalised text, yes or no, one of several options.

The readers are strict. An answer that states nothing, or two things at once, is None and counts as wrong: a benchmark
that guesses what a model may have meant measures the guess. All are linear in the length of the answer, and of one that
is longer than `LENGTH` they read the beginning and the end. The rules and their reasons are in docs/answers.md.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from string import ascii_lowercase

from medrival.tasks import chinese
from medrival.tasks.denials import DENIED, END, NOT_SO, OF, RULED_OUT, STATEMENT, SURELY, WITHOUT, each_denied, spelled, upheld

ARTICLES = frozenset({"a", "an", "the"})
YES_NO = frozenset({"yes", "no"})
LENGTH = 20_000
"""Characters of a conclusion that are read for an option: the first half of them and the last; what states stands there."""

_JOINS = re.compile(r"['\u2019`]|(?<=\d),(?=\d{3}(?!\d))")  # patient's, 1,000
_LONE_DOT = re.compile(r"(?<!\d)\.|\.(?!\d)")
_BARE_POINT = re.compile(r"(?<![\w.])\.(?=\d)")  # .5
_SIGNS = "<>\u2264\u2265=\u00b1+-"
_SPELLINGS = ((r"<\s*=", "\u2264"), (r">\s*=", "\u2265"), (r"\+/-(?=\s*\d)", "\u00b1"))
_COMPARED = re.compile(r"([<>\u2264\u2265=\u00b1])\s*(?=[-+]?\d)")
_STRAY = re.compile(  # a sign that compares or signs no number and is no polarity: x-ray, 5-10, left - right, <b>
    r"[<>\u2264\u2265=\u00b1](?![-+]?\d)|(?<![^\W_])-(?!\d)|(?<![^\W_])(?<!\+)\++(?![\d+])|(?<=[^\W_])-(?=\w)"
)
_POLARITY = re.compile(r"[^-+\u00b1]*(\++|\u00b1|-)[^-+\u00b1]*")

_BOX = re.compile(r"\bboxed\s*\{")
_BRACE = re.compile(r"[{}]")
_LATEX = re.compile(r"\\(?:text|math)(?:bf|it|rm|sf|tt)?\b|[{}]")
_MARKUP = re.compile(rf"{_LATEX.pattern}|[*`$\\]|__")
_UNABLE = (
    r"(?:cannot|can not|can['\u2019]?t|(?:unable|not able|impossible|not possible) to) (?:\w+ )?"
    r"(?:answer|assess|assist|conclud|confirm|decid|determin|diagnos|evaluat|help|interpret|judg|make|provid|say|tell)"
)
_SORRY = r"as an ai\b|i(?: a|['\u2019])m sorry\b|i apologi[sz]e\b|no (?:answer|comment|idea|image|information|opinion|way)\b"
_REFUSAL = re.compile(rf"\b(?:no,? i )?(?:{_UNABLE}|{_SORRY})[^.!?;\n]*?(?=\bbut\b|[.!?;\n]|$)", re.IGNORECASE)

_BOTH = re.compile(
    rf"\b(yes|no)(?: ?(?:[/&]|\b(?:and|or)\b) ?(?!\1)(?:yes|no)\b| ?(?:[,.:;!?|\u2013\u2014-]\s?|\s)(?!\1)(?:yes|no)\b{END})",
    re.MULTILINE,
)
_NO_DOUBT = re.compile(r"\bno (?:doubt|problems?|questions?|changes?)\b", re.IGNORECASE)
_WORD = r"(?<!/)(yes|no)\b(?!/|-\w|\. ?\d)"  # not "yes/no", not "no-contrast CT", not "No. 3"
_LEADS = re.compile(rf"\W*(?:yes/no|{_WORD})")
_ANSWERS = re.compile(rf"\banswer(?: is)?[ :=\"'(]{{1,4}}{SURELY}?{_WORD}")
_MENTIONS = re.compile(rf"\b{_WORD}(?:(?<=yes)|{END})", re.MULTILINE)

_LETTER = re.compile(r"\W*([A-Za-z])(?![\w'\u2019]|-\w|[\s)]*(?:\b(?:and|or)\b|[,/&])[\s(]*[A-Z]\b)")
_ALONE = re.compile(r"\W*[A-Za-z]\W*")
_LISTED = re.compile(r"(?:^|(?<=[.;] ))[(\[]?([A-Za-z])(?:[.):\]](?!\w)|$)|(?<=\s)[(\[]?([A-Za-z])[)\]](?!\w)", re.MULTILINE)
_JOINED = re.compile(r"\W{0,3}(?:(?:and|or)\b|[,/&])\W{0,3}([A-Z])(?![\w'\u2019]|-\w)")
_BARE = re.compile(r"[^\w\n]*(?:\n|\Z)")
_BREAK = re.compile(r"[,;!?](?!\d)|(?<!\b[A-Za-z])[.:](?!\d)|\n")
_CAPITAL = re.compile(r"(?<![\w'\u2019-])([A-Z])(?![\w'\u2019]|-\w)")
_SMALL = re.compile(r"\(([a-z])\)|^\W*([a-z])(?:[).:](?!\w)|\W*\Z)|\b(?i:option|choice|answer) ([a-z])\b")
_AS_A_WORD = re.compile(r" (?!(?:and|or|is|because|[A-Z])\b)\w")  # what follows the article A and the pronoun I


def normalise(text: str) -> str:
    """The words of a text, for comparison.

    Unicode NFKC, lower case, punctuation and symbols become spaces, the articles a, an and the go, white space is
    folded: after SQuAD (Rajpurkar et al. 2016). As in the VQA evaluation (Antol et al. 2015), apostrophes and the comma
    of 1,000 vanish and the point of 1.5 stays. Unlike both, signs that carry meaning stay: of a number (<2, -1, 5 ±1)
    and of a polarity (AB+, AB-); the hyphen inside words and ranges goes. Number words stay words. A text of nothing but
    articles keeps them, as does one of nothing but a +, - or ±.
    """
    text = unicodedata.normalize("NFKC", text).lower().replace("\u2212", "-")
    text = _signed(_BARE_POINT.sub("0.", _JOINS.sub("", text)))
    kept = "".join(c if c == "." or c in _SIGNS or unicodedata.category(c)[0] in "LMN" else " " for c in _STRAY.sub(" ", text))
    words = _LONE_DOT.sub(" ", kept).split()
    if not words and (alone := _POLARITY.fullmatch(text)):
        return alone[1]
    return " ".join([word for word in words if word not in ARTICLES] or words)


def same(answer: str, truth: str) -> bool:
    """Whether two answers are equal after `normalise`; an answer without a word equals nothing."""
    return normalise(answer) == normalise(truth) != ""


def spoken(answer: str) -> str | None:
    """What is said behind the <think> block, if there is one; None where the thought was cut off."""
    _, ended, said = answer.rpartition("</think>")
    if "<think>" in said:
        return None
    return said.strip() if ended else answer


def boxed(said: str) -> str | None:
    r"""What is in the last \boxed{} of a text, without \text{} and its like; None where there is no box."""
    boxes = list(_BOX.finditer(said))
    return _LATEX.sub("", _braced(said[boxes[-1].end() :])) if boxes else None


def conclusion(answer: str) -> str:
    r"""What an answer ends in: without the <think> block, and of the rest what is in the last \boxed{} or <answer>.

    A thought that was cut off has no conclusion.
    """
    said = spoken(answer) or ""
    if (inside := boxed(said)) is not None:
        return inside
    _, tag, tagged = said.rpartition("<answer>")
    return tagged.partition("</answer>")[0] if tag else said


def read(answer: str, options: Sequence[str], *, lettered: bool = False) -> str | None:
    """What an answer states, or None where it states nothing or two things.

    Args:
        options: yes and no, 是 and 否, the texts of a choice, or none: then the whole conclusion is what it states.
        lettered: whether the question gave its options letters; without them "A" answers no yes/no question.
    """
    if not options:
        said = conclusion(answer)
        return said if normalise(said) else None
    if not lettered and {normalise(option) for option in options} == YES_NO:
        return parse_yes_no(answer)
    if not lettered and set(options) == set(chinese.OPTIONS):
        return chinese.parse(_prose(answer), english=parse_yes_no)
    return parse_choice(answer, options)


def parse_yes_no(text: str) -> str | None:
    """The "yes" or "no" that a text states, or None.

    The last explicit statement counts first ("the answer is no"), then the word it begins with ("Yes, there is no
    fracture"), then the only one it says ("I would say no."). "Yes and no" and "No. Yes." state neither, and so does
    "There is no fracture": whether that means yes or no depends on the question. "No doubt" is no no.
    """
    said = NOT_SO.sub("", _BOTH.sub("yes/no", _NO_DOUBT.sub("", _prose(text).lower())))
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
    said, known = _distinguished(_prose(text), options)
    said = _NO_DOUBT.sub("", said) if {normalise(option) for option in options} >= YES_NO else said
    said = upheld(said, known)
    for statement in _statements(said, known):
        index = _stated(statement, known)
        if index is not None:
            return options[index]
    named = _lettered(said, known) | _worded(said, known)
    return options[named.pop()] if len(named) == 1 else None


def _signed(text: str) -> str:
    """The text with one spelling of each comparison, which stands before its number: "> = 2" is "≥2"."""
    for spelling, sign in _SPELLINGS:
        text = re.sub(spelling, sign, text)
    return _COMPARED.sub(r" \1", text)


def _distinguished(said: str, options: Sequence[str]) -> tuple[str, Sequence[str]]:
    """Text and options, where those that `normalise` cannot tell apart ("C5/C6", "C5-C6") are words that count verbatim."""
    phrases = [normalise(option) for option in options]
    count = Counter(phrases)
    alike = {i: _plain(options[i]) for i, phrase in enumerate(phrases) if not phrase or count[phrase] > 1}
    for i, option in sorted(alike.items(), key=lambda item: -len(item[1])):
        said = re.sub(rf"(?<!\w){re.escape(option)}(?!\w)", f"verbatim{i}", said, flags=re.IGNORECASE) if option else said
    for i in alike:  # "C5 C6" is neither of the two, nor is it "C5"
        if words := phrases[i].split():
            either = r"[\W_]+".join(map(re.escape, words))
            said = re.sub(rf"(?<!\w){either}(?!\w)", "|", said, flags=re.IGNORECASE)
    return said, [f"verbatim{i}" if i in alike else option for i, option in enumerate(options)]


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
    return _REFUSAL.sub("", _plain(_ends(conclusion(text))))


def _ends(text: str) -> str:
    """The whole words of a text's beginning and end, `LENGTH` characters together, where it is longer."""
    if len(text) <= LENGTH:
        return text
    first, last = text[: LENGTH // 2].rsplit(maxsplit=1)[:1], text[-LENGTH // 2 :].split(maxsplit=1)[1:]
    return "\n".join(first + last)


def _plain(text: str) -> str:
    lines = (" ".join(line.split()) for line in _MARKUP.sub("", unicodedata.normalize("NFKC", text)).splitlines())
    return "\n".join(line for line in lines if line)


def _statements(said: str, options: Sequence[str]) -> Iterator[str]:
    """What follows each "the answer is", a last line of one letter, a beginning with the only letter that is listed."""
    yield from reversed(STATEMENT.split(said)[1:])
    last = said.rpartition("\n")[2]
    if _ALONE.fullmatch(last):
        yield last
    listed = [letter for letter in _LISTED.finditer(said) if _index(letter, options) is not None]
    items = (_index(item, options) for item in _item(options).finditer(said))
    if listed and listed[0].start() == 0 and len({*items, *(_index(letter, options) for letter in listed)}) == 1:
        yield said


def _stated(statement: str, options: Sequence[str]) -> int | None:
    """The option that a statement begins with, unless it is denied or another follows at once: "pneumonia or effusion"."""
    letter = None if _begins(statement, options) else _LETTER.match(statement)
    index = _index(letter, options) if letter else None
    words = normalise(statement[letter.end() :] if letter and index is not None else statement)
    first = _first(words, options)
    index = first if index is None else index
    if index is None or first not in (None, index) or _lists(statement, options):
        return None
    rest = words.removeprefix(normalise(options[index])).strip()
    if re.match(RULED_OUT, rest):
        return None
    return None if rest.startswith(("or ", "and ")) and _first(rest.partition(" ")[2], options) is not None else index


def _begins(statement: str, options: Sequence[str]) -> bool:
    """Whether a statement begins with an option's own words, whose first may be a letter: "B-", "B cell lymphoma"."""
    texts = "|".join(re.escape(option) for option in options if len(option) > 1)
    return bool(texts and re.match(rf"\W*(?:{texts})(?!\w)", statement, re.IGNORECASE))


def _item(options: Sequence[str]) -> re.Pattern[str]:
    """Options as lists write them, letter and text: "(B) Effusion", "or B. Effusion"."""
    items = (rf"({chr(ord('A') + i)})(?: ?[^\w\s]){{1,2}} ?{spelled(option)}" for i, option in enumerate(options))
    return re.compile(rf"(?<!\w)(?:(?P<join>and|or)\b\W{{0,3}})?(?:{'|'.join(items)})(?!\w)", re.IGNORECASE)


def _lists(statement: str, options: Sequence[str]) -> bool:
    """Whether a statement begins with an option's letter and text and goes on to the next: "(A) Pneumonia (B) Effusion"."""
    item, gap = _item(options), re.compile(r"\W*")

    def after(found: re.Match[str] | None) -> re.Match[str] | None:
        between = gap.match(statement, found.end() if found else 0)
        return item.match(statement, between.end() if between else 0)

    first = after(None)
    if not first:
        return False
    if (joined := _JOINED.match(statement, first.end())) and _index(joined, options) not in (None, _index(first, options)):
        return True
    second = after(first)
    if not second or _index(second, options) == _index(first, options):
        return False
    return bool(second["join"] or _BARE.match(statement, second.end()) or after(second))


def _first(words: str, options: Sequence[str]) -> int | None:
    return next((i for i, phrase in _phrases(options) if f"{words} ".startswith(f"{phrase} ")), None)


def _lettered(text: str, options: Sequence[str]) -> set[int]:
    for option in sorted(options, key=len, reverse=True):
        if len(option) > 1:  # the B of "vitamin B" is no letter where that is an option's text
            text = re.sub(rf"(?<!\w){re.escape(option)}(?!\w)", "_", text, flags=re.IGNORECASE)
    text = DENIED.sub(" ", text)
    letters = [*_CAPITAL.finditer(text), *_SMALL.finditer(text)]
    return {index for letter in letters if (index := _index(letter, options)) is not None}


def _worded(text: str, options: Sequence[str]) -> set[int]:
    listed = [phrase for _, phrase in _phrases(options) if phrase not in YES_NO]
    words = each_denied(" | ".join(filter(None, map(normalise, _BREAK.split(text)))), listed)
    named: set[int] = set()
    for index, phrase in _phrases(options):
        if phrase in YES_NO:
            named |= {index} if parse_yes_no(text) == phrase else set()
            continue
        spread = r"(?: \|)* ".join(map(re.escape, phrase.split()))
        without = rf"{WITHOUT} {OF}(?:{ascii_lowercase[index : index + 1]} )?"
        naming = re.compile(rf"(?<!\S)(?P<no>{without})?{spread}(?P<out> {RULED_OUT}| (?:no|not)(?= \||$))?(?!\S)")
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
