"""Parameters are counted where weights lie on this machine, and nowhere else is anything made up."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save_file

from medrival import catalog
from medrival.parameters import counted, known_here
from medrival.weights import locate

ROWS = catalog.load()


@pytest.mark.parametrize("name", ["pocket-clip", "pocket-medllava"])
def test_the_count_is_that_of_the_loaded_network(name):
    card = ROWS.models[name]
    folder = locate(card, None)
    model = catalog.imported(card.adapter)(card, folder, "cpu", "float32")
    assert counted(folder) == sum(weight.numel() for weight in model.module.parameters())


def test_shards_are_counted_by_their_index_and_not_beside_a_whole_file_as_either_could_be_read(tmp_path):
    weights = {"a": np.zeros((3, 4), np.float16), "b": np.zeros(5, np.float32)}
    for name, weight in weights.items():
        save_file({name: weight}, tmp_path / f"model-{name}.safetensors")
    save_file({"copy": np.zeros(99, np.float32)}, tmp_path / "consolidated.safetensors")
    index = {"weight_map": {name: f"model-{name}.safetensors" for name in weights}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    assert counted(tmp_path) == 17
    save_file({"a": weights["a"]}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    assert counted(tmp_path) == 0


def test_positions_that_older_checkpoints_keep_are_no_parameters(tmp_path):
    stored = {"weight": np.zeros((2, 3), np.float32), "position_ids": np.arange(77)}
    save_file(stored, tmp_path / "model.safetensors")
    assert counted(tmp_path) == 6


def test_packed_damaged_and_missing_weights_are_not_counted(tmp_path):
    assert counted(tmp_path) == 0
    save_file({"weight": np.zeros((2, 3), np.uint8)}, tmp_path / "model.safetensors")
    assert counted(tmp_path) == 0
    for damage in (b"", b"\xff" * 8, b"\x02" + bytes(7) + b"[]", b"\x10" + bytes(7) + b'{"a": {}}       '):
        (tmp_path / "model.safetensors").write_bytes(damage)
        assert counted(tmp_path) == 0


def test_a_row_says_that_its_parameters_were_counted_here_in_place_of_what_it_claims():
    pocket = replace(ROWS.models["pocket-clip"], parameters=7.0, sources={"parameters": "a page", "saw": "a page"})
    known = known_here(pocket, None)
    assert known.parameters == pytest.approx(0.001144, rel=1e-3)
    assert known.sources == {"parameters": "counted in its files on this machine", "saw": "a page"}


def test_a_model_in_assets_is_counted_and_one_that_is_served_is_not(tmp_path):
    hub = ROWS.models["plip"]
    assert known_here(hub, tmp_path) == hub
    shutil.copytree(locate(ROWS.models["pocket-clip"], None), tmp_path / "models" / hub.weights)
    assert known_here(hub, tmp_path).parameters == pytest.approx(0.001144, rel=1e-3)
    served = replace(hub, type="served", parameters=0.0)
    assert known_here(served, tmp_path) == served


@pytest.mark.parametrize("weights", ["check points/not there", "nowhere", "../nowhere", "open_clip:ViT-B-32/openai"])
def test_a_row_whose_weights_are_nowhere_stays_as_it_is(weights):
    card = replace(ROWS.models["plip"], weights=weights)
    assert known_here(card, None) == card


def test_a_model_in_the_hubs_cache_is_counted(tmp_path, monkeypatch):
    card = ROWS.models["plip"]
    cache = tmp_path / "models--vinid--plip"
    shutil.copytree(locate(ROWS.models["pocket-clip"], None), cache / "snapshots" / "c0ffee")
    (cache / "refs").mkdir()
    (cache / "refs" / "main").write_text("c0ffee")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    assert known_here(card, None).parameters == pytest.approx(0.001144, rel=1e-3)
