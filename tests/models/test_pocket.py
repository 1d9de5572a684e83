"""The pocket models as plain transformers sees them, and the recipe that made them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from medrival.models.pocket import builds, losses, recipe
from medrival.tasks import phantoms
from medrival.tasks.scenes.everyday import Everyday

FOLDER = Path(builds.__file__).parent
CLIPS, LLAVAS = ("clip", "medclip"), ("llava", "medllava")


@pytest.fixture(scope="module")
def scenes() -> list[Any]:
    return recipe.general_scenes(24)


def test_all_weights_are_safetensors_and_fit_in_16_mb():
    files = [path for name in (*CLIPS, *LLAVAS) for path in (FOLDER / name).iterdir()]
    assert sum(path.stat().st_size for path in files) < 16e6
    assert {path.suffix for path in files} <= {".safetensors", ".json", ".md", ".jinja"}


@pytest.mark.parametrize("name", [*CLIPS, *LLAVAS])
def test_no_file_says_where_it_was_made(name):
    for path in (FOLDER / name).glob("*.json"):
        assert "_name_or_path" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CLIPS)
def test_dual_encoders_load_with_every_weight_matched(name):
    from transformers import AutoProcessor, CLIPModel

    model, report = CLIPModel.from_pretrained(FOLDER / name, output_loading_info=True, dtype=torch.float32)
    assert not any(report.values())
    processor = AutoProcessor.from_pretrained(FOLDER / name)
    batch = processor(text=["a red circle", "é 測"], images=[Image.new("RGB", (90, 70))] * 2, padding=True, return_tensors="pt")
    assert model(**batch).logits_per_image.isfinite().all()


@pytest.mark.parametrize("name", CLIPS)
def test_padding_does_not_change_a_text_embedding(name):
    from transformers import AutoTokenizer, CLIPModel

    model, words = (
        CLIPModel.from_pretrained(FOLDER / name, dtype=torch.float32).eval(),
        AutoTokenizer.from_pretrained(FOLDER / name),
    )
    short, long = "a red circle", "a rough red circle on the left of a striped picture"
    alone, padded = (words(texts, padding=True, return_tensors="pt") for texts in ([short], [short, long]))
    with torch.no_grad():
        first, second = (model.text_model(**batch).pooler_output[0] for batch in (alone, padded))
    assert torch.allclose(first, second, atol=1e-5)
    assert words.eos_token_id == model.config.text_config.eos_token_id != 2


@pytest.mark.parametrize("name", LLAVAS)
def test_generators_load_with_every_weight_matched_and_answer(name):
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    model, report = LlavaForConditionalGeneration.from_pretrained(FOLDER / name, output_loading_info=True, dtype=torch.float32)
    assert not any(report.values())
    processor = AutoProcessor.from_pretrained(FOLDER / name)
    content = [{"type": "image", "image": Image.new("RGB", (128, 128))}, {"type": "text", "text": "Is there a ring?"}]
    batch = processor.apply_chat_template(
        [{"role": "user", "content": content}], add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt"
    )
    tokens = model.generate(**batch, max_new_tokens=8, do_sample=False)
    assert processor.decode(tokens[0, batch["input_ids"].shape[1] :], skip_special_tokens=True).strip()


@pytest.mark.parametrize(("eyes", "speaker"), [("clip", "llava"), ("medclip", "medllava")])
def test_a_generator_sees_with_the_tower_of_its_dual_encoder(eyes, speaker):
    from safetensors.torch import load_file

    source, copy = (load_file(FOLDER / name / "model.safetensors") for name in (eyes, speaker))
    tower = {name.split("vision_model.")[1]: value for name, value in source.items() if "vision_model." in name}
    copied = {name.split("vision_tower.")[1]: value for name, value in copy.items() if "vision_tower." in name}
    assert tower
    assert all(torch.equal(copied[name.removeprefix("vision_model.")], tower[name]) for name in copied)
    assert len(copied) == len(tower)


@pytest.mark.parametrize("name", LLAVAS)
def test_an_answer_tokenises_alone_as_it_does_in_a_dialogue(name):
    from transformers import AutoTokenizer

    words = AutoTokenizer.from_pretrained(FOLDER / name)
    together = words("USER: ASSISTANT: upper left")["input_ids"]
    apart = words("USER: ASSISTANT:")["input_ids"] + words("upper left", add_special_tokens=False)["input_ids"]
    assert together == apart


@pytest.mark.parametrize("name", [*CLIPS, *LLAVAS])
def test_every_model_card_tells_seed_data_and_that_it_is_not_for_patients(name):
    card = (FOLDER / name / "README.md").read_text()
    assert f"seed: {recipe.SEED}" in card
    assert ("phantoms of the training patients" if name.startswith("med") else "everyday scenes") in card
    assert "No clinical use" in card


def test_the_medical_recipe_sees_training_patients_of_three_anatomies_in_images_of_no_task(tmp_path):
    seen = {repr(scene) for scene in recipe.medical_scenes(400)}
    assert len(seen) >= 400
    assert {type(scene).modality for scene in recipe.medical_scenes(400)} == {
        "chest radiograph",
        "histology slide",
        "dermoscopy image",
    }
    for anatomy in phantoms.ANATOMIES:
        for number in range(240):
            who = phantoms.patient(anatomy, number)
            images = (1, 2, 3, 4) if number in phantoms.SPLITS["train"] else (1, recipe.FIRST_EXTRA, recipe.FIRST_EXTRA + 1)
            assert not seen & {repr(phantoms.imagine(anatomy, who, image)) for image in images}


def test_the_general_recipe_sees_everyday_scenes_alone(scenes):
    assert all(isinstance(scene, Everyday) for scene in scenes)


def test_equal_captions_share_the_target():
    captions = torch.tensor([0, 0, 1])
    perfect = 50.0 * (captions[:, None] == captions[None, :]).float()
    assert losses.contrast(perfect, captions) == pytest.approx(2 / 3 * torch.log(torch.tensor(2.0)).item(), abs=1e-4)


def test_packed_questions_are_answered_as_if_each_were_asked_alone(scenes):
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(FOLDER / "llava", dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(FOLDER / "llava")
    pixels = losses.normalised(recipe.pictures(scenes[:1], processor.image_processor))
    talks = [
        losses.dialogue(processor, prompt, answer) for prompt, answer in (("Is it red?", "yes"), ("Where?", "on the left"))
    ]
    opening = talks[0][0][: 1 + talks[0][0].index(processor.image_token_id) + builds.PATCHES - 1]
    turns = [(asked[len(opening) :], told) for asked, told in talks]
    with torch.no_grad():
        together = model(pixel_values=pixels, **losses.packed(opening, [turns])).logits[0, len(opening) :]
        alone = [model(pixel_values=pixels, input_ids=torch.tensor([[*q, *a]])).logits[0, len(opening) :] for q, a in talks]
    assert torch.allclose(together, torch.cat(alone), atol=1e-4)


def test_the_loss_of_the_answers_alone_is_the_models_own(scenes):
    from transformers import AutoProcessor, LlavaForConditionalGeneration

    model = LlavaForConditionalGeneration.from_pretrained(FOLDER / "llava", dtype=torch.float32).eval()
    processor = AutoProcessor.from_pretrained(FOLDER / "llava")
    pixels = losses.normalised(recipe.pictures(scenes[:2], processor.image_processor))
    talks = [losses.dialogue(processor, prompt, answer) for prompt, answer in (("Is it red?", "yes"), ("How many?", "two"))]
    start, end = talks[0][0].index(processor.image_token_id), builds.PATCHES
    opening = talks[0][0][: start + end]
    inputs = losses.packed(opening, [[(asked[len(opening) :], told)] for asked, told in talks])
    with torch.no_grad():
        own = model(pixel_values=pixels, **inputs).loss.item()
        assert losses.answer_loss(model, pixels, inputs).item() == pytest.approx(own, rel=1e-5)


@pytest.mark.parametrize("world", ["general", "medical"])
def test_a_lesson_has_one_description_that_fits_and_wrong_ones_of_scenes_like_it(world):
    dice = np.random.default_rng(0)
    shown = recipe.SCENES[world](24)[:24]
    for scene in shown:
        (described,) = (q for q in losses.lesson(dice, scene, shown, 3) if q.text == "Which description fits the image?")
        said = {caption: type(other) for other in shown for caption in other.captions()}
        assert [option for option in described.options if option in scene.captions()] == [described.answer]
        assert 2 <= len(described.options) <= 4
        assert {said[option] for option in described.options} == {type(scene)}


def test_training_lowers_the_loss_of_both_kinds(scenes, tmp_path):
    torch.manual_seed(0)
    texts = [caption for scene in scenes for caption in scene.captions()]
    clip_processor = builds.clip_processor(builds.tokenizer(texts, closing=True, size=1024))
    pixels = recipe.pictures(scenes, builds.image_processor())
    clip = builds.clip(clip_processor.tokenizer).train()
    stream = losses.clip_losses(clip, clip_processor.tokenizer, scenes, pixels, batch=12, seed=0)
    history = recipe.fit(list(clip.parameters()), stream, 24, 1e-3)
    assert sum(history[-6:]) < 0.95 * sum(history[:6])

    builds.save(tmp_path, clip, clip_processor, "")
    llava_processor = builds.llava_processor(builds.tokenizer(texts, closing=False, size=2048))
    llava = builds.llava(llava_processor.tokenizer, tmp_path)
    stream = losses.llava_losses(llava, llava_processor, scenes, pixels, batch=4, turns=3, seed=0)
    history = recipe.fit(list(llava.parameters()), stream, 20, 2e-3)
    assert sum(history[-5:]) < 0.7 * sum(history[:5])
