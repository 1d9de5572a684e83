"""From a prompt and its images to the text that a model reads."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date
from typing import Any, Protocol

from jinja2 import TemplateError

from medrival.catalog import ModelCard
from medrival.errors import BrokenModel

Asked = tuple[str, int, str | None]
"""Prompt, number of images, answer; None: the answer is still to come."""


class Conversation(Protocol):
    """Puts a prompt as a model reads it."""

    def __call__(self, prompt: str, images: int, answer: str | None, earlier: Sequence[Asked] = ()) -> str:
        """The text of a prompt with so many images, and of its answer where it has one, behind the turns before it."""


PROBE = "xyzzy"
"""A word that stands in no template."""
TODAY = date(2024, 7, 26)
"""The day for templates that ask for today's, by which a case would be another one tomorrow: the day that Llama 3.2's own
template takes where it cannot ask."""
CALENDAR = "aAbBdHIjmMpSyY"
"""The codes of `strftime` in which templates ask."""


def asked_by(processor: Any) -> str:
    """Whether a model has a chat template, and the day that it is told where it asks for today's, for the record."""
    template = _template(processor)
    if not template:
        return "plain prompt"
    return f"chat template, dated {TODAY}" if "strftime_now" in template else "chat template"


def as_words(processor: Any) -> Callable[[str], str]:
    """What a data set says as nothing but words: a space breaks every mark that tokenizer or processor takes for more.

    A question about "<image>" shows none, and one about "</s>" ends there no more.
    """
    words = processor.tokenizer
    special = {str(token) for token in words.added_tokens_decoder.values() if token.special}
    own = {mark for name, mark in vars(processor).items() if name.endswith("_token") and isinstance(mark, str)}
    marks = sorted(mark for mark in {*words.all_special_tokens, *special, *own} if len(mark) > 1)
    if not marks:
        return str
    begins = re.compile(f"(?={'|'.join(map(re.escape, marks))})(.)", re.DOTALL)
    return lambda text: begins.sub(r"\1 ", text)


def conversation(card: ModelCard, processor: Any) -> Conversation:
    """A prompt as the model expects it: in its chat template or, where it has none, behind the places of its images.

    Some templates place images; others were made for words alone and are given the images' places in the words. Without a
    template a space stands before the answer, as between any two words.

    Raises:
        BrokenModel: the chat template places no images.
    """
    template, place = _template(processor), getattr(processor, "image_token", "<image>")
    if template and "strftime_now" in template:
        template = _dated(template)

    def plain(prompt: str, images: int, answer: str | None, earlier: Sequence[Asked] = ()) -> str:
        before = "".join(f"{plain(*turn)}\n\n" for turn in earlier)
        return before + f"{place}\n" * images + prompt + ("" if answer is None else f" {answer}")

    def rendered(turns: Sequence[tuple[str, Any]], more: bool) -> str:
        chat = [{"role": role, "content": content} for role, content in turns]
        text: str = processor.apply_chat_template(chat, chat_template=template, add_generation_prompt=more, tokenize=False)
        return text

    def listed(prompt: str, images: int, answer: str | None, earlier: Sequence[Asked] = ()) -> str:
        turns: list[tuple[str, Any]] = []
        for words, count, reply in (*earlier, (prompt, images, answer)):
            turns.append(("user", [*[{"type": "image"}] * count, {"type": "text", "text": words}]))
            turns += [] if reply is None else [("assistant", [{"type": "text", "text": reply}])]
        return rendered(turns, answer is None)

    def worded(prompt: str, images: int, answer: str | None, earlier: Sequence[Asked] = ()) -> str:
        turns: list[tuple[str, Any]] = []
        for words, count, reply in (*earlier, (prompt, images, answer)):
            turns.append(("user", plain(words, count, None)))
            turns += [] if reply is None else [("assistant", reply)]
        return rendered(turns, answer is None)

    if not template:
        return plain
    for said in (listed, worded):
        with suppress(TypeError, TemplateError):
            if said(PROBE, 2, None).count(place) == 2:
                return said
    raise BrokenModel(f"{card.name}: its chat template places no images; it needs an adapter of its own")


def _template(processor: Any) -> str | None:
    template: str | None = processor.chat_template or getattr(processor.tokenizer, "chat_template", None)
    return template


def _dated(template: str) -> str:
    """The template with a calendar of its own, that knows one day, in place of the library's.

    The line break behind it is no part of a prompt: the library trims it.
    """
    written = "".join(f"|replace('%{code}', '{TODAY:%{code}}')" for code in CALENDAR)
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{written} }}}}{{%- endmacro %}}\n{template}"
