"""How much memory a case took, on a machine with GPUs that this one need not have."""

import pytest
import torch

from medrival import memory


@pytest.fixture
def gpus(monkeypatch):
    """The peaks of three GPUs, as torch tells them; the last is not used."""
    peaks = {0: 7_000, 1: 5_000, 2: 0}
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(peaks))
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", peaks.__getitem__)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda gpu: peaks.update({gpu: 0}))
    return peaks


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
def test_the_peak_of_a_model_over_several_gpus_is_that_of_all_of_them(gpus, device):
    assert memory.peak(device) == 12_000
    memory.reset_peak(device)
    assert memory.peak(device) == 0


@pytest.mark.skipif(memory.peak("cpu") is None, reason="the system does not tell")
def test_the_peak_of_a_process_is_at_least_what_it_holds():
    memory.reset_peak("cpu")
    held = bytearray(b"x" * 50_000_000)
    assert memory.peak("cpu") > len(held)
