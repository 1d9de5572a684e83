"""The checks that every generator passes, on a miniature of each family; and that they find what is broken."""

import re
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from medrival.checks import generator as checks
from medrival.checks.generator import CHECKS, Library, Question, check_generator
from medrival.contracts import Generator
from medrival.models import generator
from tests.models.miniature_generators import FAMILIES, pictures, save

PROMPTS = (
    "Which differ?",
    "Is there a red square? Answer with yes or no.",
    "What?",
    "Which shape is it?\nOptions:\n(A) circle\n(B) square\nAnswer with the single letter.",
    "How many?",
    "Where is it?",
    "Is it benign, as far as one can tell from such a picture?",
)
REPLIES = (("the first", "the last"), ("yes", "no"), ("left", "a very long answer"), ("A", "B", "C"), ("two", "three"))


def questions() -> list[Question]:
    """The first and the last have several images."""
    shown = pictures(7)
    images = [tuple(shown[:2]), *[(picture,) for picture in shown[1:6]], (shown[6], shown[0], shown[3])]
    return [Question(images[i], prompt, REPLIES[i % len(REPLIES)]) for i, prompt in enumerate(PROMPTS)]


def library(folder, family) -> Library:
    """The model without our adapter, asked as the library's documentation has it."""
    processor = AutoProcessor.from_pretrained(folder)
    end = processor.tokenizer.convert_tokens_to_ids(FAMILIES[family].end)

    def load(dtype):
        module = AutoModelForImageTextToText.from_pretrained(folder, dtype=getattr(torch, dtype)).eval()
        module.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=end)
        return module

    def tokenize(reply):
        """What the whole conversation, as the template renders it, has behind the prompt."""
        turns = [("user", "What?"), ("assistant", reply)]
        said = [{"role": role, "content": [{"type": "text", "text": text}]} for role, text in turns]
        whole, asked = (processor.apply_chat_template(said[:n], add_generation_prompt=n == 1) for n in (2, 1))
        through = whole[: whole.rindex(reply) + len(reply)]
        tokens, prompt = (processor.tokenizer(text, add_special_tokens=False)["input_ids"] for text in (through, asked))
        assert tokens[: len(prompt)] == prompt
        return tokens[len(prompt) :]

    def inputs(images, prompt):
        content = [*({"type": "image", "image": image} for image in images), {"type": "text", "text": prompt}]
        return processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=True,
            return_dict=True,
            return_tensors="pt",
        )

    return Library(
        load,
        inputs,
        tokenize=tokenize,
        decode=lambda tokens: processor.tokenizer.decode(tokens, skip_special_tokens=True),
        end=end,
        adapted=FAMILIES[family].adapted,
    )


@pytest.fixture(scope="module")
def families(rows, tmp_path_factory):
    """Family -> what loads its miniature in a precision, and the library's own; each is saved once."""
    known = {}

    def family(name):
        if name not in known:
            folder = save(FAMILIES[name], tmp_path_factory.mktemp(name))
            card = replace(rows.models["pocket-llava"], name=name)
            known[name] = (lambda dtype: generator.transformers(card, folder, "cpu", dtype)), library(folder, name)
        return known[name]

    return family


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_keeps_every_promise(families, name, check):
    check(*families(name), questions())


def said(change):
    """A generator whose answers are changed by `change(answers, prompts)`."""
    return lambda model: replace(model, answer=lambda i, p, n: change(model.answer(i, p, n), p))


def likely(change):
    """One whose likelihoods are changed by `change(log-likelihoods, prompts, row)`."""

    def broken(model):
        def loglikelihood(images, prompts, replies):
            found = model.loglikelihood(images, prompts, replies)
            return [tuple(value + change(prompts, row) for value in values) for row, values in enumerate(found)]

        return replace(model, loglikelihood=loglikelihood)

    return broken


def shown(change):
    """One that is shown other images."""
    return lambda model: replace(model, loglikelihood=lambda i, p, r: model.loglikelihood([change(one) for one in i], p, r))


def taught(**change):
    """One that teaches other inputs."""

    def broken(model):
        def teach(*asked):
            inputs = model.teach(*asked)
            return {**inputs, **{name: changed(inputs[name]) for name, changed in change.items()}}

        return replace(model, teach=teach)

    return broken


def adapting(change):
    return lambda model: replace(model, lora=tuple(change(model.lora)))


def of_parts(**known):
    """One that tells other parts of its network."""
    return lambda model: replace(model, parts=replace(model.parts, **known))


def forgetful(model: Generator) -> Generator:
    def answer(*asked):
        with torch.no_grad():
            model.module.get_submodule(UNREAD).weight.add_(1)
        return model.answer(*asked)

    return replace(model, answer=answer)


def loud_in_bfloat16(model: Generator) -> Generator:
    """Its answers are the same, its logits are not."""
    with torch.no_grad():
        model.module.lm_head.weight.mul_(2 if model.module.dtype == torch.bfloat16 else 1)
    return model


UNREAD = "model.vision_tower.encoder.layers.2.mlp.fc1"
"""A layer behind the one whose features LLaVA takes."""
COUNTED = iter(range(1000))
BREAKS = {
    "in training mode": (
        checks.check_the_generator_is_ready_for_inference,
        lambda model: replace(model, module=model.module.train()),
    ),
    "wants gradients": (
        checks.check_the_generator_is_ready_for_inference,
        lambda model: replace(model, module=model.module.requires_grad_(True)),
    ),
    "the library says": (checks.check_answers_are_the_librarys, said(lambda answers, _: [f"{a}!" for a in answers])),
    "in a batch than alone": (
        checks.check_a_batch_changes_no_answer,
        said(lambda answers, prompts: [f"{a}{len(prompts)}" for a in answers]),
    ),
    "the order of its questions": (
        checks.check_a_batch_changes_no_answer,
        said(lambda answers, prompts: answers[::-1] if prompts[0] == PROMPTS[-1] else answers),
    ),
    "left padding changes": (
        checks.check_padding_changes_no_likelihood,
        likely(lambda prompts, row: (len(prompts[row]) - max(map(len, prompts))) / 100),
    ),
    "the library's are": (checks.check_likelihoods_are_the_librarys, likely(lambda *_: -1)),
    "the order of several images": (
        checks.check_every_image_counts_in_its_place,
        shown(lambda images: sorted(images, key=lambda image: image.size)),
    ),
    "images after the first": (
        checks.check_every_image_counts_in_its_place,
        lambda model: replace(
            model, loglikelihood=lambda i, p, r: model.loglikelihood([one[:1] for one in i[:2]] + [i[0][:1]], p, r)
        ),
    ),
    "not its tokens and the end": (
        checks.check_answers_alone_are_taught,
        taught(labels=lambda labels: labels.masked_fill(labels == 2, -100)),
    ),
    "the library's own prompt": (
        checks.check_answers_alone_are_taught,
        lambda model: replace(model, teach=lambda i, p, a: model.teach(i, [f"{one}!" for one in p], a)),
    ),
    "of the answers' tokens alone": (checks.check_answers_alone_are_taught, taught(pixel_values=lambda pixels: 0 * pixels)),
    "a second time": (
        checks.check_the_generator_is_deterministic_and_keeps_no_state,
        said(lambda answers, _: [f"{a}{next(COUNTED)}" for a in answers]),
    ),
    "changed a weight": (checks.check_the_generator_is_deterministic_and_keeps_no_state, forgetful),
    "outside of language model": (
        checks.check_lora_stays_in_language_model_and_projector,
        adapting(lambda names: [*names, UNREAD]),
    ),
    "no layer of model.multi_modal_projector": (
        checks.check_lora_stays_in_language_model_and_projector,
        adapting(lambda names: [name for name in names if "language" in name]),
    ),
    "other layers than": (
        checks.check_lora_reaches_every_adapter_of_the_generator,
        adapting(lambda names: [*names, "no.such.layer"]),
    ),
    "receives no gradient": (
        checks.check_lora_reaches_every_adapter_of_the_generator,
        adapting(lambda names: [*names, UNREAD]),
    ),
    "do not change what is likely": (checks.check_lora_leaves_no_trace_in_the_generator, adapting(lambda _: [UNREAD])),
    "no layer of its image tower": (checks.check_every_part_can_be_trained_alone, of_parts(vision=())),
    "layer of the image tower is one of another": (
        checks.check_every_part_can_be_trained_alone,
        of_parts(vision=("model.language_model.layers.0.mlp.up_proj",)),
    ),
    "weight of the projector is one of another": (
        checks.check_every_part_can_be_trained_alone,
        of_parts(projector=("lm_head.weight",)),
    ),
    "training the image tower alone, some": (checks.check_every_part_can_be_trained_alone, of_parts(vision=(UNREAD,))),
    "in bfloat16 a question": (checks.check_bfloat16_is_the_librarys, said(lambda answers, _: [f"{a}!" for a in answers])),
    "logits in bfloat16": (checks.check_bfloat16_is_the_librarys, loud_in_bfloat16),
}


@pytest.mark.parametrize("sentence", BREAKS)
def test_a_broken_promise_is_said_in_one_sentence(families, sentence):
    check, broken = BREAKS[sentence]
    load, own = families("llava")
    with pytest.raises(AssertionError, match=re.escape(sentence)) as raised:
        check(lambda dtype: broken(load(dtype)), own, questions())
    assert "\n" not in str(raised.value)


def test_all_checks_together_name_the_first_broken_promise(families):
    load, own = families("llava")
    with pytest.raises(AssertionError, match="wants gradients"):
        check_generator(lambda dtype: BREAKS["wants gradients"][1](load(dtype)), own, questions())


@pytest.mark.parametrize("name", ["llava", "llava-next", "gemma3"])
def test_names_that_older_versions_of_the_library_gave_weights_are_understood(rows, families, tmp_path, name):
    """The hub still serves them: image towers with one more level."""
    save(FAMILIES[name], tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    older = {re.sub(r"^vision_tower\.", "vision_tower.vision_model.", one): value for one, value in weights.items()}
    assert older.keys() != weights.keys()
    save_file(older, tmp_path / "model.safetensors", metadata={"format": "pt"})
    found = generator.transformers(rows.models["pocket-llava"], tmp_path, "cpu", "float32").module.state_dict()
    expected = families(name)[0]("float32").module.state_dict()
    assert all(torch.equal(found[one], value) for one, value in expected.items())
