"""What an outcome has on record beside its figures: its data, how the model was run, and how long it could speak."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence

from medrival import memory
from medrival.answered import CUT_OFF
from medrival.bench import most_tokens
from medrival.cards import ModelCard
from medrival.case import Case
from medrival.contracts import DualEncoder, Engine, Generator, Prediction, Served, Task
from medrival.errors import MedrivalWarning
from medrival.keys import adapters
from medrival.settings import Settings
from medrival.weights import resolved


def data(task: Task, limit: int | None) -> Mapping[str, int | str]:
    """Which data it was, the splits that were used, and how many of the test images are also among the training images."""
    seen = {image.digest for sample in task.train for image in sample.images}
    tested = [{image.digest for image in sample.images} for sample in task.test]
    images = {digest for digests in tested for digest in digests}
    sizes = {"train": len(task.train), "validation": len(task.validation), "test": len(task.test)}
    overlap = {
        "test_images": len(images),
        "test_images_in_train": len(images & seen),
        "test_samples_on_training_images": sum(not seen.isdisjoint(digests) for digests in tested),
    }
    return {"fingerprint": task.fingerprint, **sizes, **overlap, **({"limit": limit} if limit else {})}


def run(case: Case, model: DualEncoder | Generator | Engine | Served, settings: Settings) -> Mapping[str, object]:
    """How the model was run: what must be equal in a pair, where a reader can see it."""
    loaded = {"loaded_by": " on ".join(adapters(case.model))}
    if isinstance(model, Served):
        return loaded
    asked = {}
    if isinstance(model, Generator | Engine):
        asked = {"asked_by": model.asked_by, "engine": model.name if isinstance(model, Engine) else "transformers"}
    spent = {"budget": dict(case.regime.budget)} if case.regime.budget else {}
    weights = resolved(case.model, settings.assets).known
    placed = {"device": memory.name(settings.device), "dtype": settings.dtype, "weights": weights}
    shown = _shown(case.model, model) if isinstance(model, DualEncoder) else {}
    return {**loaded, **placed, **shown, **asked, **spent}


def _shown(card: ModelCard, model: DualEncoder) -> Mapping[str, int]:
    """The side of the squares that the model is given, as its own processor makes them; of one of native image size nothing."""
    from PIL import Image

    pixels = model.prepare([Image.new("RGB", (32, 32))])
    if pixels.ndim != 4:
        return {}
    if card.image_size.isdecimal() and int(card.image_size) != pixels.shape[-1]:
        warnings.warn(
            f"{card.name}: its row says images of {card.image_size} pixels, and its processor makes them {pixels.shape[-1]}; "
            "its figures are of these",
            MedrivalWarning,
            stacklevel=2,
        )
    return {"image_size": pixels.shape[-1]}


def answers(case: Case, predictions: Sequence[Prediction]) -> Mapping[str, int]:
    """How long answers and the thoughts before them may have been, and how many thoughts that was too short for."""
    if case.task.kind != "vqa":
        return {}
    cut_off = sum(prediction.error == CUT_OFF for prediction in predictions)
    return {"max_new_tokens": most_tokens(case.model)} | ({"cut_off": cut_off} if case.model.thinking or cut_off else {})
