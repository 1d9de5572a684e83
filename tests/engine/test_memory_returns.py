"""What a model took is given back before the next is loaded: a run of many models needs the memory of the largest."""

import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import CLIPConfig, CLIPModel

from medrival.cards import ModelCard
from medrival.case import Case
from medrival.evaluate import Lab
from medrival.weights import locate

LOADS = 4
LATER = 4e9
"""A time, in seconds since 1970, before which all outcomes are measured anew."""


@pytest.fixture(scope="module")
def models(rows, tmp_path_factory) -> list[ModelCard]:
    """Rows of models of 100 MB, large beside what an allocator keeps for itself, which all load the same files."""
    folder = tmp_path_factory.mktemp("large") / "clip"
    shutil.copytree(locate(rows.models["pocket-clip"], None), folder)
    config = CLIPConfig.from_pretrained(folder)
    config.vision_config.update(
        {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 8, "num_attention_heads": 8}
    )
    torch.manual_seed(0)
    CLIPModel(config).save_pretrained(folder)
    return [replace(rows.models["pocket-clip"], name=f"large-{number}", weights=str(folder)) for number in range(LOADS)]


def size(models: list[ModelCard]) -> int:
    return (Path(models[0].weights) / "model.safetensors").stat().st_size


def resident() -> int:
    """Bytes of this process that lie in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def levels(rows, lab: Lab, models: list[ModelCard], level: Callable[[], int], kept: list[object] | None = None) -> list[int]:
    """Memory while each model in turn is loaded, one at a time; `kept` gets what a leak would keep."""
    found = []
    for model in models:
        case = Case(model, rows.tasks["phantom-chest"], rows.regimes["zero-shot"])
        assert len(lab.evaluate(case).predictions) == 4
        found.append(level())
        if kept is not None:
            kept.append(lab._loaded)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="Linux alone tells")
def test_memory_is_what_it_was_after_the_first_model_and_a_model_that_is_kept_would_be_noticed(rows, new_lab, models):
    half = size(models) / 2
    assert half > 40e6
    lab = new_lab(limit=4, measured_after=LATER)
    levels(rows, lab, models[:1], resident)  # libraries are imported, pools are filled
    first, *later = levels(rows, lab, models, resident)
    assert max(later) < first + half
    first, *later = levels(rows, lab, models, resident, kept=[])
    assert max(later) > first + half * (LOADS - 1), "the bound would see a leak"


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpus_memory_is_what_it_was_after_the_first_model(rows, new_lab, models):
    lab = new_lab(limit=4, measured_after=LATER, device="cuda:0")
    half = size(models) / 2
    first, *later = levels(rows, lab, models, torch.cuda.memory_allocated)
    assert first > half
    assert max(later) < first + half
    first, *later = levels(rows, lab, models, torch.cuda.memory_allocated, kept=[])
    assert max(later) > first + half * (LOADS - 1), "the bound would see a leak"
