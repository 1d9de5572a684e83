"""What an answer in words denies: bare denials and what they strike, denied letters, lists and statements."""

from __future__ import annotations

import re
from collections.abc import Sequence

END = r"(?= ?(?:[^\w\s]|$))"  # of a clause: "no." is an answer, "no fracture" is a finding
SURELY = r"(?:(?:clearly|definitely|certainly|obviously|surely|simply|probably|(?:most )?likely|therefore|thus|indeed),? )"
_NT = r"(?:is|are|was|were|ca|could|do|does|did|wo|would|has|have)n['\u2019]?t"
NOT_SO = re.compile(  # "I wouldn't say yes", but not "it is not clear yes" nor "I do not hesitate to say yes"
    rf"\b(?:not|never|cannot|neither|nor|{_NT})(?: (?:say|think|believe)(?: that)? the answer (?:is|would be)"
    r"|(?: (?!(?:and|answer|because|but|hence|hesitate|so|then|therefore|thus|yes|no)\b)\w+){0,3}"
    rf" (?:answer|be|believe|is|mean|say|think|was))?(?: an?(?: \w+)?)? (?:yes\b|no\b{END})",
    re.MULTILINE,
)
STATEMENT = re.compile(rf"\b(?:answer|option|choice) ?(?:is\b ?:?|[:=])(?: {SURELY})?", re.IGNORECASE)
_NAMED = r"(?:vitamin|hepatitis|influenza|type|grade|group|class|stage|factor|panel|figure|image|arrow|label) [A-Z]\b"
_IS = r"(?:is|are|was|seems?|looks?|appears?|(?:can|has) be(?:en)?)"
RULED_OUT = (
    rf"(?i:{_IS} (?:not|absent|wrong|incorrect|false|(?:very |highly )?unlikely|less likely|excluded|ruled out)"
    r"|(?:is|are|was)n['\u2019]?t|(?:cannot|can not|can['\u2019]?t) be)\b"
)
WITHOUT = rf"(?i:no|(?:can)?not(?: be)?|{_NT}(?: be)?|nor|neither|never|without|excludes?|rules? out)"
_ADJECTIVE = r"(?!(?:and|but|contrast|doubt|just|longer|merely|only|or|other|question|wonder)\b)[^\s|]+"  # no large effusion
OF = rf"(?:(?:\w+ )?(?:evidence|features|indication|signs?|suggestion) (?:of|for) |{_ADJECTIVE} )?"
_OR = r"(?:(?:\)?, ?\(?[A-Z]\b)*\)?,? (?:or|nor) \(?[A-Z]\b)?"  # not A, B or C
DENIED = re.compile(
    rf"\b{WITHOUT} \(?[A-Z]\b{_OR}|\b[A-Z]\b\W{{0,3}}(?:_\W{{0,2}})?\b(?:{RULED_OUT}|(?i:no|not)\b{END})|\b(?i:{_NAMED})",
    re.MULTILINE,
)
_DENIALS = (
    *("no", "not", "nope", "none", "absent", "negative", "false", "incorrect", "wrong", "unlikely", "excluded", "ruled out"),
    *("not present", "not seen", "not visible", "not likely", "not found", "not identified", "not detected", "not evident"),
)
_OPENING = r"(?:i|think|guess|believe|would|say|but|and|or|oh|so|probably|certainly|clearly|definitely|it|this|that|is|was)"
_CLAUSE = re.compile(r"[,.:;!?|()]|\bbut\b| [-\u2013\u2014] ")
_COLON = r"(?<!answer)(?<!choice)(?<!option)(?<!\bis):"  # not that of "Answer: B"
_ITEM = re.compile(r"\W*[A-Za-z][^\w\n]*")
_STATED = re.compile(rf"{STATEMENT.pattern}\W*\w", re.IGNORECASE)
_RETRACTS = re.compile(r"\b(?:(no|not|nope)|false|incorrect|wrong)\W*\Z", re.IGNORECASE)


def upheld(said: str, options: Sequence[str]) -> str:
    """The text without the clauses that a bare denial strikes: the one before it, of a heading ("Excluded: ...") those behind.

    A word that an option says denies nothing. The text is prose of one space between words and no empty line.
    """
    words = "|".join(word for word in _DENIALS if not any(_says(option, word) for option in options))
    if not words:
        return said
    own = "|".join(map(spelled, options))
    said = _unlisted(said, words, own)
    denial = re.compile(rf"\W*(?:{_OPENING}\W+)*(?:{words})\W*", re.IGNORECASE)
    stop = rf"(?:\.|{_COLON})(?!\d)(?:(?<!\b[a-z].)|(?! ?(?:{own})(?!\w)))"  # that of "A. Pneumonia" ends no clause
    ends = rf"(?:(?<=\byes),|[?!;\n]|{stop}|[.:](?=\W{{0,3}}(?:{words})\b{END}))\s*"
    pauses = rf"(?:,|\s[-\u2013\u2014])? ?\bbut\b|,| [-\u2013\u2014] |\||\((?![a-z]\))|\)(?! ?(?:{own})(?!\w))"
    parts = re.split(rf"({ends})|({pauses})", said, flags=re.IGNORECASE | re.MULTILINE)
    kept: list[tuple[str, bool]] = []
    behind = False
    for clause, end, pause in zip(parts[::3], [*parts[1::3], ""], [*parts[2::3], ""], strict=True):
        denies = denial.fullmatch(clause) is not None
        heads = denies and (end or "").startswith(":")
        if denies and (not heads or _judges(clause, kept)):
            _strike(kept, clause)
        elif not (denies or behind):
            kept.append((clause + (end or pause), bool(end)))
        behind = heads or (behind and not end)
    return "".join(text for text, _ in kept).strip()


def _says(option: str, denial: str) -> bool:
    """Whether the words of a denial are a finding where this option may be answered: "HER2 negative", "No, it is benign"."""
    words = _words(option)
    begins = denial not in ("no", "not") and f"{words} ".startswith(f"{denial} ")
    return begins or words.endswith(f" {denial}") or denial in map(_words, _CLAUSE.split(option))


def _words(text: str) -> str:
    return " ".join(re.findall(r"\w+", text.lower()))


def _unlisted(said: str, words: str, own: str) -> str:
    """The text where a heading of denied options has none of the lines that list them."""
    marks = (r"[-\u2013\u2014\u2022]", r"\(?(?:[a-z]|\d+)[.):]", rf"(?:[a-z]|{own})[^\w\n]*$")
    lines = "|".join(rf"(?:\n{mark}.*)+" for mark in marks)
    return re.sub(rf"^(\W*(?:{words})\b[^\w\n]*:)(?:{lines})", r"\1 -", said, flags=re.IGNORECASE | re.MULTILINE)


def _judges(denial: str, clauses: list[tuple[str, bool]]) -> bool:
    """Whether a denial with a colon judges what stands before it, a question, an item or "A. No: ...", and heads no list."""
    before, ended = clauses[-1] if clauses else ("", True)
    if not ended or before.rstrip().endswith(("?", ":")) or _ITEM.fullmatch(before):
        return True
    verdict = _RETRACTS.search(denial)
    return bool(verdict and (verdict[1] or not before.endswith("\n")))  # but a line "Wrong: ..." heads a list


def _strike(clauses: list[tuple[str, bool]], denial: str) -> None:
    """Remove the last clause, which goes back over pauses to where another ended.

    An answer that is stated in front of it stands, unless the denial takes it back: "the answer is A, I thought, but no".
    """
    while clauses and not re.search(r"\b(?!but\b)\w", clauses[-1][0]):  # it is no clause
        clauses.pop()
    struck = clauses.pop() if clauses else None
    retracts = struck and _RETRACTS.search(denial) and not struck[0].rstrip().endswith(":")
    while struck and clauses and not clauses[-1][1] and (retracts or not _STATED.search(clauses[-1][0])):
        clauses.pop()


def spelled(option: str) -> str:
    """A pattern of the option's words, whatever stands between them."""
    return r"\W+".join(map(re.escape, re.findall(r"\w+", option))) or re.escape(option)


def each_denied(words: str, phrases: Sequence[str]) -> str:
    """Normalised words with a denial before each phrase of a list that one denies: "no pneumonia nor effusion"."""
    phrase = "|".join(map(re.escape, phrases))
    if not phrase:
        return words
    more = rf"(?:(?: \|)? (?:{phrase}))*(?: \|)? (?:or|nor) (?:{phrase})"
    item = re.compile(rf"(?: \|)?(?: or| nor)? ({phrase})(?!\S)")
    listed = re.compile(rf"(?<!\S)({WITHOUT} {OF}(?:{phrase}))({more})(?!\S)")
    return listed.sub(lambda found: found[1] + item.sub(r" nor \1", found[2]), words)
