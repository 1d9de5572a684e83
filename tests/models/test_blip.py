"""BLIP and BLIP-2 against the contrastive scores of transformers' own forward."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.special import softmax
from transformers import AutoProcessor, Blip2ForImageTextRetrieval, BlipForImageTextRetrieval

from medrival.contracts import Features
from medrival.errors import BrokenModel
from medrival.models.blip import blip, blip2
from medrival.regimes.zero_shot import classify
from tests.models.miniature_dual_encoders import TEXTS, mixed_images, save_blip, save_blip2


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    save_blip(folder / "blip")
    save_blip2(folder / "blip2")
    return folder


def own_scores(folder, images) -> torch.Tensor:
    """Cosine similarities [images, texts] by the library's forward."""
    processor = AutoProcessor.from_pretrained(folder)
    inputs = dict(processor.tokenizer(list(TEXTS), padding=True, return_tensors="pt"))
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    inputs["pixel_values"] = processor.image_processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        if folder.name == "blip":
            return BlipForImageTextRetrieval.from_pretrained(folder).eval()(**inputs, use_itm_head=False).itm_score
        return Blip2ForImageTextRetrieval.from_pretrained(folder).eval()(**inputs).logits_per_image


def probabilities(model, images) -> np.ndarray:
    """What zero-shot classification says, with the texts as prompts."""
    with torch.inference_mode():
        features = Features(model.image_features(model.prepare(images)).float().numpy(), {})
    task = SimpleNamespace(prompts=TEXTS, classes=TEXTS)
    bench = SimpleNamespace(features=lambda _: features, once=lambda _, work: work())
    return np.array(classify(model, task, {}, bench).predict(images))


@pytest.mark.parametrize(("name", "adapter", "queries"), [("blip", blip, 1), ("blip2", blip2, 5)])
def test_zero_shot_classification_is_a_softmax_of_the_librarys_scores(rows, saved, name, adapter, queries):
    model = adapter(rows.models["pocket-clip"], saved / name, "cpu", "float32")
    scores = own_scores(saved / name, mixed_images())
    assert scores.std() > 0.05
    np.testing.assert_allclose(probabilities(model, mixed_images()), softmax(scores.numpy() / 0.07, axis=1), atol=1e-5)
    assert model.queries == queries


def test_the_most_similar_query_decides_not_the_mean(rows, saved):
    model = blip2(rows.models["pocket-clip"], saved / "blip2", "cpu", "float32")
    averaging = replace(model, queries=1, text_features=lambda texts: model.text_features(texts).tile(5))
    assert np.abs(probabilities(averaging, mixed_images()) - probabilities(model, mixed_images())).max() > 1e-3


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_blip_2_in_half_precision_is_close_to_float32(rows, saved, dtype):
    """In float16 transformers keeps the queries and the Q-Former in float32."""
    half, full = (blip2(rows.models["pocket-clip"], saved / "blip2", "cpu", kind) for kind in (dtype, "float32"))
    with torch.inference_mode():
        for found, expected in (
            (half.image_features(half.prepare(mixed_images())), full.image_features(full.prepare(mixed_images()))),
            (half.text_features(TEXTS), full.text_features(TEXTS)),
        ):
            assert found.dtype is getattr(torch, dtype)
            assert torch.nn.functional.cosine_similarity(found.float(), expected).min() > 0.99


def test_a_model_of_another_kind_is_refused(rows, saved):
    with pytest.raises(BrokenModel, match="pocket-clip"):
        blip(rows.models["pocket-clip"], saved / "blip2", "cpu", "float32")
