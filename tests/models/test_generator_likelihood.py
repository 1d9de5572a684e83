"""How likely a generator finds a reply: against log-softmax of the model's own logits, one sample and one reply at a time."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import AutoProcessor, LlavaForConditionalGeneration

from medrival.errors import BrokenData
from medrival.models import generator
from medrival.weights import locate
from tests.models.miniature_generators import FAMILIES, Family, paligemma, save

PROMPTS = [
    "Answer the following question about the image with yes or no. Is there a red square?",
    "What?",
    "Which shape is it?\nOptions:\n(A) circle\n(B) square\n(C) star\nAnswer with the single letter.",
    "How many?\nAnswer the question concisely.",
]
REPLIES = [("yes", "no"), ("left", "a very long blue answer", "yes"), ("A", "B", "C"), ("two blue", "two blue squares")]


@pytest.fixture(scope="module")
def own(rows):
    folder = locate(rows.models["pocket-llava"], None)
    return LlavaForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval(), AutoProcessor.from_pretrained(
        folder
    )


@pytest.fixture(scope="module")
def pictures():
    rng = np.random.default_rng(1)
    return [[Image.fromarray(rng.integers(0, 256, (60 + 11 * i, 90, 3), dtype=np.uint8))] for i in range(len(PROMPTS))]


def alone(own, image, prompt, reply):
    """The log-likelihood of one reply: no batch, no padding, no shared pass."""
    model, processor = own
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": prompt}]}]
    inputs = processor(images=image, text=processor.apply_chat_template(asked, add_generation_prompt=True), return_tensors="pt")
    tokens = processor.tokenizer(reply, add_special_tokens=False, return_tensors="pt")["input_ids"]
    start = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], tokens], dim=1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    with torch.inference_mode():
        logits = model(**inputs).logits[0].float().log_softmax(dim=-1)
    return sum(float(logits[start - 1 + place, token]) for place, token in enumerate(tokens[0]))


def passes(module, work):
    """How many rows each forward pass had while `work` ran."""
    rows = []
    hook = module.register_forward_pre_hook(lambda _, __, inputs: rows.append(len(inputs["input_ids"])), with_kwargs=True)
    work()
    hook.remove()
    return rows


def test_a_batch_of_prompts_and_replies_of_unequal_length_equals_each_alone(pocket_llava, own, pictures):
    found = pocket_llava.loglikelihood(pictures, PROMPTS, REPLIES)
    for image, prompt, replies, values in zip(pictures, PROMPTS, REPLIES, found, strict=True):
        assert values == pytest.approx([alone(own, image, prompt, reply) for reply in replies], abs=2e-4)


@pytest.mark.parametrize("row", range(len(PROMPTS)))
def test_a_prompt_without_padding_equals_it_too(pocket_llava, own, pictures, row):
    (found,) = pocket_llava.loglikelihood(pictures[row : row + 1], PROMPTS[row : row + 1], REPLIES[row : row + 1])
    assert found == pytest.approx([alone(own, pictures[row], PROMPTS[row], reply) for reply in REPLIES[row]], abs=1e-4)


def test_the_tokens_that_count_are_those_that_are_taught_without_the_closing_one(pocket_llava, pictures):
    inputs = pocket_llava.teach(pictures[:1], PROMPTS[:1], ["two blue squares"])
    with torch.inference_mode():
        logits = pocket_llava.module(**inputs).logits[0, :-1].log_softmax(dim=-1)
    labels = inputs["labels"][0, 1:]
    taught = [(place, label) for place, label in enumerate(labels.tolist()) if label != -100]
    expected = sum(float(logits[place, label]) for place, label in taught[:-1])
    ((found,),) = pocket_llava.loglikelihood(pictures[:1], PROMPTS[:1], [["two blue squares"]])
    assert found == pytest.approx(expected, abs=1e-4)


def test_all_letters_and_both_of_yes_and_no_cost_one_pass_over_the_prompt(pocket_llava, pictures):
    replies = [("yes", "no"), tuple("ABCDE")]
    rows = passes(pocket_llava.module, lambda: pocket_llava.loglikelihood(pictures[:2], PROMPTS[:2], replies))
    assert rows == [2]


def test_replies_that_part_early_cost_a_row_each_and_never_more_at_once_than_images_were_given(pocket_llava, pictures):
    replies = [("a red circle there", "two blue squares there", "no green star there")] * 2
    rows = passes(pocket_llava.module, lambda: pocket_llava.loglikelihood(pictures[:2], PROMPTS[:2], replies))
    assert rows == [2, 2, 2]


def test_a_model_whose_forward_keeps_all_logits_gives_the_same(pocket_llava, pictures):
    expected = pocket_llava.loglikelihood(pictures, PROMPTS, REPLIES)
    forward = pocket_llava.module.forward

    def plain(input_ids, attention_mask, pixel_values, use_cache):
        return forward(input_ids=input_ids, attention_mask=attention_mask, pixel_values=pixel_values, use_cache=use_cache)

    pocket_llava.module.forward = plain
    for values, others in zip(pocket_llava.loglikelihood(pictures, PROMPTS, REPLIES), expected, strict=True):
        assert values == pytest.approx(others, abs=1e-4)


def test_a_question_without_candidates_has_no_values(pocket_llava, pictures):
    assert pocket_llava.loglikelihood(pictures[:2], PROMPTS[:2], [(), ("yes",)])[0] == ()


def test_a_reply_without_a_token_is_refused(pocket_llava, pictures):
    with pytest.raises(BrokenData, match="the reply '' has no token"):
        pocket_llava.loglikelihood(pictures[:1], PROMPTS[:1], [("yes", "")])


@pytest.mark.parametrize("family", [FAMILIES["gemma3"], Family(paligemma, (), "<eos>")], ids=["gemma3", "paligemma"])
def test_a_token_of_an_answer_is_foretold_from_nothing_behind_it(rows, pictures, tmp_path, family):
    """Though the tokens of an image, or of PaliGemma's whole prompt, all see each other."""
    model = generator.transformers(rows.models["pocket-llava"], save(family, tmp_path), "cpu", "float32")
    one, other = (model.teach(pictures[:1], PROMPTS[:1], [reply]) for reply in ("left", "less"))
    unlike = int((one["labels"] != other["labels"]).nonzero()[0, 1])
    assert unlike > int((one["labels"] != -100).nonzero()[0, 1])
    with torch.inference_mode():
        logits = [model.module(**inputs).logits[0] for inputs in (one, other)]
    torch.testing.assert_close(logits[0][:unlike], logits[1][:unlike])
    assert not torch.allclose(logits[0][unlike], logits[1][unlike])
