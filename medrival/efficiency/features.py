"""Image features of a dual encoder: computed, read from the store, and used by every regime that leaves the tower as it is."""

from __future__ import annotations

from functools import partial

import numpy as np

from medrival.contracts import DualEncoder
from medrival.efficiency.race import Race
from medrival.efficiency.subject import Subject

RE_ENCODING_EPOCHS = 10
"""Of paper A's linear probe, whose code sends every image through the tower in every epoch."""


def extraction(subject: Subject) -> Race:
    """Features of all samples into an empty store, against a loop over decoded images in memory."""
    return Race(
        "feature extraction",
        ours=lambda: subject.lab.features(subject.cases[0].model, subject.samples).values,
        bare=partial(bare_features, subject),
        items=len(subject.samples),
        unit="images",
        wanted=0.9,
        ready=subject.forget,
        same=partial(np.allclose, rtol=1e-3, atol=1e-4),
    )


def hit(subject: Subject) -> Race:
    """Features of all samples from the store, against computing them."""
    subject.lab.features(subject.cases[0].model, subject.samples)
    return Race(
        "features from the store",
        ours=lambda: subject.lab.features(subject.cases[0].model, subject.samples).values,
        bare=partial(bare_features, subject),
        items=len(subject.samples),
        unit="images",
        wanted=100,
        same=partial(np.allclose, rtol=1e-3, atol=1e-4),
    )


def frozen_regimes(subject: Subject) -> Race:
    """Every case of the frozen tower on an empty store, intervals and all, against one bare pass over the same images.

    Beside it: what one epoch of a probe costs that sends the images through the tower again, as existing code does, times
    the epochs of paper A's.
    """
    cases = subject.cases
    again = RE_ENCODING_EPOCHS * len(subject.task.train) / len(subject.samples)

    def ours() -> int:
        for case in cases:
            subject.lab.evaluate(case)
        return len(cases)

    return Race(
        f"{len(cases)} cases of the frozen tower",
        ours=ours,
        bare=lambda: (bare_features(subject), len(cases))[1],
        items=len(cases),
        unit="cases",
        wanted=1 / 1.3,
        ready=subject.forget,
        figures=lambda *_: {"passes_that_re_encoding_one_probe_takes": again},
    )


def bare_features(subject: Subject) -> np.ndarray:
    """What a reader would write: decoded images, in batches, through transform and tower."""
    import torch

    model = subject.model
    assert isinstance(model, DualEncoder)
    size, images = subject.batch_size, subject.images
    batches = [images[start : start + size] for start in range(0, len(images), size)]
    with torch.inference_mode():
        return np.concatenate([model.image_features(model.prepare(batch)).float().cpu().numpy() for batch in batches])
