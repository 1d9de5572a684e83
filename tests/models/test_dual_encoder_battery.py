"""The checks that every dual encoder passes, on a miniature of each family; and that they find what is broken."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from medrival import catalog
from medrival.checks.dual_encoder import CHECKS, check_dual_encoder, check_lora_comes_out_without_a_trace
from medrival.contracts import DualEncoder
from tests.models.dual_encoder_libraries import LIBRARIES
from tests.models.miniature_dual_encoders import FAMILIES, LETTERS, TEXTS, mixed_images


@pytest.fixture(scope="module")
def loaders(rows, tmp_path_factory):
    """Family -> what loads its miniature in a precision, and the library's own; each is saved once."""
    saved: dict[str, Path] = {}

    def loader(family):
        place, save = FAMILIES[family]
        if family not in saved:
            saved[family] = tmp_path_factory.mktemp("checkpoints") / "org" / "name"
            save(saved[family])
        card = replace(rows.models["pocket-clip"], name=family)
        return (lambda dtype: catalog.imported(place)(card, saved[family], "cpu", dtype)), LIBRARIES[family](saved[family])

    return loader


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("family", FAMILIES)
def test_every_family_keeps_every_promise(loaders, family, check):
    check(*loaders(family), mixed_images(), TEXTS)


def test_siglip_2_of_fixed_size_reads_lower_cased_texts_with_their_end_and_64_places(loaders):
    model, read = loaders("SigLIP 2 of fixed size")[0]("float32"), []
    model.module.text_model.register_forward_pre_hook(lambda *called: read.append(called[-1]), with_kwargs=True)
    model.text_features(["A b"])
    a, space, b, end, padding = (LETTERS[letter] for letter in ("a", "▁", "b", "<eos>", "<pad>"))
    assert read[0]["input_ids"].tolist() == [[a, space, b, end, *[padding] * 60]]
    assert read[0]["attention_mask"] is None


def remembering(model: DualEncoder) -> DualEncoder:
    def image_features(pixels):
        with torch.no_grad():
            model.module.logit_scale.add_(0.1)
        return model.image_features(pixels)

    return replace(model, image_features=image_features)


def of_whole_batch(model: DualEncoder) -> DualEncoder:
    return replace(model, image_features=lambda pixels: model.image_features(pixels) - model.image_features(pixels).mean())


def of_longest_text(model: DualEncoder) -> DualEncoder:
    return replace(model, text_features=lambda texts: model.text_features(texts) * max(map(len, texts)))


def of_chance(model: DualEncoder) -> DualEncoder:
    return replace(model, text_features=lambda texts: model.text_features(texts) + 1e-6 * torch.rand(1))


def without_gradients(model: DualEncoder) -> DualEncoder:
    return replace(model, image_features=torch.no_grad()(model.image_features))


def wrong_in_bfloat16(model: DualEncoder) -> DualEncoder:
    factor = 1.02 if model.module.dtype == torch.bfloat16 else 1
    return replace(model, image_features=lambda pixels: factor * model.image_features(pixels))


IDLE = "head.attention.out_proj"
"""SigLIP's attention pooling reads this layer's weight and never calls it."""

BREAKS = {
    "some features are not finite": lambda m: replace(m, image_features=lambda pixels: m.image_features(pixels) / 0),
    "different images have the same": lambda m: replace(m, image_features=lambda pixels: 0 * m.image_features(pixels) + 1),
    r"\[images, 2 x dim\] and \[texts, dim\] are promised": lambda m: replace(m, queries=2),
    "the scale is 0": lambda m: replace(m, scale=0.0),
    "in training mode": lambda m: replace(m, module=m.module.train()),
    "wants gradients": lambda m: replace(m, module=m.module.requires_grad_(True)),
    "`tower` is no part": lambda m: replace(m, tower=torch.nn.Linear(2, 2)),
    "in a batch than alone": of_whole_batch,
    "beside a longer one than alone": of_longest_text,
    "a second time": of_chance,
    "changed a weight": remembering,
    "found other layers than": lambda m: replace(m, lora=(*m.lora, "no.such.layer")),
    f"{IDLE}.* receives no gradient": lambda m: replace(m, lora=(*m.lora, IDLE)),
    "no layer of `lora` decides": without_gradients,
    "image features in bfloat16 are not the library's": wrong_in_bfloat16,
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_the_first_broken_promise_is_said_in_one_sentence(loaders, sentence):
    load, library = loaders("SigLIP")
    with pytest.raises(AssertionError, match=sentence) as error:
        check_dual_encoder(lambda dtype: BREAKS[sentence](load(dtype)), library, mixed_images(), TEXTS)
    assert "\n" not in str(error.value)


def test_lora_that_leaves_a_trace_or_does_nothing_is_found(loaders):
    load, library = loaders("SigLIP")
    with pytest.raises(AssertionError, match="adapters do not change the features"):
        check_lora_comes_out_without_a_trace(lambda dtype: replace(load(dtype), lora=(IDLE,)), library, mixed_images(), TEXTS)
    with pytest.raises(AssertionError, match="a weight of the model itself is another after"):
        check_lora_comes_out_without_a_trace(lambda dtype: remembering(load(dtype)), library, mixed_images(), TEXTS)
