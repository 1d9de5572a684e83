"""A training that was killed goes on after its last whole epoch, to the same digits."""

import math
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from medrival.errors import MedrivalWarning
from medrival.regimes import resuming
from medrival.regimes.adapters import insert
from medrival.regimes.training import train

BUDGET = {
    "epochs": 4,
    "batch_size": 8,
    "learning_rates": [0.01, 0.1],
    "weight_decay": 0.01,
    "warmup": 0.1,
    "max_grad_norm": 1.0,
}
X = torch.from_numpy(np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32))
Y = X @ torch.tensor([1.0, -2.0, 0.5])


@pytest.fixture(autouse=True)
def kept_after_each_epoch(monkeypatch):
    monkeypatch.setattr(resuming, "SHARE", math.inf)


class Bench:
    device = "cpu"

    def __init__(self, checkpoints, seed=0):
        self.checkpoints = checkpoints
        self.seed = seed

    def progress(self, items, _label):
        return items


class Killed(BaseException):
    """Ends a training as Ctrl-C does."""


def fitted(folder, killed_after=99, seed=0, **budget):
    """A regression with dropout, killed as it validates after so many epochs."""
    weight, dropout, epochs = torch.zeros(3, requires_grad=True), torch.nn.Dropout(0.5).eval(), []

    def validate():
        epochs.append(0)
        if len(epochs) > killed_after:
            raise Killed
        assert not dropout.training
        return -float(((X @ weight.detach() - Y) ** 2).mean())

    def loss(batch):
        assert dropout.training
        return ((dropout(X[batch]) @ weight - Y[batch]) ** 2).mean()

    trained = train({"w": weight}, 40, loss, validate, {**BUDGET, **budget}, Bench(folder, seed), [dropout])
    return weight.detach(), trained, len(epochs)


@pytest.mark.parametrize("killed_after", [1, 3, 4, 6])
def test_a_training_goes_on_to_the_same_digits_at_whatever_epoch_of_a_search_it_ended(tmp_path, killed_after):
    whole, expected, _ = fitted(tmp_path / "whole")
    with pytest.raises(Killed):
        fitted(tmp_path / "cut", killed_after)
    found, trained, epochs = fitted(tmp_path / "cut")
    assert torch.equal(found, whole)
    assert trained.trials == expected.trials
    assert epochs == 8 - killed_after
    assert trained.notes["resumed_after_epochs"] == killed_after
    assert "resumed_after_epochs" not in expected.notes


def test_adapters_of_a_training_that_was_killed_after_its_last_epoch_are_tested_without_dropout(tmp_path):
    def adapted():
        layer = torch.nn.Sequential(torch.nn.Linear(3, 1)).requires_grad_(False)
        adapters = insert(layer, ["0"], {"rank": 2, "alpha": 2, "dropout": 0.5}, seed=0)
        budget = {**BUDGET, "learning_rates": [0.1], "epochs": 2}
        train(
            adapters.parameters,
            40,
            lambda batch: ((layer(X[batch])[:, 0] - Y[batch]) ** 2).mean(),
            lambda: 0.0,
            budget,
            Bench(tmp_path),
            adapters.dropouts,
        )
        return layer(X)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        start = torch.random.get_rng_state()
        whole = adapted()
        torch.random.set_rng_state(start)  # the layer that is adapted is the same
        assert torch.equal(adapted(), whole)


@pytest.mark.parametrize("other", [{"seed": 1}, {"batch_size": 4}], ids=["seed", "budget"])
def test_what_another_training_left_is_passed_over_with_a_warning(tmp_path, other):
    with pytest.raises(Killed):
        fitted(tmp_path, killed_after=2)
    with pytest.warns(MedrivalWarning, match="is of another training; the training begins anew"):
        _, _, epochs = fitted(tmp_path, **other)
    assert epochs == 8


def test_a_damaged_checkpoint_is_passed_over_with_a_warning(tmp_path):
    with pytest.raises(Killed):
        fitted(tmp_path, killed_after=2)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:-500])
    with pytest.warns(MedrivalWarning, match="cannot be read"):
        _, _, epochs = fitted(tmp_path)
    assert epochs == 8


def test_epochs_quicker_than_a_file_are_not_each_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(resuming, "SHARE", 1e-9)
    with pytest.raises(Killed):
        fitted(tmp_path, killed_after=3)
    _, trained, _ = fitted(tmp_path)
    assert trained.notes["resumed_after_epochs"] == 1


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "trapped"),)

    torch.save({"fits": "", "state": Trap()}, tmp_path / "training.pt")
    with pytest.warns(MedrivalWarning, match="cannot be read"):
        fitted(tmp_path)
    assert not (tmp_path / "trapped").exists()


SCRIPT = """
import os, signal, sys
from pathlib import Path
from safetensors.torch import save_file
from medrival import catalog
from medrival.case import Case
from medrival.evaluate import Bench, Lab, Settings
from medrival.regimes import lora, resuming
from medrival.store import Store
place, killed_at = Path(sys.argv[1]), int(sys.argv[2])
labels, resuming.SHARE = [], float("inf")

class Here(Bench):
    checkpoints = place / "training"  # the store's own place is another once a file of the code has changed

def progress(items, label):
    labels.append(label)
    if sum("epoch" in one for one in labels) == killed_at:
        os.kill(os.getpid(), signal.SIGKILL)
    return items

rows = catalog.load()
lab = Lab(Settings(limit=16), Store(place), progress)
regime = rows.regimes["lora"].given("pocket", "dual-encoder")
bench = Here(lab, Case(rows.models["pocket-clip"], rows.tasks["phantom-chest"], regime))
model, task = lab.model(rows.models["pocket-clip"]), lab.task(rows.tasks["phantom-chest"])
budget = {**regime.budget, "epochs": 3, "dropout": 0.1, "batch_size": 8}
adapted = lora.image_tower(model, task, budget, bench)
print(adapted.notes)
save_file({name: p.detach().clone() for name, p in model.module.named_parameters() if "lora_" in name}, sys.argv[3])
"""


def test_a_killed_process_goes_on_to_bit_identical_adapters(tmp_path, drawn):
    for name in ("whole", "killed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "tasks").symlink_to(drawn)

    def run(name, killed_at=-1):
        arguments = [sys.executable, "-c", SCRIPT, str(tmp_path / name), str(killed_at), str(tmp_path / f"{name}.safetensors")]
        return subprocess.run(arguments, capture_output=True, text=True, check=False)

    assert run("whole").returncode == 0
    assert run("killed", killed_at=3).returncode == -signal.SIGKILL
    assert not (tmp_path / "killed.safetensors").exists()
    again = run("killed")
    assert "'resumed_after_epochs': 2" in again.stdout, again.stderr
    whole, found = (load_file(Path(tmp_path / f"{name}.safetensors")) for name in ("whole", "killed"))
    assert whole.keys() == found.keys()
    assert all(torch.equal(whole[name], found[name]) for name in whole)
