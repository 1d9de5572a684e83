"""Every adapter of dual encoders asks for room before it reads weights; how much is tested with each adapter."""

from dataclasses import replace

import pytest
import torch

from medrival.catalog import imported
from medrival.errors import OutOfMemory
from medrival.models import placement
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


def test_weights_of_a_training_checkpoint_are_counted(tmp_path):
    torch.save({"epoch": 3, "state_dict": {"layer.weight": torch.zeros(2, 3)}}, tmp_path / "open_clip_pytorch_model.bin")
    assert placement.shapes([tmp_path / "open_clip_pytorch_model.bin"]) == {"layer.weight": [2, 3]}
