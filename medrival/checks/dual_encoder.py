"""What every dual encoder promises, as checks: `check_dual_encoder` runs them all on an adapter.

Each check raises an AssertionError that says in one sentence which promise is broken. A miniature of the model is enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from PIL import Image as PIL

from medrival.checks.promises import identical, promise, trained_adapters, weights
from medrival.contracts import DualEncoder

Load = Callable[[str], DualEncoder]
"""Loads the model anew in a precision: "float32" or "bfloat16"."""
Images = Sequence[PIL.Image]
Texts = Sequence[str]

NOISE = 1e-4
"""How far float32 features may be apart, relative to the largest, where only the order of summation differs."""

ROUNDING = 2**-7
"""The same of bfloat16, which has 8 bits: two roundings of the last one."""


@dataclass(frozen=True)
class Library:
    """The model as its own library computes it: what an adapter is held against, one image or text at a time.

    Attributes:
        load: precision -> the model.
        image_features: the model and an image -> [1, queries * dim], projected and not normalised.
        text_features: the model and a text -> [1, dim], likewise.
    """

    load: Callable[[str], Any]
    image_features: Callable[[Any, PIL.Image], torch.Tensor]
    text_features: Callable[[Any, str], torch.Tensor]


Check = Callable[[Load, Library, Images, Texts], None]


def check_dual_encoder(load: Load, library: Library, images: Images, texts: Texts) -> None:
    """Run every check.

    Args:
        load: precision -> the model, loaded anew each time.
        library: the same model without the adapter.
        images: seven different ones at least, of several sizes and shapes.
        texts: two different ones at least, of different lengths.

    Raises:
        AssertionError: for the first promise that is broken.
    """
    for check in CHECKS:
        check(load, library, images, texts)


def check_features_have_the_promised_shapes(load: Load, _: Library, images: Images, texts: Texts) -> None:
    """Features are finite; an image has `queries` vectors of a text's length, side by side; the scale is positive."""
    model = load("float32")
    seen, read = _image_features(model, images), _text_features(model, texts)
    promise(
        read.ndim == 2 and seen.shape == (len(images), model.queries * read.shape[1]) and len(read) == len(texts),
        f"features of {len(images)} images are {tuple(seen.shape)} and of {len(texts)} texts {tuple(read.shape)}; "
        f"[images, {model.queries} x dim] and [texts, dim] are promised",
    )
    promise(bool(torch.isfinite(seen).all() and torch.isfinite(read).all()), "some features are not finite")
    promise(math.isfinite(model.scale) and model.scale > 0, f"the scale is {model.scale}; a positive number is promised")
    promise(_apart(seen[:1], seen[1:]) > 0, "different images have the same features")
    promise(_apart(read[:1], read[1:]) > 0, "different texts have the same features")


def check_the_model_is_ready_for_inference(load: Load, _: Library, __: Images, ___: Texts) -> None:
    """Evaluation mode, no gradients, and the image tower is a part of the whole."""
    model = load("float32")
    promise(not any(part.training for part in model.module.modules()), "a part of the model is in training mode")
    promise(not any(p.requires_grad for p in model.module.parameters()), "a weight of the model still wants gradients")
    promise(any(part is model.tower for part in model.module.modules()), "`tower` is no part of `module`")


def check_a_batch_changes_no_image(load: Load, _: Library, images: Images, __: Texts) -> None:
    """Features of images of mixed sizes are those of each alone, in the order of the images."""
    model = load("float32")
    together = _image_features(model, images)
    alone = torch.cat([_image_features(model, [image]) for image in images])
    promise(_apart(together, alone) < NOISE, "an image has other features in a batch than alone")


def check_a_text_does_not_depend_on_its_neighbours(load: Load, _: Library, __: Images, texts: Texts) -> None:
    """Padding beside a longer text changes nothing; texts that are too long are cut."""
    model = load("float32")
    together = _text_features(model, texts)
    alone = torch.cat([_text_features(model, [text]) for text in texts])
    promise(_apart(together, alone) < NOISE, "a text has other features beside a longer one than alone")
    beside = _text_features(model, [texts[0], f"{texts[1]} " * 1000])
    promise(_apart(together[:1], beside[:1]) < NOISE, "a text has other features beside one that is too long for the model")


def check_the_model_is_deterministic_and_keeps_no_state(load: Load, _: Library, images: Images, texts: Texts) -> None:
    """The same input has the same features, bit for bit, whatever was asked in between and however often it is loaded."""
    model = load("float32")
    seen, read = _image_features(model, images[:2]), _text_features(model, texts)
    before = weights(model.module)
    _image_features(model, images), _text_features(model, texts[::-1])
    for again, what in ((model, "a second time"), (load("float32"), "from the same files, loaded again,")):
        same = torch.equal(seen, _image_features(again, images[:2])) and torch.equal(read, _text_features(again, texts))
        promise(same, f"the same input has other features {what}")
    promise(identical(before, weights(model.module)), "inference changed a weight or buffer")


def check_lora_reaches_every_adapter(load: Load, _: Library, images: Images, __: Texts) -> None:
    """Every layer of `lora` gets an adapter whose two factors both receive a gradient."""
    model = load("float32")
    promise(bool(model.lora), "`lora` names no layer")
    with trained_adapters(model.tower, model.lora) as adapters:
        promise(len(adapters.parameters) == 2 * len(model.lora), "LoRA found other layers than `lora` names")
        loss = model.image_features(model.prepare(images)).float().pow(2).mean()
        promise(loss.requires_grad, "no layer of `lora` decides the features, or these are computed without gradients")
        loss.backward()
        for name, parameter in adapters.parameters.items():
            reached = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
            promise(reached, f"the adapter {name} receives no gradient: its layer does not decide the features")


def check_lora_comes_out_without_a_trace(load: Load, _: Library, images: Images, __: Texts) -> None:
    """Adapters change the features while they are in; afterwards every weight and feature is bit-identical."""
    model = load("float32")
    before, seen = weights(model.module), _image_features(model, images)
    with trained_adapters(model.tower, model.lora):
        adapted = _image_features(model, images)
    promise(_apart(seen, adapted) > NOISE, "adapters do not change the features")
    promise(identical(before, weights(model.module)), "a weight of the model itself is another after its adapters were removed")
    promise(torch.equal(seen, _image_features(model, images)), "features are others after the adapters were removed")


def check_merged_adapters_compute_the_same(load: Load, _: Library, images: Images, __: Texts) -> None:
    """Adapters merged into their layers give the features that they gave beside them."""
    model = load("float32")
    with trained_adapters(model.tower, model.lora):
        beside = _image_features(model, images)
        for part in model.tower.modules():
            if isinstance(part, BaseTunerLayer):
                part.merge()
        promise(_apart(beside, _image_features(model, images)) < NOISE, "merged adapters compute other features")


@torch.inference_mode()
def check_features_are_the_librarys(load: Load, library: Library, images: Images, texts: Texts) -> None:
    """Each image and each text alone has the library's features, in float32 and in bfloat16."""
    for dtype, noise in (("float32", NOISE), ("bfloat16", ROUNDING)):
        model, own = load(dtype), library.load(dtype)
        for what, found, expected in (
            *(("image", _image_features(model, [one]), library.image_features(own, one)) for one in images),
            *(("text", _text_features(model, [one]), library.text_features(own, one)) for one in texts),
        ):
            promise(_apart(expected.float(), found) < noise, f"{what} features in {dtype} are not the library's")


CHECKS: Sequence[Check] = (
    check_features_have_the_promised_shapes,
    check_the_model_is_ready_for_inference,
    check_a_batch_changes_no_image,
    check_a_text_does_not_depend_on_its_neighbours,
    check_the_model_is_deterministic_and_keeps_no_state,
    check_lora_reaches_every_adapter,
    check_lora_comes_out_without_a_trace,
    check_merged_adapters_compute_the_same,
    check_features_are_the_librarys,
)
"""Every check, for those who would rather run each as a test of its own."""


@torch.inference_mode()
def _image_features(model: DualEncoder, images: Images) -> torch.Tensor:
    return model.image_features(model.prepare(images)).float().cpu()


@torch.inference_mode()
def _text_features(model: DualEncoder, texts: Texts) -> torch.Tensor:
    return model.text_features(texts).float().cpu()


def _apart(one: torch.Tensor, other: torch.Tensor) -> float:
    """The largest difference, relative to the largest feature."""
    return float((one - other).abs().max() / one.abs().max().clamp(min=1e-12))
