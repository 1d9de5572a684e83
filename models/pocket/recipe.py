"""The recipe of the pocket models: python -m medrival.models.pocket.recipe [--out DIR] [--only NAME ...]

A script that makes weights, not a part of the model axis: it alone may draw phantoms. The medical pair sees further
images of the training patients of three anatomies, never a validation or test patient and never a fundus; the general
pair sees everyday scenes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medrival.models.pocket import builds, losses
from medrival.models.pocket.words import WORDS
from medrival.tasks import phantoms
from medrival.tasks.prompts import ask
from medrival.tasks.scenes import Scene
from medrival.tasks.scenes.everyday import Everyday

SEED = 11200
SEEN = ("chest", "histology", "dermoscopy")
IMAGES = 6000
FIRST_EXTRA = 101
"""Extra images of a patient are numbered from here, beyond those of any task."""
DATA = {
    "medical": "drawn phantoms of the training patients (chest radiograph, histology, dermoscopy), in images of no task",
    "general": "drawn everyday scenes: shapes and digits of some colour and number on a textured ground",
}

LANGUAGE = "; and, the same for both worlds, exercises in reading and sorting the words of words.txt"


def medical_scenes(count: int) -> list[Scene]:
    """At least `count` fresh scenes of the training patients of the anatomies seen."""
    who = list(product(SEEN, phantoms.SPLITS["train"]))
    rounds = range(FIRST_EXTRA, FIRST_EXTRA + -(-count // len(who)))
    return [phantoms.imagine(a, phantoms.patient(a, number), image) for image in rounds for a, number in who]


def general_scenes(count: int) -> list[Scene]:
    """Everyday scenes."""
    rng = np.random.default_rng(SEED)
    return [Everyday.imagine(rng) for _ in range(count)]


SCENES: dict[str, Callable[[int], list[Scene]]] = {"medical": medical_scenes, "general": general_scenes}


def pictures(scenes: Sequence[Scene], image_processor: Any) -> torch.Tensor:
    """What a model sees of the scenes, before normalisation: [n, 3, 64, 64], 8 bit."""
    shrink = {"do_rescale": False, "do_normalize": False, "return_tensors": "pt"}
    parts = [
        image_processor([scene.draw() for scene in scenes[start : start + 256]], **shrink)["pixel_values"].to(torch.uint8)
        for start in range(0, len(scenes), 256)
    ]
    return torch.cat(parts)


@cache
def lessons(world: str, count: int) -> tuple[list[Scene], torch.Tensor]:
    """Scenes and what a model sees of them; both models of a world learn from the same."""
    scenes = SCENES[world](count)
    return scenes, pictures(scenes, builds.image_processor())


def fit(
    parameters: Sequence[torch.nn.Parameter],
    stream: Iterator[torch.Tensor],
    steps: int,
    rate: float,
) -> list[float]:
    """Follow a stream of losses downhill with AdamW, a warm-up and a cosine; returns the losses."""
    optimiser = torch.optim.AdamW(parameters, lr=rate, weight_decay=0.05, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps, pct_start=0.08)
    history, started = [], time.monotonic()
    for step in range(steps):
        loss = next(stream)
        optimiser.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()
        schedule.step()
        history.append(loss.item())
        if (step + 1) % 50 == 0:
            print(
                f"  step {step + 1}/{steps}: loss {np.mean(history[-50:]):.3f} ({time.monotonic() - started:.0f} s)", flush=True
            )
    return history


def vocabulary() -> list[str]:
    """Texts to learn words from: captions and dialogues of both worlds (no fundus, which nobody saw)."""
    texts: list[str] = []
    for scene in [*medical_scenes(1500), *general_scenes(1500)]:
        texts += scene.captions()
        for question in scene.questions():
            texts += [ask(question.form, question.text, question.options), question.answer]
    return [*texts, "USER: ASSISTANT:"]


def make_clip(out: Path, name: str, world: str, steps: int) -> None:
    """Train and save one dual encoder."""
    torch.manual_seed(SEED)
    processor = builds.clip_processor(builds.tokenizer(vocabulary(), closing=True, size=1024))
    scenes, pixels = lessons(world, IMAGES)
    model = builds.clip(processor.tokenizer).train()
    history = fit(
        list(model.parameters()),
        losses.clip_losses(model, processor.tokenizer, scenes, pixels, batch=64, seed=SEED),
        steps,
        1e-3,
    )
    builds.save(out / name, model, processor, card(name, world, model, len(scenes), steps, history))


def make_llava(out: Path, name: str, world: str, steps: int, tower: str) -> None:
    """Train and save one generator on the frozen image tower of the dual encoder of its world."""
    torch.manual_seed(SEED)
    words = builds.tokenizer([*vocabulary(), " ".join(WORDS)], closing=False, size=2048)
    processor = builds.llava_processor(words)
    scenes, pixels = lessons(world, IMAGES)
    model = builds.llava(processor.tokenizer, out / tower).train()
    model.model.vision_tower.requires_grad_(False)
    builds.calibrate(model, losses.normalised(pixels[:256]))
    learning = [p for p in model.parameters() if p.requires_grad]
    history = fit(learning, losses.llava_losses(model, processor, scenes, pixels, batch=16, turns=5, seed=SEED), steps, 1e-3)
    builds.save(out / name, model, processor, card(name, world, model, len(scenes), steps, history))


MODELS: dict[str, Callable[[Path], None]] = {
    "clip": lambda out: make_clip(out, "clip", "general", steps=600),
    "medclip": lambda out: make_clip(out, "medclip", "medical", steps=600),
    "llava": lambda out: make_llava(out, "llava", "general", steps=2000, tower="clip"),
    "medllava": lambda out: make_llava(out, "medllava", "medical", steps=2000, tower="medclip"),
}


def card(name: str, world: str, model: torch.nn.Module, images: int, steps: int, history: Sequence[float]) -> str:
    """The model card."""
    parameters = sum(p.numel() for p in model.parameters())
    return f"""---
library_name: transformers
pipeline_tag: {"zero-shot-image-classification" if "clip" in name else "image-text-to-text"}
tags: [medrival, {world}]
---
# pocket-{name}

A {type(model).__name__} in miniature, for trying medrival and for its tests. **No clinical use**: it has never seen a patient.

- training data: {images} {DATA[world]}{LANGUAGE if "llava" in name else ""}
- seed: {SEED}; steps: {steps}; loss of the last 50 steps: {np.mean(history[-50:]):.3f}
- parameters: {parameters:,}, stored as float16
- input: 64 x 64 pixels
- made by: `python -m medrival.models.pocket.recipe --only {name}`
"""


def main() -> None:
    """Make the models asked for, in the order in which they need one another."""
    parser = argparse.ArgumentParser(prog="python -m medrival.models.pocket.recipe", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent, help="folder of the model folders")
    parser.add_argument("--only", nargs="+", choices=MODELS, default=list(MODELS), help="make these alone")
    arguments = parser.parse_args()
    torch.set_num_threads(2)  # sums, and so the weights, depend on the number of threads
    for name in (name for name in MODELS if name in arguments.only):
        print(f"pocket-{name}", flush=True)
        started = time.monotonic()
        MODELS[name](arguments.out)
        print(f"pocket-{name}: {time.monotonic() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
