"""Whether what runs a generator in place of transformers computes the same network: told by a few answers' likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan
from statistics import fmean

import torch
from PIL import Image, ImageDraw

from medrival.contracts import Generator
from medrival.errors import BrokenModel

TOLERANCE = {"float32": 0.001, "bfloat16": 0.15, "float16": 0.15}
"""How far the log-likelihoods of an answer's tokens may be off in the mean; in 16 bits it is rounding that differs."""

Probe = tuple[tuple[Image.Image, ...], str, str]
"""Images, a prompt, an answer."""


def probes() -> list[Probe]:
    """What any network that sees finds more or less likely, about unlike images and about both in an order."""
    circle, stripes = Image.new("RGB", (200, 160), "white"), Image.new("RGB", (120, 180), "black")
    ImageDraw.Draw(circle).ellipse((60, 40, 140, 120), fill="red")
    for left in range(0, 120, 24):
        ImageDraw.Draw(stripes).rectangle((left, 0, left + 11, 179), fill=(40, 90 + left, 220))
    return [
        ((circle,), "What is in the picture?", "a red circle on a white ground"),
        ((stripes,), "What is in the picture?", "a red circle on a white ground"),
        ((stripes,), "Describe the picture in one sentence.", "Blue and green stripes run from top to bottom."),
        ((circle, stripes), "Which of the pictures has stripes?", "the second one, on a black ground"),
    ]


@torch.inference_mode()
def likelihoods(model: Generator) -> list[list[float]]:
    """The log-likelihood of each token of each probe's answer, and of the one that closes it, by the network itself."""
    found = []
    for images, prompt, answer in probes():
        inputs = dict(model.teach([images], [prompt], [answer]))
        labels = inputs.pop("labels")[0]
        tokens = labels[labels != -100]
        foretold = model.module(**inputs).logits[0, -len(tokens) - 1 : -1].float().log_softmax(dim=-1)
        found.append(foretold.gather(1, tokens[:, None].to(foretold.device))[:, 0].tolist())
    return found


def refuse_unlike(
    name: str, engine: str, found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]], dtype: str
) -> None:
    """Refuse an engine that finds the tokens of an answer likelier or less likely than the network does.

    Raises:
        BrokenModel: with how far the two are apart.
    """
    apart = [
        fmean(abs(mine - theirs) for mine, theirs in zip(ours, others, strict=True))
        for ours, others in zip(found, expected, strict=True)
    ]
    worst = max(apart, key=lambda one: (isnan(one), one))
    if not worst <= TOLERANCE[dtype]:
        raise BrokenModel(
            f"{name}: {engine} does not compute what transformers computes: the log-likelihoods of an answer's tokens are "
            f"{worst:.4f} off in the mean (at most {TOLERANCE[dtype]} in {dtype}); run it without --backend, or by another one"
        )
