"""Earlier turns of a conversation reach a generator as the library's own chat template puts them."""

from dataclasses import replace

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from medrival.contracts import Turn
from medrival.errors import BrokenModel
from medrival.models import generator
from tests.models.miniature_generators import FAMILIES, pictures, save


def message(role, text, images=()):
    return {"role": role, "content": [*({"type": "image", "image": image} for image in images), {"type": "text", "text": text}]}


def library(folder, end):
    processor, own = AutoProcessor.from_pretrained(folder), AutoModelForImageTextToText.from_pretrained(folder).eval()
    closing = processor.tokenizer.convert_tokens_to_ids(end)
    own.generation_config = GenerationConfig(do_sample=False, eos_token_id=closing, pad_token_id=closing)
    return processor, own


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "internvl3", "gemma3", "idefics3"])
def test_answers_behind_solved_questions_are_the_librarys(rows, tmp_path, monkeypatch, family):
    folder, shown = save(FAMILIES[family], tmp_path), pictures(4)
    model = generator.transformers(replace(rows.models["pocket-llava"], name=family), folder, "cpu", "float32")
    earlier = [Turn((shown[0],), "What?", "A"), Turn((shown[1], shown[2]), "Which differ?", "both")]
    processor, own = library(folder, FAMILIES[family].end)

    def expected(turns):
        said = [one for t in turns for one in (message("user", t.prompt, t.images), message("assistant", t.answer))]
        inputs = processor.apply_chat_template(
            [*said, message("user", "Where is it?", shown[3:])],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            output = own.generate(**inputs, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
        return inputs["input_ids"][0].tolist(), processor.tokenizer.decode(output, skip_special_tokens=True).strip()

    asked, plainly = [], model.module.generate
    monkeypatch.setattr(model.module, "generate", lambda **inputs: asked.append(inputs) or plainly(**inputs))
    wanted = [expected(turns) for turns in (earlier, earlier[:1], [])]
    found = model.answer([shown[3:]] * 3, ["Where is it?"] * 3, 12, [earlier, earlier[:1], []])
    assert found == [answer for _, answer in wanted]
    (inputs,) = asked
    read = [row[seen.bool()].tolist() for row, seen in zip(inputs["input_ids"], inputs["attention_mask"], strict=True)]
    assert read == [tokens for tokens, _ in wanted]


def test_without_a_chat_template_turns_stand_one_after_the_other(rows, tmp_path):
    folder, (one, other) = save(FAMILIES["llava"], tmp_path), pictures(2)
    (folder / "chat_template.jinja").unlink()
    model = generator.transformers(replace(rows.models["pocket-llava"], name="plain"), folder, "cpu", "float32")
    by_hand = "<image>\nWhat? A\n\n<image>\nWhere?"
    processor, own = library(folder, "</s>")
    inputs = processor(images=[[one, other]], text=[by_hand], return_tensors="pt")
    output = own.generate(**inputs, max_new_tokens=12)[0, inputs["input_ids"].shape[1] :]
    expected = processor.tokenizer.decode(output, skip_special_tokens=True).strip()
    assert model.answer([[other]], ["Where?"], 12, [[Turn((one,), "What?", "A")]]) == [expected]


def test_a_template_that_leaves_out_earlier_turns_is_refused(rows, tmp_path):
    folder, (one, other) = save(FAMILIES["llava"], tmp_path), pictures(2)
    template = folder / "chat_template.jinja"
    template.write_text(template.read_text().replace("for m in messages", "for m in messages[-1:]"))
    model = generator.transformers(replace(rows.models["pocket-llava"], name="short"), folder, "cpu", "float32")
    with pytest.raises(BrokenModel, match="short: its chat template places 1 of 2 images of a conversation"):
        model.answer([[other]], ["Where?"], 12, [[Turn((one,), "What?", "A")]])
