"""The generator adapter against `model.generate` on single samples, and what it teaches."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from medrival.batches import CPU_ROWS
from medrival.contracts import Failed
from medrival.errors import BrokenModel
from medrival.models import generator
from medrival.weights import locate
from tests.models.miniature_generators import FAMILIES, save

PROMPTS = [
    "Answer the following question about the image with yes or no. Is there a red square?",
    "What is shown?\nAnswer the question concisely.",
    "Which shape is it?\nOptions:\n(A) circle\n(B) square\nAnswer with the single letter corresponding to the best choice.",
    "How many?\nAnswer the question concisely.",
]


def images(count: int) -> list[list[Image.Image]]:
    """One image for each prompt."""
    rng = np.random.default_rng(1)
    return [[Image.fromarray(rng.integers(0, 256, (60 + 11 * i, 90, 3), dtype=np.uint8))] for i in range(count)]


@pytest.fixture(scope="module")
def own(rows):
    folder = locate(rows.models["pocket-llava"], None)
    return LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval(), AutoProcessor.from_pretrained(
        folder
    )


def generated_alone(own, shown, prompt, tokens):
    model, processor = own
    content = [*[{"type": "image"}] * len(shown), {"type": "text", "text": prompt}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    inputs = processor(images=shown, text=text, return_tensors="pt")
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
    return processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()


def test_answers_of_a_batch_equal_generate_on_single_samples(pocket_llava, own):
    pictures = images(4)
    answers = pocket_llava.answer(pictures, PROMPTS, 12)
    assert answers == [generated_alone(own, shown, prompt, 12) for shown, prompt in zip(pictures, PROMPTS, strict=True)]
    assert any(answers)


def test_a_cpu_reads_a_few_questions_of_a_large_batch_at_once_and_answers_each_as_alone(pocket_llava):
    count = CPU_ROWS + len(PROMPTS)
    pictures, prompts = images(len(PROMPTS)) * count, PROMPTS * count
    read = []
    pocket_llava.module.lm_head.register_forward_hook(lambda _, __, output: read.append(len(output)))
    answers = pocket_llava.answer(pictures[:count], prompts[:count], 3)
    assert answers == [pocket_llava.answer(pictures[i : i + 1], prompts[i : i + 1], 3)[0] for i in range(count)]
    assert max(read) == CPU_ROWS


def test_a_network_that_overflows_answers_nothing_and_other_questions_go_on(rows):
    adapter = generator.transformers(rows.models["pocket-llava"], locate(rows.models["pocket-llava"], None), "cpu", "float32")
    pictures = images(4)
    whole = adapter.answer(pictures, PROMPTS, 6)

    def overflow(_, __, features):
        features[1] *= torch.nan
        return features

    adapter.module.model.multi_modal_projector.register_forward_hook(overflow)
    answers = adapter.answer(pictures, PROMPTS, 6)
    assert answers == [whole[0], Failed("the model's scores are not finite"), *whole[2:]]


def test_an_answer_holds_nothing_of_the_prompt(pocket_llava):
    (answer,) = pocket_llava.answer(images(1), PROMPTS[:1], 4)
    assert "Answer the following" not in answer
    assert "USER" not in answer


def test_the_plain_prompt_serves_a_model_without_chat_template(rows, own, tmp_path):
    model, processor = own
    model.save_pretrained(tmp_path)
    plain = AutoProcessor.from_pretrained(locate(rows.models["pocket-llava"], None))
    plain.chat_template = None
    plain.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    adapter = generator.transformers(rows.models["pocket-llava"], tmp_path, "cpu", "float32")
    picture = images(1)[0]
    inputs = processor(images=picture, text=f"<image>\n{PROMPTS[1]}", return_tensors="pt")
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=8)
    expected = processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert adapter.answer([picture], [PROMPTS[1]], 8) == [expected]


def test_a_chat_template_that_only_the_tokenizer_has_is_used(rows, own, tmp_path):
    own[0].save_pretrained(tmp_path)
    moved = AutoProcessor.from_pretrained(locate(rows.models["pocket-llava"], None))
    moved.tokenizer.chat_template, moved.chat_template = moved.chat_template, None
    moved.save_pretrained(tmp_path)
    (tmp_path / "chat_template.jinja").unlink(missing_ok=True)
    moved.tokenizer.save_pretrained(tmp_path)
    adapter = generator.transformers(rows.models["pocket-llava"], tmp_path, "cpu", "float32")
    picture = images(1)[0]
    assert adapter.asked_by == "chat template"
    assert adapter.answer([picture], PROMPTS[:1], 8) == [generated_alone(own, picture, PROMPTS[0], 8)]


def test_a_checkpoints_sampling_and_penalties_do_not_reach_decoding(rows, own, tmp_path):
    model, processor = own
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    (tmp_path / "generation_config.json").write_text('{"do_sample": true, "temperature": 5.0, "repetition_penalty": 9.0}')
    adapter = generator.transformers(rows.models["pocket-llava"], tmp_path, "cpu", "float32")
    pictures = images(2)
    assert adapter.answer(pictures, PROMPTS[:2], 12) == [
        generated_alone(own, shown, prompt, 12) for shown, prompt in zip(pictures, PROMPTS[:2], strict=True)
    ]


def test_only_the_answers_tokens_are_taught_and_the_loss_is_the_librarys(pocket_llava, own):
    model, processor = own
    tokenizer = processor.tokenizer
    inputs = pocket_llava.teach(images(2), PROMPTS[1:3], ["a blue circle", "B"])
    for row, answer in enumerate(["a blue circle", "B"]):
        taught = inputs["labels"][row][inputs["labels"][row] != -100].tolist()
        assert taught == [*tokenizer(answer, add_special_tokens=False)["input_ids"], tokenizer.eos_token_id]
    with torch.inference_mode():
        together = model(**inputs)
        logits, labels = together.logits[:, :-1], inputs["labels"][:, 1:]
        expected = torch.nn.functional.cross_entropy(logits[labels != -100], labels[labels != -100])
    torch.testing.assert_close(together.loss, expected)


def test_padding_changes_no_loss_beyond_float_noise(pocket_llava):
    pictures, answers = images(3), ["yes", "a very long blue answer", "B"]
    with torch.inference_mode():
        batch = pocket_llava.teach(pictures, PROMPTS[:3], answers)
        logits = pocket_llava.module(**batch).logits
        for row in range(3):
            alone = pocket_llava.teach(pictures[row : row + 1], PROMPTS[row : row + 1], answers[row : row + 1])
            single = pocket_llava.module(**alone).logits[0, alone["labels"][0] != -100]
            torch.testing.assert_close(logits[row, batch["labels"][row] != -100], single, rtol=1e-3, atol=1e-3)


def test_lora_layers_are_those_of_language_model_and_projector(pocket_llava):
    assert any("multi_modal_projector" in name for name in pocket_llava.lora)
    assert any("language_model" in name for name in pocket_llava.lora)
    assert not any("vision_tower" in name or "lm_head" in name for name in pocket_llava.lora)


def test_a_model_that_answers_nothing_is_refused(rows):
    with pytest.raises(BrokenModel, match="pocket-llava"):
        generator.transformers(rows.models["pocket-llava"], locate(rows.models["pocket-clip"], None), "cpu", "float32")


def test_a_question_about_several_images_sees_them_all_in_order_beside_one_about_a_single_image(pocket_llava, own):
    (first,), (second,), (third,) = images(3)
    shown = [[first, second], [third], [second, first]]
    answers = pocket_llava.answer(shown, PROMPTS[:3], 12)
    assert answers == [generated_alone(own, pictures, prompt, 12) for pictures, prompt in zip(shown, PROMPTS, strict=False)]
    one, other = pocket_llava.loglikelihood([shown[0], shown[2]], PROMPTS[:1] * 2, [["yes"]] * 2)
    assert one != other


@pytest.fixture
def worded(rows, tmp_path):
    """A miniature whose chat template is the given text."""

    def load(template):
        save(FAMILIES["llava"], tmp_path)
        (tmp_path / "chat_template.jinja").write_text(template)
        return generator.transformers(rows.models["pocket-llava"], tmp_path, "cpu", "float32")

    return load


def test_a_chat_template_made_for_words_alone_is_given_the_images_places(worded, tmp_path):
    adapter = worded("{% for m in messages %}{{ m.role.upper() + ': ' + m.content + ' ' }}{% endfor %}ASSISTANT:")
    shown = [images(2)[0][0], images(2)[1][0]]
    model, processor = LlavaForConditionalGeneration.from_pretrained(tmp_path), AutoProcessor.from_pretrained(tmp_path)
    inputs = processor(images=shown, text=f"USER: <image>\n<image>\n{PROMPTS[1]} ASSISTANT:", return_tensors="pt")
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, repetition_penalty=1.0, max_new_tokens=8)
    expected = processor.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip()
    assert adapter.answer([shown], [PROMPTS[1]], 8) == [expected]


def test_a_line_break_that_the_template_writes_before_an_answer_is_taught_as_the_tokenizer_merges_it(rows, tmp_path):
    folder = save(FAMILIES["llava-on-a-line"], tmp_path)
    words = AutoProcessor.from_pretrained(folder).tokenizer
    labels = generator.transformers(rows.models["pocket-llava"], folder, "cpu", "float32").teach(
        images(2), PROMPTS[:2], ["A", "B"]
    )["labels"]
    taught = [words.convert_ids_to_tokens(row[row != -100]) for row in labels]
    assert taught == [["\nA", "</s>"], ["\n", "B", "</s>"]]


def test_a_model_that_thinks_before_it_answers_tells_no_likelihoods(rows):
    """Behind its prompt stands a thought, of which a reply's likelihood would depend."""
    card = replace(rows.models["pocket-llava"], thinking=100)
    assert generator.transformers(card, locate(card, None), "cpu", "float32").loglikelihood is None


def test_a_thought_that_the_template_begins_is_marked_and_an_answer_is_taught_behind_its_end(worded, tmp_path):
    template = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %}<think>\n{% endif %}"
    adapter, words = worded(template), AutoProcessor.from_pretrained(tmp_path).tokenizer
    (answer,) = adapter.answer(images(1), PROMPTS[:1], 8)
    assert answer.startswith("<think>")
    labels = adapter.teach(images(1), PROMPTS[:1], ["yes"])["labels"][0]
    assert words.decode(labels[labels != -100]) == "</think>\n\nyes</s>"
    assert adapter.loglikelihood is None


def test_a_tokenizer_that_drops_the_mark_behind_a_thought_is_refused(rows, tmp_path):
    save(FAMILIES["llava"], tmp_path)
    processor = AutoProcessor.from_pretrained(tmp_path)
    processor.tokenizer.add_special_tokens({"extra_special_tokens": ["<image>", "<think>", "</think>"]})
    processor.save_pretrained(tmp_path)
    with pytest.raises(BrokenModel, match="leaves </think> out of texts"):
        generator.transformers(replace(rows.models["pocket-llava"], thinking=9), tmp_path, "cpu", "float32")


def test_a_chat_template_that_places_no_images_is_refused(worded):
    with pytest.raises(BrokenModel, match="chat template places no images"):
        worded("{% for m in messages %}{{ m.role }}{% endfor %}")


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "internvl3", "gemma3", "idefics3"])
def test_marks_in_a_question_or_an_answer_are_words_and_no_tokens_of_their_own(rows, tmp_path, family):
    folder = save(FAMILIES[family], tmp_path)
    adapter = generator.transformers(rows.models["pocket-llava"], folder, "cpu", "float32")
    known = AutoProcessor.from_pretrained(folder).tokenizer.added_tokens_decoder
    special = {number: token.content for number, token in known.items() if token.special}

    def controls(question, answer):
        tokens = adapter.teach(images(1), [question], [answer])["input_ids"][0].tolist()
        return Counter(special[token] for token in tokens if token in special)

    hostile = f"<{' '.join(special.values())}<image>>"
    assert len(special) > 4
    assert controls(hostile, hostile) == controls("What?", "yes")


def test_a_question_about_the_mark_of_images_fails_neither_itself_nor_its_neighbour(pocket_llava, own):
    pictures, hostile = images(2), "What does <image> show</s>?"
    asked = [PROMPTS[1], hostile]
    expected = [
        generated_alone(own, shown, prompt, 12)
        for shown, prompt in zip(pictures, [PROMPTS[1], "What does < image> show< /s>?"], strict=True)
    ]
    assert pocket_llava.answer(pictures, asked, 12) == expected
    ((likely,),) = pocket_llava.loglikelihood(pictures[:1], asked[:1], [["</s>"]])
    assert likely < 0


TURNS = "{% for m in messages %}{{ m.role }}: {% for c in m.content %}{{ c.text or '<image>' }}{% endfor %}{% endfor %}"


@pytest.mark.parametrize(
    ("begin", "expected"),
    [
        ("{{ strftime_now('%d %b %Y') }}\n", "26 Jul 2024\n"),
        ("\n  {% set today = strftime_now('%Y-%m-%d') %}{{ today }} ", "\n2024-07-26 "),
        ("{% if strftime_now is defined %}{{ strftime_now('%A') }}{% endif %} ", "Friday "),
    ],
)
def test_a_chat_template_that_asks_for_the_date_is_told_one_day_for_ever_and_it_is_on_record(worded, tmp_path, begin, expected):
    adapter = worded(begin + TURNS)
    words = AutoProcessor.from_pretrained(tmp_path).tokenizer
    ids = adapter.teach(images(1), ["What?"], ["yes"])["input_ids"][0]
    shown = words.convert_tokens_to_ids("<image>")
    assert words.decode(ids[: ids.tolist().index(shown)]) == f"{expected}user: "
    assert adapter.asked_by == "chat template, dated 2024-07-26"
