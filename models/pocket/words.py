"""Language lessons, the same for the general and the medical generator: who is to be adapted must read and say any word.

What kind of thing a word means belongs to language; what it looks like is for pretraining on images to show.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medrival.tasks.scenes import Question, choice, yes_no


def _kinds() -> dict[str, tuple[str, ...]]:
    lines = (Path(__file__).parent / "words.txt").read_text(encoding="utf-8").splitlines()
    return {kind: tuple(words.split()) for kind, _, words in (line.partition(":") for line in lines)}


KINDS = _kinds()
"""Plain English, and the words in which doctors ask about images, by what kind of thing they mean."""
WORDS = tuple(sorted({word for words in KINDS.values() for word in words}))


def exercise(dice: np.random.Generator) -> Question:
    """A question about words, to which the image says nothing."""
    return (_kind, _reading)[dice.integers(2)](dice)


def _kind(dice: np.random.Generator) -> Question:
    """What kind of thing a word means: asked for yes or no, among options, or openly."""
    right, wrong = (str(kind) for kind in dice.choice(list(KINDS), 2, replace=False))
    word = str(dice.choice(KINDS[right]))
    form = dice.integers(3)
    if form == 0:
        asked = right if dice.random() < 0.5 else wrong
        return yes_no(f"Is {word} a {asked}?", word in KINDS[asked], "understanding")
    if form == 1:
        other = str(dice.choice([w for w in KINDS[wrong] if w not in KINDS[right]]))
        return choice(dice, f"Which is a {right}?", word, (other,), "understanding")
    return Question("open", f"What is {word}?", right, "understanding")


def _reading(dice: np.random.Generator) -> Question:
    """Whether a word is among some, which comes first or last, and saying them again; some make no sense."""
    words = [_gibberish(dice) if dice.random() < 1 / 6 else str(word) for word in dice.choice(WORDS, 4, replace=False)]
    form = dice.integers(4)
    if form == 0:
        asked = words[0] if dice.random() < 0.5 else str(dice.choice(WORDS))
        return yes_no(f"Is {asked} one of these words: {' '.join(words)}?", asked in words, "understanding")
    if form == 1:
        end = dice.integers(2)
        text = f"Which word is {('first', 'last')[end]}: {' '.join(words)}?"
        return choice(dice, text, words[-end], (words[1], words[2])[: 1 + dice.integers(2)], "understanding")
    said = " ".join(words[: dice.integers(1, 5)])
    return Question("open", f"Repeat: {said}", said, "understanding")


def _gibberish(dice: np.random.Generator) -> str:
    return "".join(dice.choice(list("abcdefghiklmnoprstuy"), int(dice.integers(3, 9))))
