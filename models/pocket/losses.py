"""What the pocket models learn by: endless losses of random batches of scenes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from medrival.models.pocket import builds
from medrival.models.pocket.words import exercise
from medrival.tasks.prompts import ask
from medrival.tasks.scenes import Question, Scene, choice

Turn = tuple[list[int], list[int]]
"""The tokens of a question, from behind the image on, and of its answer."""


def normalised(pixels: torch.Tensor) -> torch.Tensor:
    """8-bit pixels with the image processor's own mean and deviation."""
    return pixels.float() / 127.5 - 1


def half_precision() -> torch.autocast:
    """Twice as fast where the processor knows bfloat16."""
    return torch.autocast("cpu", dtype=torch.bfloat16)


def contrast(logits: torch.Tensor, captions: torch.Tensor) -> torch.Tensor:
    """The symmetric contrastive loss in which equal captions share the target.

    Args:
        logits: scaled cosine similarities, [images, texts].
        captions: the number of each pair's caption.
    """
    same = (captions[:, None] == captions[None, :]).float()
    target = same / same.sum(dim=1, keepdim=True)
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def clip_losses(
    model: Any, tokenizer: Any, scenes: Sequence[Scene], pixels: torch.Tensor, batch: int, seed: int
) -> Iterator[torch.Tensor]:
    """Losses of a dual encoder; each scene comes with one of its captions."""
    dice = np.random.default_rng(seed)
    numbers = {caption: number for number, caption in enumerate(sorted({c for s in scenes for c in s.captions()}))}
    texts = tokenizer(list(numbers), padding=True, return_tensors="pt")
    while True:
        picks = dice.choice(len(scenes), batch, replace=False)
        captions = torch.tensor([numbers[dice.choice(scenes[i].captions())] for i in picks])
        width = int(texts["attention_mask"][captions].sum(dim=1).max())
        with half_precision():
            output = model(
                pixel_values=normalised(pixels[picks]),
                input_ids=texts["input_ids"][captions, :width],
                attention_mask=texts["attention_mask"][captions, :width],
            )
        yield contrast(output.logits_per_image.float(), captions)


def llava_losses(
    model: Any, processor: Any, scenes: Sequence[Scene], pixels: torch.Tensor, batch: int, turns: int, seed: int
) -> Iterator[torch.Tensor]:
    """Losses of a generator; each scene comes with some of its questions, and only the tokens of the answers count."""
    dice = np.random.default_rng(seed)
    start = dialogue(processor, "")[0]
    opening = start[: 1 + max(i for i, token in enumerate(start) if token == processor.image_token_id)]
    while True:
        picks = dice.choice(len(scenes), batch, replace=False)
        shown = [scenes[i] for i in picks]
        rows = [_turns(processor, lesson(dice, scene, shown, turns), len(opening)) for scene in shown]
        with half_precision():
            loss = answer_loss(model, normalised(pixels[picks]), packed(opening, rows))
        yield loss


def answer_loss(model: Any, pixels: torch.Tensor, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """The model's own loss, with no logits where nothing is learned: answers are a twentieth of all tokens."""
    rest = dict(inputs)
    labels = rest.pop("labels")[:, 1:]
    states = model.model(pixel_values=pixels, **rest).last_hidden_state[:, :-1]
    logits = model.lm_head(states[labels != -100])
    return functional.cross_entropy(logits.float(), labels[labels != -100])


def packed(opening: Sequence[int], rows: Sequence[Sequence[Turn]]) -> dict[str, torch.Tensor]:
    """Several questions about one image in one row, none of which sees another.

    Each question attends to the opening (the image) and to itself, at the positions it would have alone, so that the loss
    is that of separate dialogues at the price of one image.

    Returns:
        input_ids, labels and position_ids, [rows, width]; attention_mask [rows, 1, width, width], true where a token may look.
    """
    width = len(opening) + max(sum(len(q) + len(a) for q, a in turns) for turns in rows)
    tokens, positions, turn = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(3))
    labels = torch.full((len(rows), width), -100)
    for row, turns in enumerate(rows):
        at = len(opening)
        tokens[row, :at], positions[row, :at] = torch.tensor(opening), torch.arange(at)
        turn[row, at:] = len(turns) + 1  # the padding, a turn of its own
        for number, (question, answer) in enumerate(turns, start=1):
            end = at + len(question) + len(answer)
            tokens[row, at:end] = torch.tensor(question + answer)
            labels[row, at + len(question) : end] = torch.tensor(answer)
            positions[row, at:end] = torch.arange(len(opening), len(opening) + end - at)
            turn[row, at:end] = number
            at = end
    may_look = (turn[:, None, :] == 0) | (turn[:, None, :] == turn[:, :, None])
    mask = (may_look & torch.ones(width, width, dtype=torch.bool).tril())[:, None]
    return {"input_ids": tokens, "labels": labels, "position_ids": positions, "attention_mask": mask}


def dialogue(processor: Any, prompt: str, answer: str = "") -> Turn:
    """The tokens of a prompt, image included, and of its answer, closed by the end token."""
    content = [{"type": "image"}, {"type": "text", "text": prompt}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    words = processor.tokenizer
    told = words(f"{answer}{words.eos_token}", add_special_tokens=False)["input_ids"]
    return words(text.replace(builds.IMAGE, builds.IMAGE * builds.PATCHES))["input_ids"], told


def lesson(dice: np.random.Generator, scene: Scene, others: Sequence[Scene], count: int) -> list[Question]:
    """Some of a scene's questions, its description among those of others, and two exercises in language."""
    asked = scene.questions()
    return [
        *(asked[i] for i in dice.permutation(len(asked))[:count]),
        _description(dice, scene, others),
        exercise(dice),
        exercise(dice),
    ]


def _description(dice: np.random.Generator, scene: Scene, others: Sequence[Scene]) -> Question:
    """Which of two to four descriptions fits; where others of its kind are at hand, the wrong ones are of these."""
    wording = dice.integers(2)
    right = scene.captions()[wording]
    wrong = {other.captions()[wording]: type(other) is type(scene) for other in others}
    del wrong[right]
    alike = [text for text in sorted(wrong) if wrong[text]] or sorted(wrong)
    picked = [str(text) for text in dice.permutation(alike)[: dice.integers(1, 4)]]
    return choice(dice, "Which description fits the image?", right, tuple(picked), "understanding")


def _turns(processor: Any, questions: Sequence[Question], opening: int) -> list[Turn]:
    """Questions as dialogues without their opening; the answer to a choice is its letter."""
    turns = []
    for question in questions:
        options = question.options or ("yes", "no")
        answer = "ABCD"[options.index(question.answer)] if question.form == "choice" else question.answer
        asked, told = dialogue(processor, ask(question.form, question.text, options), answer)
        turns.append((asked[opening:], told))
    return turns
