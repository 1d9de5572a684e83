"""`--dtype 4bit` as it runs: each family against the library's own network with matrices that were rounded to NF4."""

import re
from dataclasses import replace

import pytest
import torch

from medrival import catalog
from medrival.checks import dual_encoder as dual_encoder_checks
from medrival.checks import generator as generator_checks
from medrival.checks.promises import trained_adapters
from medrival.errors import BrokenModel
from medrival.models import generator, placement
from tests.models import miniature_dual_encoders, miniature_generators
from tests.models.dual_encoder_libraries import LIBRARIES
from tests.models.miniature_dual_encoders import TEXTS, mixed_images
from tests.models.test_generator_battery import library, questions

bitsandbytes = pytest.importorskip("bitsandbytes")

WHOLE = {
    "CLIP": r"text_projection",
    "SigLIP": r"vision_model\.head\.attention\.out_proj",
    "BLIP-2": r"qformer\..*",
    "gemma3": r"lm_head|model\.vision_tower\.head\.attention\.out_proj",
}
"""Linear layers that stay in bfloat16; the output head alone, where nothing else is said."""

DUAL_ENCODERS = ("CLIP", "SigLIP", "BLIP", "BLIP-2")
EVERY = (*miniature_generators.FAMILIES, *DUAL_ENCODERS)

GENERATOR_CHECKS = (
    generator_checks.check_the_generator_is_ready_for_inference,
    generator_checks.check_the_generator_is_deterministic_and_keeps_no_state,
    generator_checks.check_lora_stays_in_language_model_and_projector,
    generator_checks.check_lora_reaches_every_adapter_of_the_generator,
    generator_checks.check_lora_leaves_no_trace_in_the_generator,
)
DUAL_ENCODER_CHECKS = (
    dual_encoder_checks.check_the_model_is_ready_for_inference,
    dual_encoder_checks.check_the_model_is_deterministic_and_keeps_no_state,
    dual_encoder_checks.check_lora_reaches_every_adapter,
    dual_encoder_checks.check_lora_comes_out_without_a_trace,
)


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Family -> the directory of its miniature, saved once."""
    known = {}

    def folder(family):
        if family not in known:
            known[family] = tmp_path_factory.mktemp("checkpoints") / "org" / "name"
            if family in miniature_generators.FAMILIES:
                miniature_generators.save(miniature_generators.FAMILIES[family], known[family])
            else:
                miniature_dual_encoders.FAMILIES[family][1](known[family])
        return known[family]

    return folder


@pytest.fixture(scope="module")
def load(rows, saved):
    """Family, precision -> the model."""

    def loaded(family, dtype="4bit"):
        card = replace(rows.models["pocket-clip"], name=family)
        if family in miniature_generators.FAMILIES:
            return generator.transformers(card, saved(family), "cpu", dtype)
        return catalog.imported(miniature_dual_encoders.FAMILIES[family][0])(card, saved(family), "cpu", dtype)

    return loaded


def rounded(family, module):
    """The network with each matrix rounded to NF4, where `WHOLE` does not say otherwise."""
    for name, part in module.named_modules():
        if isinstance(part, torch.nn.Linear) and not re.fullmatch(WHOLE.get(family, "lm_head"), name):
            packed, state = bitsandbytes.functional.quantize_4bit(part.weight.data, blocksize=64, quant_type="nf4")
            part.weight.data = bitsandbytes.functional.dequantize_4bit(packed, state)
    return module


def size(module):
    """Bytes of the weights and of the scales of those in 4 bits."""
    scales = (p.quant_state.absmax for p in module.parameters() if isinstance(p, bitsandbytes.nn.Params4bit))
    return sum(value.numel() * value.element_size() for value in (*module.parameters(), *scales))


@pytest.mark.parametrize("family", EVERY)
def test_the_figure_is_what_the_loaded_weights_take(load, saved, family):
    """But for the projection of CLIP's texts, which stays whole as the last layer of all."""
    rest = 0.02 if family == "CLIP" else 0
    assert placement.weights(saved(family), "4bit") == pytest.approx(size(load(family).module), rel=rest, abs=0)


@pytest.mark.parametrize("family", miniature_generators.FAMILIES)
def test_a_generator_says_what_the_librarys_network_says_with_rounded_matrices(load, saved, family):
    own = library(saved(family), family)
    coarse = replace(own, load=lambda dtype: rounded(family, own.load(dtype)))
    generator_checks.check_bfloat16_is_the_librarys(lambda _: load(family), coarse, questions()[1:3])


@pytest.mark.parametrize("family", DUAL_ENCODERS)
def test_a_dual_encoder_sees_and_reads_what_it_does_with_rounded_matrices(load, family):
    model, own = load(family), load(family, "bfloat16")
    rounded(family, own.module)
    pixels = model.prepare(mixed_images())
    with torch.inference_mode():
        assert torch.equal(model.image_features(pixels), own.image_features(pixels))
        assert torch.equal(model.text_features(TEXTS), own.text_features(TEXTS))


def test_siglip_2_of_native_size_is_refused_in_words(load):
    with pytest.raises(BrokenModel, match="SigLIP 2 of native image size cannot be in 4 bits; take bfloat16"):
        load("SigLIP 2")


@pytest.mark.parametrize("check", GENERATOR_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_a_generator_keeps_its_promises(load, saved, check):
    check(lambda _: load("qwen2.5-vl"), library(saved("qwen2.5-vl"), "qwen2.5-vl"), questions())


@pytest.mark.parametrize("check", DUAL_ENCODER_CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("family", ["CLIP", "SigLIP"])
def test_a_dual_encoder_keeps_its_promises(load, saved, family, check):
    check(lambda _: load(family), LIBRARIES[family](saved(family)), mixed_images(), TEXTS)


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl"])
def test_after_an_inference_lora_learns_what_it_learns_on_rounded_matrices(load, family):
    """bitsandbytes has kernels that pass no gradient on, and changes to them at the first inference."""
    model, own = load(family), load(family, "bfloat16")
    rounded(family, own.module)
    asked = [q.images for q in questions()], [q.prompt for q in questions()]
    model.answer(*asked, 2)
    gradients = []
    for one in (model, own):
        with trained_adapters(one.module, one.lora) as adapters:
            one.module(**one.teach(*asked, [q.replies[0] for q in questions()]), use_cache=False).loss.backward()
            gradients.append({name: parameter.grad for name, parameter in adapters.parameters.items()})
    for name, expected in gradients[1].items():
        assert torch.nn.functional.cosine_similarity(gradients[0][name].flatten(), expected.flatten(), dim=0) > 0.99, name


def test_an_adapter_is_not_merged_into_four_bits(rows, tmp_path):
    (tmp_path / "adapter_model.safetensors").touch()
    card = replace(rows.models["pocket-clip"], name="tuned", base=rows.models["pocket-clip"])
    with pytest.raises(BrokenModel, match="tuned: merging an adapter into weights in 4 bits would round them"):
        catalog.imported("medrival.models.peft_adapter:merged")(card, tmp_path, "cpu", "4bit")
