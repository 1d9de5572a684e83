"""Generators in vLLM: what they are asked, answer and find likely is what transformers' own network does.

They run where vLLM is installed, which pins its own torch (CONTRIBUTING.md), and are skipped elsewhere.
"""

import os
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from math import isnan

import numpy as np
import pytest
from PIL import Image
from transformers import CLIPImageProcessor, LlavaImageProcessor

from medrival.contracts import NOT_FINITE, Engine, Failed, Generator, Turn
from medrival.errors import BrokenModel, MissingDevice
from medrival.models import generator
from medrival.models.llava import square
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
def engine(rows) -> Iterator[Engine]:
    pytest.importorskip("vllm")
    from medrival.models import vllm

    card = rows.models["pocket-llava"]
    running = vllm.transformers_code(card, locate(card, None), "cpu", "float32")
    yield running
    running.close()


@pytest.fixture(scope="module")
def plain(rows) -> Generator:
    card = rows.models["pocket-llava"]
    return generator.transformers(card, locate(card, None), "cpu", "float32")


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


def test_a_device_that_this_vllm_is_not_for_is_refused(rows):
    platforms = pytest.importorskip("vllm.platforms")
    from medrival.models import vllm

    card = rows.models["pocket-llava"]
    other = "cuda" if platforms.current_platform.device_type == "cpu" else "cpu"
    with pytest.raises(MissingDevice, match=f"--device {other}: the vLLM that is installed is for"):
        vllm.transformers_code(card, locate(card, None), other, "float32")


def test_no_process_is_left_and_nothing_is_reported_home(rows):
    pytest.importorskip("vllm")
    from medrival.models import vllm

    def children() -> list[str]:
        listed = subprocess.run(["ps", "-o", "args=", "--ppid", str(os.getpid())], capture_output=True, text=True, check=True)
        return [line for line in listed.stdout.splitlines() if "VLLM" in line or "multiprocessing.spawn" in line]

    before, card = children(), rows.models["pocket-llava"]
    running = vllm.transformers_code(card, locate(card, None), "cpu", "float32")
    assert len(children()) > len(before)
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    running.close()
    assert children() == before


def test_a_study_has_the_same_answers_by_either_backend(study, tmp_path):
    pytest.importorskip("vllm")
    asked = ("--models", "pocket-llava", "--tasks", "phantom-chest-vqa", "--regimes", "zero-shot", "--limit", "12")
    plain, engine = (
        study(*asked, "--device", "cpu", *more, folder=folder)
        for folder, *more in ((_folder(tmp_path, "a"),), (_folder(tmp_path, "b"), "--backend", "vllm-transformers"))
    )
    assert (plain.status, engine.status) == (0, 0), engine.output
    (one,), (other,) = plain.report["cases"], engine.report["cases"]
    assert one["metrics"]["accuracy"] == other["metrics"]["accuracy"]
    assert other["notes"]["loaded_by"] == "medrival.models.vllm:transformers_code"
    assert other["notes"]["engine"].startswith("vLLM ")
    assert other["cost"]["peak_memory_bytes"] is None
    assert other["cost"]["total_parameters"] == one["cost"]["total_parameters"]


def _folder(place, name):
    (place / name).mkdir()
    return place / name
