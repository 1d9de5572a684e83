"""Whether what runs a generator in place of transformers computes the same network: told by a few answers' likelihoods."""

from __future__ import annotations

from collections.abc import Sequence
from math import isnan

import torch
from PIL import Image, ImageDraw

from medrival.contracts import Generator
from medrival.errors import BrokenModel

TOLERANCE = {"float32": 0.001, "bfloat16": 0.05, "float16": 0.05}
"""How far the mean log-likelihood of an answer's tokens may be off; in 16 bits it is rounding that differs."""

Probe = tuple[Image.Image, str, str]
"""An image, a prompt, an answer."""


def probes() -> list[Probe]:
    """What any network that sees finds more and less likely: of unlike images, so that one that is not seen shows."""
    circle, stripes = Image.new("RGB", (200, 160), "white"), Image.new("RGB", (120, 180), "black")
    ImageDraw.Draw(circle).ellipse((60, 40, 140, 120), fill="red")
    for left in range(0, 120, 24):
        ImageDraw.Draw(stripes).rectangle((left, 0, left + 11, 179), fill=(40, 90 + left, 220))
    return [
        (image, prompt, answer)
        for image in (circle, stripes)
        for prompt, answer in (
            ("What is in the picture?", "a red circle on a white ground"),
            ("Describe the picture in one sentence.", "Blue and green stripes run from top to bottom of a black image."),
        )
    ]


@torch.inference_mode()
def likelihoods(model: Generator) -> list[float]:
    """The mean log-likelihood of the tokens of each probe's answer, with the one that closes it, by the network itself."""
    taught = (model.teach([(image,)], [prompt], [answer]) for image, prompt, answer in probes())
    return [-model.module(**inputs).loss.float().item() for inputs in taught]


def refuse_unlike(name: str, engine: str, found: Sequence[float], expected: Sequence[float], dtype: str) -> None:
    """Refuse an engine that finds an answer likelier or less likely than the network does.

    Raises:
        BrokenModel: with the figures that are farthest apart.
    """
    apart = [abs(mine - theirs) for mine, theirs in zip(found, expected, strict=True)]
    worst = max(range(len(apart)), key=lambda i: (isnan(apart[i]), apart[i]))
    if not apart[worst] <= TOLERANCE[dtype]:
        raise BrokenModel(
            f"{name}: {engine} does not compute what transformers computes: it finds {found[worst]:.4f} as the log-likelihood "
            f"of an answer, a token, where transformers finds {expected[worst]:.4f} (at most {TOLERANCE[dtype]} apart in "
            f"{dtype}); run it without --backend, or by another one"
        )
