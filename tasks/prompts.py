"""What a generator is asked: one wording a form, the same for every question task."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_uppercase

from medrival.contracts import Form


def ask(form: Form, question: str, options: Sequence[str] = (), *, listed: bool = False) -> str:
    """The full prompt for a question.

    Args:
        form: "closed", "choice" or "open".
        options: what may be answered: the words of a closed question (nothing means yes and no), or the texts of a
            choice, which get the letters A, B, C, ... in their order.
        listed: whether the question itself lists the options with their letters, which is then not done again.

    Raises:
        ValueError: for a form that asks no question, or a choice without 2 to 26 options.
    """
    if form == "closed":
        return f"Answer the following question about the image with {' or '.join(options or ('yes', 'no'))}. {question}"
    if form == "open":
        return f"{question}\nAnswer the question concisely."
    if form == "choice" and 2 <= len(options) <= len(ascii_uppercase):
        lettered = "\n".join(f"({letter}) {text}" for letter, text in zip(ascii_uppercase, options, strict=False))
        shown = question if listed else f"{question}\nOptions:\n{lettered}"
        return f"{shown}\nAnswer with the single letter corresponding to the best choice."
    raise ValueError(f"no prompt for a question of form {form!r} with {len(options)} options")
