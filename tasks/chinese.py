"""Chinese yes and no: questions in Chinese are answered 是 or 否, or by a verb that says the same, such as 有 and 没有."""

from __future__ import annotations

import re
from collections.abc import Callable

YES, NO = "是", "否"
OPTIONS = (YES, NO)
IN_ENGLISH = {YES: "yes", NO: "no"}

HAN = r"\u3400-\u9fff"
"""The range of ideographs, for a regular expression."""

_HAN = re.compile(f"[{HAN}]")
_KANA = re.compile(r"[\u3040-\u30ff]")
_VERBS = "是|有|对|能|会|可以|包含|包括|含有|存在|属于"
_SURELY = "(?:我(?:认为|觉得|想))?(?:应该|大概|显然|当然|确实)?"
_SAID = re.compile(rf"{_SURELY}(?:(?P<no>并?不(?:{_VERBS})?|并?没有?|并非|无|否定?)|(?P<yes>肯定|{_VERBS}))[的了啊呢吧]?")
_CLAUSES = re.compile(r"[\W_]+")
_STATES = re.compile(r"(?:答案|回答|结论)(?:应该|应当)?(?:是|为)?+\W*")


def written(text: str) -> bool:
    """Whether a text is Chinese: it has ideographs, and no kana, which would make it Japanese."""
    return bool(_HAN.search(text)) and not _KANA.search(text)


def polar(text: str) -> str | None:
    """是 or 否 where a text is a word that means one of them and nothing else, such as 没有; else None."""
    found = _SAID.fullmatch(text.strip(" 。.!！"))
    return None if found is None else NO if found["no"] else YES


def parse(said: str, english: Callable[[str], str | None]) -> str | None:
    """The 是 or 否 that a conclusion states, or None.

    The last explicit statement counts first (答案是否), then what is said in English and the clauses that say nothing else,
    where all of these agree: an answer of 是的 and 没有异常 is 是, one of 是 and 不是, or of Yes and 不是, is neither.
    没有肺 is neither, too: whether it denies hangs on what was asked.

    Args:
        english: reads what a text states in English, as "yes" or "no".
    """
    statements = [polar(_CLAUSES.split(rest)[0]) for rest in _STATES.split(said)[1:]]
    if stated := [one for one in statements if one]:
        return stated[-1]
    agreed = {one for clause in _CLAUSES.split(said) if (one := polar(clause))}
    agreed |= {option for option, word in IN_ENGLISH.items() if word == english(said)}
    return agreed.pop() if len(agreed) == 1 else None
