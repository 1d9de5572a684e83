"""What the classes of a diagnosis are called in words: one prompt each, and several where the row has templates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from medrival.catalog import TaskCard
from medrival.errors import BrokenCatalog


@dataclass(frozen=True)
class Texts:
    """What a dual encoder compares images with.

    Attributes:
        prompts: one a class.
        ensembles: several a class, its prompt first; empty where the row has no `templates`.
    """

    prompts: tuple[str, ...]
    ensembles: tuple[tuple[str, ...], ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """All of them in order, for a task's fingerprint."""
        return (*self.prompts, *(text for texts in self.ensembles for text in texts))


def class_texts(card: TaskCard, words: Iterable[str]) -> Texts:
    """The texts of the classes that a row calls by these words, which stand in the place of {}.

    Raises:
        BrokenCatalog: the row has no prompt, or it or a template lacks the place of the class.
    """
    prompt, templates = card.options.get("prompt", ""), card.options.get("templates", [])
    if not _has_place(prompt):
        raise BrokenCatalog(f"task {card.name!r}: prompt is {prompt!r}; it must have {{}} where the class goes")
    if not isinstance(templates, list) or not all(map(_has_place, templates)):
        raise BrokenCatalog(
            f"task {card.name!r}: templates is {templates!r}; it must be a list of texts with {{}} where the class goes"
        )
    filled = [tuple(dict.fromkeys(text.replace("{}", word) for text in (prompt, *templates))) for word in words]
    return Texts(tuple(texts[0] for texts in filled), tuple(filled) if templates else ())


def _has_place(text: object) -> bool:
    return isinstance(text, str) and "{}" in text
