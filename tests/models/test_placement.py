"""Every adapter of dual encoders asks for room before it reads weights, and reads none but those of its directory."""

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from filelock import FileLock
from peft import LoraConfig, get_peft_model

from medrival import workers
from medrival.catalog import imported
from medrival.errors import BrokenModel, OutOfMemory
from medrival.models import placement
from medrival.models.files import weight_files
from medrival.weights import locate
from tests.models.miniature_dual_encoders import FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_without_room_the_message_has_the_model_the_need_and_the_room(rows, tmp_path, monkeypatch, family):
    place, save = FAMILIES[family]
    save(tmp_path / "model")
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": 4000.0})
    card = replace(rows.models["pocket-clip"], name="miniature", adapter=place)
    with pytest.raises(
        OutOfMemory, match=r"^miniature: its weights take .* GB in float32, and 0.0 GB are free on cpu; they take"
    ):
        imported(place)(card, tmp_path / "model", "cpu", "float32")


def test_a_model_that_one_library_loads_onto_one_device_is_told_of_no_other_gpu_and_of_no_4_bits(rows, monkeypatch):
    monkeypatch.setattr(placement, "free", lambda _: {0: 3e9, 1: 3e9})
    card, stored = rows.models["pocket-clip"], {"layer.weight": [1000, 1000, 1000]}
    with pytest.raises(OutOfMemory) as told:
        placement.refuse_too_large(card, stored, "cuda", "float32")
    assert str(told.value) == (
        "pocket-clip: its weights take 4.0 GB in float32, and 3.0 GB are free on cuda; they take 2.0 GB with --dtype bfloat16"
    )
    placement.refuse_too_large(card, stored, "cuda", "float32", divides=True)
    with pytest.raises(OutOfMemory, match=r"8.0 GB in bfloat16, and 3.0 GB are free on cuda; it needs a larger device$"):
        placement.refuse_too_large(card, {"layer.weight": [4000, 1000, 1000]}, "cuda", "bfloat16")


def test_an_adapter_needs_room_beside_its_base_model_and_is_told_of_no_4_bits(rows, pocket_clip, tmp_path, monkeypatch):
    base = rows.models["pocket-clip"]
    get_peft_model(pocket_clip.module, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path)
    card = replace(base, name="tuned", adapter="medrival.models.peft_adapter:merged", weights=str(tmp_path), base=base)
    files = [*weight_files(locate(base, None)), tmp_path / "adapter_model.safetensors"]
    together = sum(placement.size(placement.shapes([file]), "float32") for file in files)
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": together - 1})
    with pytest.raises(OutOfMemory) as told:
        imported(card.adapter)(card, tmp_path, "cpu", "float32")
    assert re.fullmatch(
        r"tuned: its weights take 0.0 GB in float32, and 0.0 GB are free on cpu; they take 0.0 GB with --dtype bfloat16",
        str(told.value),
    )
    monkeypatch.setattr(placement, "free", lambda _: {"cpu": together})
    assert imported(card.adapter)(card, tmp_path, "cpu", "float32")


@pytest.fixture
def worker(tmp_path, monkeypatch):
    """Holds the second of four pretended GPUs of 3 GB; what other workers hold is asked for by their numbers."""
    monkeypatch.setattr(workers, "_held", {})
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (3 * 10**9, 4 * 10**9))

    def held(*others):
        locks = [FileLock(tmp_path / f"gpu-{index}.lock") for index in (0, *others)]
        for lock in locks:
            lock.acquire(timeout=0)
        assert workers._leased_gpu(4, tmp_path) == "cuda:1"
        return locks

    return held


@pytest.fixture
def eight_gigabytes(monkeypatch):
    monkeypatch.setattr(placement, "shapes", lambda _: {"layer.weight": [2000, 1000 * 1000]})


@pytest.mark.usefixtures("eight_gigabytes")
def test_a_model_is_spread_over_the_gpus_that_no_other_worker_holds(rows, tmp_path, worker):
    card, others = rows.models["pocket-llava"], worker(3)
    with pytest.raises(OutOfMemory) as told:
        placement.placed(card, tmp_path, "cuda:1", "float32")
    assert (
        "3.0 GB are free on cuda:1, and 6.0 GB on all 2 GPUs; 2 more GPUs are other workers', run with -n 1 to use them"
        in str(told.value)
    )
    others[0].release()
    assert placement.placed(card, tmp_path, "cuda:1", "float32") == {
        "device_map": "auto",
        "max_memory": dict.fromkeys((0, 1, 2), 3 * 10**9),
    }


@pytest.mark.usefixtures("eight_gigabytes")
def test_a_model_that_one_gpu_holds_takes_no_other_from_other_workers(rows, tmp_path, worker):
    worker()
    assert placement.placed(rows.models["pocket-llava"], tmp_path, "cuda:1", "4bit") == {}
    assert list(workers._held) == [1]


def test_weights_of_a_training_checkpoint_are_counted(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"layer.weight": torch.zeros(2, 3)}}, tmp_path / "open_clip_pytorch_model.bin")
    assert placement.shapes([tmp_path / "open_clip_pytorch_model.bin"]) == {"layer.weight": [2, 3]}


@pytest.mark.parametrize("name", ["../model.safetensors", "/model.safetensors", ".model.safetensors", "gone.safetensors"])
def test_an_index_that_names_a_file_outside_of_what_is_hashed_is_refused(rows, tmp_path, name):
    folder, clip = tmp_path / "clip", rows.models["pocket-clip"]
    shutil.copytree(locate(clip, None), folder)
    file, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    weights = placement.shapes([file])
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, "1.safetensors")}))
    file.rename(folder / "1.safetensors")
    assert imported(clip.adapter)(clip, folder, "cpu", "float32")
    index.write_text(json.dumps({"metadata": {}, "weight_map": dict.fromkeys(weights, name)}))
    if name.startswith("."):
        (folder / "1.safetensors").rename(folder / name)
    with pytest.raises(BrokenModel, match=rf"index.json names {name}, which is none of the files that are read"):
        imported(clip.adapter)(clip, folder, "cpu", "float32")


def test_weights_that_are_there_twice_are_refused_for_one_of_the_two_would_be_ignored(pocket_clip, tmp_path):
    pocket_clip.module.save_pretrained(tmp_path, max_shard_size="1MB")
    assert len(weight_files(tmp_path)) > 1
    one = tmp_path / "model.safetensors"
    one.touch()
    with pytest.raises(BrokenModel, match=r"twice, in model.safetensors and in the shards that model.safetensors.index"):
        weight_files(tmp_path)
    for shard in tmp_path.glob("model-*.safetensors"):
        shard.unlink()
    assert weight_files(tmp_path) == [one]


def test_shards_without_their_index_are_not_said_to_be_no_weights(pocket_clip, tmp_path):
    pocket_clip.module.save_pretrained(tmp_path, max_shard_size="1MB")
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(BrokenModel, match=r"shards of weights \(model-00001-of-\d+.safetensors\) without the index"):
        weight_files(tmp_path)


@pytest.mark.parametrize("content", ["", '{"weight_map"', "{}", "[]", '{"weight_map": 3}'])
@pytest.mark.parametrize("tuned", [False, True])
def test_a_damaged_index_is_one_message_for_a_model_and_for_an_adapter_on_it(rows, pocket_clip, tmp_path, tuned, content):
    base = replace(rows.models["pocket-clip"], weights=str(tmp_path / "clip"))
    shutil.copytree(locate(rows.models["pocket-clip"], None), tmp_path / "clip")
    (tmp_path / "clip" / "model.safetensors").rename(tmp_path / "clip" / "1.safetensors")
    (tmp_path / "clip" / "model.safetensors.index.json").write_text(content)
    get_peft_model(pocket_clip.module, LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(tmp_path)
    card = replace(base, adapter="medrival.models.peft_adapter:merged", weights=str(tmp_path), base=base) if tuned else base
    with pytest.raises(
        BrokenModel, match=r"model.safetensors.index.json is damaged .*; save, copy or fetch the model once more"
    ):
        imported(card.adapter)(card, Path(card.weights), "cpu", "float32")
