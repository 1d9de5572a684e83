"""LoRA in dual encoders: low-rank adapters, trained; every weight of the model itself stays as it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from medrival.batches import Decoded, Pictures, in_batches
from medrival.contracts import Adapted, Answer, DualEncoder, Failed, Sample, Task, Workbench
from medrival.regimes.adapters import insert
from medrival.regimes.linear_probe import fit_probe, validation_score
from medrival.regimes.training import train
from medrival.regimes.zero_shot import as_answers


def image_tower(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in the image tower and a linear head, trained together by class-balanced cross-entropy.

    The head starts as the linear probe (Kumar et al. 2022: a random head distorts good features). Paper A starts from a
    random head, and its adapters received no gradient. The epoch is chosen on the validation split.

    Raises:
        AdaptationFailed: see `train` and `fit_probe`.
    """
    probe, notes = fit_probe(task, budget["l2_strengths"], bench)
    head = torch.nn.Linear(probe.weight.shape[1], len(task.classes)).to(bench.device)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(probe.weight))
        head.bias.copy_(torch.from_numpy(probe.bias))
    adapters = insert(model.tower, model.lora, budget, bench.seed)
    images = Decoded()
    training, validation = images.readable(task.train), images.readable(task.validation)
    labels, truth = _labels(training, task), _labels(validation, task)
    weights = _balanced(labels, len(task.classes))

    def loss(batch: Sequence[int]) -> torch.Tensor:
        features = model.image_features(model.prepare([first for first, *_ in images.of([training[i] for i in batch])]))
        # The head holds large terms that cancel: mixed precision would train another classifier than the one that is tested.
        with torch.autocast(features.device.type, enabled=False):
            logits = head(features.float())
        return torch.nn.functional.cross_entropy(logits, labels[batch].to(logits.device), weight=weights.to(logits.device))

    @torch.inference_mode()
    def logits(images: list[Pictures], _: list[Sample]) -> list[np.ndarray]:
        pixels = model.prepare([first for first, *_ in images])
        return list(head(model.image_features(pixels).float()).cpu().double().numpy())

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        rows = in_batches(samples, logits, bench.batch_size, bench.progress, "predictions")
        return [row if isinstance(row, Failed) else as_answers(row[None], {})[0] for row in rows]

    trained = train(
        {**adapters.parameters, "head.weight": head.weight, "head.bias": head.bias},
        len(training),
        loss,
        lambda: validation_score(truth.numpy(), np.array(predict(validation))),
        budget,
        bench,
    )
    size = adapters.size + probe.weight.size + probe.bias.size
    return Adapted(predict, size, notes | trained.notes, adapters.remove)


def _labels(samples: Sequence[Sample], task: Task) -> torch.Tensor:
    return torch.tensor([task.classes.index(sample.truth) for sample in samples])


def _balanced(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights by which every class that occurs counts the same (scikit-learn's "balanced")."""
    counts = torch.bincount(labels, minlength=classes).float()
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), torch.zeros(()))
