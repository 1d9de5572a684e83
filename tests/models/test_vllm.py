"""Generators in vLLM: what they are asked, answer and find likely is what transformers' own network does.

They run where vLLM is installed, which pins its own torch (CONTRIBUTING.md), and are skipped elsewhere.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from math import isnan

import numpy as np
import psutil
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import CLIPImageProcessor, LlavaImageProcessor

from medrival.catalog import ModelCard
from medrival.contracts import NOT_FINITE, Engine, Failed, Generator, Turn
from medrival.errors import BrokenModel, MissingDevice
from medrival.models import generator, llava
from medrival.models.compared import likelihoods
from medrival.models.llava import square
from medrival.models.orphans import descendants
from medrival.weights import locate

QUESTIONS = ["What is it?", "Is there a lesion? Answer yes or no.", "Which? A. left B. right", "Name the organ.", "Where?"]
REPLIES = [["yes", "no"], ["a lesion", "no lesion at all"], ["A", "B"], ["lung", "a lung"], ["x"]]


def pictures(count: int) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    return [Image.fromarray(rng.integers(0, 256, (60 + i, 90, 3), dtype=np.uint8)) for i in range(count)]


def test_an_image_is_padded_as_transformers_pads_it():
    mean = [0.48145466, 0.4578275, 0.40821073]
    options = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}, "image_mean": mean}
    for image in (*pictures(2), pictures(1)[0].resize((33, 90)), pictures(1)[0].resize((40, 40))):
        theirs = LlavaImageProcessor(**options, do_pad=True)(image, return_tensors="pt")["pixel_values"]
        ours = CLIPImageProcessor(**options)(square(image, mean), return_tensors="pt")["pixel_values"]
        assert (theirs - ours).abs().max() < 1e-6


@pytest.fixture(scope="module")
def device() -> str:
    return str(pytest.importorskip("vllm.platforms").current_platform.device_type)


@pytest.fixture(scope="module")
def card(rows) -> ModelCard:
    return rows.models["pocket-llava"]


@pytest.fixture(scope="module")
def engine(card, device) -> Iterator[Engine]:
    from medrival.models import vllm

    running = vllm.transformers_code(card, locate(card, None), device, "float32")
    yield running
    running.close()


@pytest.fixture(scope="module")
def plain(card, device) -> Generator:
    return generator.transformers(card, locate(card, None), device, "float32")


def test_answers_are_those_of_transformers(engine, plain):
    images = [(one,) for one in pictures(5)]
    assert engine.answer(images, QUESTIONS, 24) == plain.answer(images, QUESTIONS, 24)


def test_answers_about_several_images_and_behind_earlier_turns_are_those_of_transformers(engine, plain):
    one, two, three, *_ = pictures(5)
    images, prompts = [(one, two), (three,)], ["Which differ?", "Where is it?"]
    earlier = [[], [Turn((one,), "What?", "a circle"), Turn((two,), "Where?", "left")]]
    assert engine.answer(images, prompts, 24, earlier) == plain.answer(images, prompts, 24, earlier)


def test_replies_are_as_likely_as_in_transformers(engine, plain):
    images = [(one,) for one in pictures(5)]
    ours, theirs = (one.loglikelihood(images, QUESTIONS, REPLIES) for one in (engine, plain))
    for mine, their in zip(ours, theirs, strict=True):
        assert mine == pytest.approx(their, abs=1e-4)


def test_a_prompt_that_is_too_long_fails_alone(engine, plain):
    images = [(one,) for one in pictures(3)]
    prompts = ["What is it?", "what " * 600, "Where?"]
    first, long, last = engine.answer(images, prompts, 8)
    assert isinstance(long, Failed)
    assert "512" in long.reason
    assert [first, last] == plain.answer([images[0], images[2]], [prompts[0], prompts[2]], 8)
    likely = engine.loglikelihood(images, prompts, [["yes"]] * 3)
    assert [isnan(one) for (one,) in likely] == [False, True, False]


def test_the_record_names_the_engine_and_counts_the_model(engine, plain):
    assert engine.name.startswith("vLLM ")
    assert engine.name.endswith(", transformers' code")
    assert engine.parameters == sum(parameter.numel() for parameter in plain.module.parameters())
    assert engine.asked_by == plain.asked_by


def test_prompts_that_vllm_reads_in_another_way_are_refused(engine, monkeypatch):
    running = engine.answer.__self__
    plainly = running._processor

    def other(**asked):
        return {"input_ids": plainly(**{**asked, "text": [f"{asked['text'][0]} and more"]})["input_ids"]}

    monkeypatch.setattr(running, "_processor", other)
    with pytest.raises(BrokenModel, match=r"pocket-llava: vLLM reads its prompts in another way .* run it without --backend"):
        engine.answer([(pictures(1)[0],)], ["What?"], 4)


def test_scores_that_are_not_finite_fail_the_answer(engine, monkeypatch):
    running = engine.answer.__self__
    plainly = running._run

    def overflowing(*asked):
        found = plainly(*asked)
        for one in found[:1]:
            for place in one.outputs[0].logprobs:
                for token in place:
                    place[token] = replace(place[token], logprob=float("nan"))
        return found

    monkeypatch.setattr(running, "_run", overflowing)
    broken, whole = engine.answer([(one,) for one in pictures(2)], ["What?", "Where?"], 4)
    assert broken == Failed(NOT_FINITE)
    assert isinstance(whole, str)


def test_an_answer_for_which_there_is_no_room_fails(engine, plain):
    image = (pictures(1)[0],)

    def tokens(prompt):
        return plain.teach([image], [prompt], ["x"])["input_ids"].shape[1]

    fillers = ("what ", "left ", "organ ", "? ", "lung and ", "describe ")
    prompts = [next(p for words in range(50, 500) if tokens(p := filler * words) > 500) for filler in fillers]
    ours, theirs = (one.answer([image] * len(prompts), prompts, 64) for one in (engine, plain))
    cut = Failed("prompt and answer together are longer than the 512 tokens that vLLM has room for")
    assert cut in ours
    assert all(mine in (their, cut) for mine, their in zip(ours, theirs, strict=True))


def test_padded_images_have_the_answers_of_transformers(card, device):
    from medrival.models import vllm

    folder = locate(card, None)
    running = vllm.padded_transformers_code(card, folder, device, "float32")
    try:
        images = [(image.resize((90, 30 + 20 * i)),) for i, image in enumerate(pictures(5))]
        padded = llava.padded(card, folder, device, "float32").answer(images, QUESTIONS, 24)
        assert running.answer(images, QUESTIONS, 24) == padded
    finally:
        running.close()


def test_vllms_own_code_has_the_answers_of_transformers(card, device, plain, tmp_path):
    """vLLM 0.32 knows the image tower's weights by the names that the hub's checkpoints have."""
    from medrival.models import vllm

    folder = tmp_path / "llava"
    shutil.copytree(locate(card, None), folder)
    weights = load_file(folder / "model.safetensors")
    named = {name.replace("vision_tower.", "vision_tower.vision_model."): weight for name, weight in weights.items()}
    save_file(named, folder / "model.safetensors", metadata={"format": "pt"})
    running = vllm.own_code(card, folder, device, "float32")
    try:
        images = [(one,) for one in pictures(5)]
        assert running.answer(images, QUESTIONS, 24) == plain.answer(images, QUESTIONS, 24)
        assert "transformers" not in running.name
    finally:
        running.close()


def test_another_network_than_transformers_is_refused_and_nothing_of_it_is_left(card, device, monkeypatch):
    from medrival.models import vllm

    monkeypatch.setattr(vllm, "likelihoods", lambda model: [[one - 0.1 for one in told] for told in likelihoods(model)])
    before = descendants(psutil.Process())
    with pytest.raises(BrokenModel, match=r"pocket-llava: vLLM .* does not compute what transformers computes: .* 0.1000 off"):
        vllm.transformers_code(card, locate(card, None), device, "float32")
    assert descendants(psutil.Process()) == before


def test_a_device_that_this_vllm_is_not_for_is_refused(card, device):
    from medrival.models import vllm

    other = "cuda" if device == "cpu" else "cpu"
    with pytest.raises(MissingDevice, match=f"--device {other}: the vLLM that is installed is for {device}"):
        vllm.transformers_code(card, locate(card, None), other, "float32")


def test_no_process_is_left_and_nothing_is_reported_home(card, device):
    from medrival.models import vllm

    before = descendants(psutil.Process())
    running = vllm.transformers_code(card, locate(card, None), device, "float32")
    assert descendants(psutil.Process()) > before
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    running.close()
    assert descendants(psutil.Process()) == before


def test_a_study_has_the_same_answers_by_either_backend(study, device, tmp_path):
    asked = ("--models", "pocket-llava", "--tasks", "phantom-chest-vqa", "--regimes", "zero-shot", "--limit", "12")
    plain, engine = (
        study(*asked, "--device", device, "--dtype", "float32", *more, folder=folder)
        for folder, *more in ((_folder(tmp_path, "a"),), (_folder(tmp_path, "b"), "--backend", "vllm-transformers"))
    )
    assert (plain.status, engine.status) == (0, 0), engine.output
    (one,), (other,) = plain.report["cases"], engine.report["cases"]
    assert one["metrics"]["accuracy"] == other["metrics"]["accuracy"]
    assert other["notes"]["loaded_by"] == "medrival.models.vllm:transformers_code"
    assert other["notes"]["engine"].startswith("vLLM ")
    assert one["notes"]["engine"] == "transformers"
    assert other["cost"]["peak_memory_bytes"] is None
    assert other["cost"]["total_parameters"] == one["cost"]["total_parameters"]


def _folder(place, name):
    (place / name).mkdir()
    return place / name
