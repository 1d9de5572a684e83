"""Image features of a dual encoder: computed, read from the store, and used by every regime that leaves the tower as it is."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np
from PIL import Image as PIL

from medrival.contracts import DualEncoder
from medrival.efficiency.race import Race
from medrival.efficiency.subject import Subject

RE_ENCODING_EPOCHS = 10
"""Of paper A's linear probe, whose code sends every image through the tower in every epoch."""


def extraction(subject: Subject) -> Race:
    """Features of all samples into an empty store, against a loop over decoded images in memory."""
    return replace(_features(subject, "feature extraction", wanted=0.9), ready=subject.forget)


def hit(subject: Subject) -> Race:
    """Features of all samples from the store, against computing them."""
    race = _features(subject, "features from the store", wanted=100)
    race.ours()  # what the store then has
    return race


def _features(subject: Subject, name: str, wanted: float) -> Race:
    return Race(
        name,
        ours=lambda: subject.lab.features(subject.cases[0].model, subject.samples).values,
        bare=lambda: bare_features(subject, subject.images),
        items=len(subject.samples),
        unit="images",
        wanted=wanted,
        same=partial(np.allclose, rtol=1e-3, atol=1e-4),
    )


def frozen_regimes(subject: Subject) -> Race:
    """Every case of the frozen tower on an empty store, intervals and all, against one bare pass over the same images.

    Beside it what a probe costs that sends the training images through the tower again in every epoch, as existing code does:
    one such epoch is measured, without its head and its steps, and multiplied with the epochs of paper A's.
    """
    cases = subject.cases
    training = {sample.id for sample in subject.task.train}
    images = [image for sample, image in zip(subject.samples, subject.images, strict=True) if sample.id in training]

    def ours() -> int:
        for case in cases:
            subject.lab.evaluate(case)
        return len(cases)

    def figures(*_: object) -> Mapping[str, float]:
        started = time.perf_counter()
        bare_features(subject, images)
        epoch = time.perf_counter() - started
        return {
            "seconds_of_a_re_encoding_epoch": epoch,
            f"seconds_of_{RE_ENCODING_EPOCHS}_such_epochs": RE_ENCODING_EPOCHS * epoch,
        }

    return Race(
        f"{len(cases)} cases of the frozen tower",
        ours=ours,
        bare=lambda: (bare_features(subject, subject.images), len(cases))[1],
        items=len(cases),
        unit="cases",
        wanted=1 / 1.3,
        ready=subject.forget,
        figures=figures if images else lambda *_: {},
    )


def bare_features(subject: Subject, images: Sequence[PIL.Image]) -> np.ndarray:
    """What a reader would write: decoded images, in batches, through transform and tower."""
    import torch

    model = subject.model
    assert isinstance(model, DualEncoder)
    size = subject.batch_size
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    with torch.inference_mode():
        return np.concatenate([model.image_features(model.prepare(batch)).float().cpu().numpy() for batch in batches])
