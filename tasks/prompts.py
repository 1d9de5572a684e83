"""What a generator is asked: one wording a form and language, the same for every question task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from string import ascii_uppercase

from medrival.contracts import Form
from medrival.tasks import chinese


@dataclass(frozen=True)
class Wording:
    """How questions in a language are asked.

    Attributes:
        closed: what precedes a closed question, with {} where the words stand that may be answered.
        joined: what stands between these.
        words: these, of a question of yes and no.
        open: what follows an open question.
        options: what stands over the options of a choice.
        choice: what follows them.
        reasoned: what follows a prompt whose answer is to be reasoned out.
    """

    closed: str
    joined: str
    words: tuple[str, str]
    open: str
    options: str
    choice: str
    reasoned: str


ENGLISH = Wording(
    closed="Answer the following question about the image with {}. ",
    joined=" or ",
    words=("yes", "no"),
    open="Answer the question concisely.",
    options="Options:",
    choice="Answer with the single letter corresponding to the best choice.",
    reasoned="Reason step by step first, and put the final answer into \\boxed{}.",
)
CHINESE = Wording(
    closed="请用“{}”回答下面关于图像的问题。",
    joined="”或“",
    words=chinese.OPTIONS,
    open="请简洁地回答问题。",
    options="选项：",
    choice="请只回答最佳选项的字母。",
    reasoned="请先逐步推理，再把最终答案写在\\boxed{}中。",
)


def ask(form: Form, question: str, options: Sequence[str] = (), *, listed: bool = False) -> str:
    """The full prompt for a question, in Chinese where the question is.

    Args:
        form: "closed", "choice" or "open".
        options: what may be answered: the words of a closed question (nothing means yes and no), or the texts of a
            choice, which get the letters A, B, C, ... in their order.
        listed: whether the question itself lists the options with their letters, which is then not done again.

    Raises:
        ValueError: for a form that asks no question, or a choice without 2 to 26 options.
    """
    wording = CHINESE if chinese.written(question) else ENGLISH
    if form == "closed":
        return f"{wording.closed.format(wording.joined.join(options or wording.words))}{question}"
    if form == "open":
        return f"{question}\n{wording.open}"
    if form == "choice" and 2 <= len(options) <= len(ascii_uppercase):
        lettered = "\n".join(f"({letter}) {text}" for letter, text in zip(ascii_uppercase, options, strict=False))
        shown = question if listed else f"{question}\n{wording.options}\n{lettered}"
        return f"{shown}\n{wording.choice}"
    raise ValueError(f"no prompt for a question of form {form!r} with {len(options)} options")


def reasoned(prompt: str) -> str:
    r"""A prompt that asks to reason step by step and to put the answer, in the form it is asked for, into \boxed{}.

    As paper B asks (arXiv 2507.11200), whose own words are not known.
    """
    return f"{prompt}\n{_asked_in(prompt).reasoned}"


def _asked_in(prompt: str) -> Wording:
    """The language of what is asked, whatever that of the options, which stand in a prompt, too."""
    for wording in (ENGLISH, CHINESE):
        if prompt.startswith(wording.closed.partition("{}")[0]) or prompt.endswith(wording.choice):
            return wording
    return CHINESE if chinese.written(prompt) else ENGLISH
