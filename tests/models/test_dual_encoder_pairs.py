"""Every architecture of transformers with an image and a text tower: as its library computes it, and what is none refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import transformers
from transformers import AutoProcessor

from medrival.candidate import Claims, entered
from medrival.checks.dual_encoder import ROUNDING, Library, check_dual_encoder
from medrival.errors import BrokenModel
from medrival.models import dual_encoder
from tests.models.miniature_dual_encoders import TEXTS, bert_tokenizer, mixed_images, save_blip2
from tests.models.miniature_pairs import LENGTH, PAIRS, save_align, save_vision_text, text


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Architecture -> the directory of its miniature; each is saved once."""
    folders: dict[str, Path] = {}

    def save(name):
        if name not in folders:
            folders[name] = tmp_path_factory.mktemp("checkpoints") / "org" / "name"
            PAIRS[name](folders[name])
        return folders[name]

    return save


@pytest.fixture
def load(rows):
    card = replace(rows.models["pocket-clip"], name="mini")
    return lambda folder, dtype="float32": dual_encoder.transformers(card, folder, "cpu", dtype)


def own(folder, dtype="float32", *, written_out=True):
    """The network that the library saved; AIMv2 with masks written out, as fused attention leaves out those of single texts."""
    (name,) = transformers.AutoConfig.from_pretrained(folder).architectures
    attention = {"attn_implementation": "eager"} if name == "Aimv2Model" and written_out else {}
    return getattr(transformers, name).from_pretrained(folder, dtype=getattr(torch, dtype), **attention).eval()


def forward(network, processor, images, texts):
    """Logits [images, texts] of the library's own forward: as its processor pads, or to the longest text."""
    padding = {} if len(set(map(len, processor(text=texts, truncation=True)["input_ids"]))) == 1 else {"padding": True}
    inputs = processor(images=images, text=texts, truncation=True, return_tensors="pt", **padding)
    inputs["pixel_values"] = inputs["pixel_values"].to(network.dtype)
    if not isinstance(network, transformers.FlavaForPreTraining):
        return network(**inputs).logits_per_image
    # Its contrastive logits are of as many images as texts: each image beside all texts.
    rows = (
        network(**{**inputs, "pixel_values": image.expand(len(texts), -1, -1, -1)}, return_loss=False)
        for image in inputs["pixel_values"].split(1)
    )
    return torch.cat([row.contrastive_logits_per_image[:1] for row in rows])


def library(folder):
    """One image or text at a time, as the library's forward compares them: FLAVA's by their first position."""
    processor = AutoProcessor.from_pretrained(folder)

    def first(output):
        return output.pooler_output if output.pooler_output.ndim == 2 else output.pooler_output[:, 0]

    def seen(network, image):
        shown = processor.image_processor(images=[image], return_tensors="pt")["pixel_values"]
        return first(network.base_model.get_image_features(pixel_values=shown.to(network.dtype)))

    def read(network, text):
        return first(network.base_model.get_text_features(**processor(text=[text], truncation=True, return_tensors="pt")))

    return Library(lambda dtype: own(folder, dtype), seen, read)


@pytest.mark.parametrize("name", PAIRS)
def test_every_architecture_keeps_every_promise(load, saved, name):
    folder = saved(name)
    check_dual_encoder(lambda dtype: load(folder, dtype), library(folder), mixed_images(), TEXTS)


@pytest.mark.parametrize("name", [name for name in PAIRS if name != "FLAVA without heads"])
def test_probabilities_of_texts_are_those_of_the_librarys_own_forward(load, saved, name):
    # In bfloat16 the forward of transformers' TIPSv2 fails: it gives texts features of float32.
    for dtype in ("float32",) if name == "TIPSv2" else ("float32", "bfloat16"):
        model, network = load(saved(name), dtype), own(saved(name), dtype)
        for images in (mixed_images()[:1], mixed_images()):
            with torch.inference_mode():
                expected = (
                    forward(network, AutoProcessor.from_pretrained(saved(name)), images, list(TEXTS)).float().softmax(dim=1)
                )
                seen, read = model.image_features(model.prepare(images)).float(), model.text_features(TEXTS).float()
            cosine = torch.nn.functional.normalize(seen, dim=-1) @ torch.nn.functional.normalize(read, dim=-1).T
            noise = 1e-4 if dtype == "float32" else model.scale * ROUNDING
            torch.testing.assert_close((model.scale * cosine).softmax(dim=1), expected, rtol=0, atol=noise)


@pytest.mark.parametrize("name", PAIRS)
def test_a_candidate_of_every_architecture_is_found(rows, saved, name):
    (card,) = entered(rows, [saved(name)], Claims(), None)
    assert (card.type, card.adapter) == ("dual-encoder", "medrival.models.dual_encoder:transformers")


def test_a_learned_scale_ends_where_the_configuration_says(load, saved):
    assert float(own(saved("AIMv2")).logit_scale.exp()) > 14
    assert load(saved("AIMv2")).scale == pytest.approx(10)


def test_a_temperature_that_a_checkpoint_lacks_is_the_configurations(load, saved):
    assert load(saved("TIPSv2")).scale == pytest.approx(1 / 0.02)


PLACES = {"ALIGN": 64, "AltCLIP": LENGTH - 2, "Chinese-CLIP": LENGTH, "OWL-ViT": 16, "ViT and RoBERTa": LENGTH - 2}


@pytest.mark.parametrize(("name", "places"), PLACES.items())
def test_texts_are_cut_at_what_the_processor_or_the_text_tower_has_places_for(load, saved, name, places):
    model, read = load(saved(name)), []
    model.module.text_model.register_forward_pre_hook(lambda *called: read.append(called[-1]), with_kwargs=True)
    model.text_features(["a photo " * 100])
    assert read[0]["input_ids"].shape == (1, places)


def test_texts_of_aimv2_are_read_forwards_however_they_are_padded(load, saved):
    """In the authors' code the text tower is causal; transformers' fused attention is so only beside padding."""
    model = load(saved("AIMv2"))
    words = AutoProcessor.from_pretrained(saved("AIMv2")).tokenizer
    padded = words(TEXTS[:1], padding="max_length", max_length=60, return_tensors="pt")
    with torch.inference_mode():
        expected = own(saved("AIMv2"), written_out=False).get_text_features(**padded).pooler_output
        torch.testing.assert_close(model.text_features(TEXTS[:1]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "architecture",
    [
        *("ClapModel", "XCLIPModel", "CLIPVisionModel", "ColPaliForRetrieval"),
        *("CLIPForImageClassification", "CLIPSegForImageSegmentation", "OwlViTForObjectDetection", "BlipForQuestionAnswering"),
    ],
)
def test_what_compares_no_images_with_texts_is_refused_by_what_it_says_it_is(load, tmp_path, architecture):
    (tmp_path / "config.json").write_text(json.dumps({"architectures": [architecture]}))
    with pytest.raises(BrokenModel, match=rf"^mini: .* holds a {architecture}, which is no dual encoder of images and texts"):
        load(tmp_path)


@pytest.mark.parametrize("kind", ["Electra", "Deberta", "DebertaV2", "DistilBert", "XLNet"])
def test_a_text_tower_that_pools_no_features_or_has_no_end_is_refused(load, tmp_path, kind):
    words = bert_tokenizer(tmp_path)
    small = {"dim": 32, "n_heads": 2, "hidden_dim": 64} if kind == "DistilBert" else {"d_model": 32, "n_head": 2, "d_inner": 64}
    if kind in ("DistilBert", "XLNet"):
        config = getattr(transformers, f"{kind}Config")(vocab_size=len(words), **small)
    else:
        config = getattr(transformers, f"{kind}Config")(**text(words))
    save_vision_text(tmp_path, words, config)
    with pytest.raises(
        BrokenModel, match=rf"^mini: its {kind}Model gives no features of texts that this adapter could compare"
    ):
        load(tmp_path)


def test_features_of_different_widths_are_refused(load, tmp_path):
    save_align(tmp_path, projection=24)
    with pytest.raises(BrokenModel, match=r"mini: features of its images have 32 numbers and those of its texts 24: they"):
        load(tmp_path)


@pytest.mark.parametrize("named", [True, False])
def test_towers_without_a_learned_scale_are_refused(load, tmp_path, named):
    save_blip2(tmp_path)
    config = transformers.Blip2Config.from_pretrained(tmp_path)
    config.text_config.num_attention_heads = 2
    transformers.Blip2Model(config).save_pretrained(tmp_path)
    if not named:
        settings = json.loads((tmp_path / "config.json").read_text())
        (tmp_path / "config.json").write_text(json.dumps({**settings, "architectures": None}))
    with pytest.raises(BrokenModel, match="holds a Blip2Model, which is no dual encoder of images and texts"):
        load(tmp_path)
