"""Dual encoders that are trained to tell the classes of a task apart, whatever of them is trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from medrival.batches import Pictures, in_batches
from medrival.contracts import Adapted, Answer, DualEncoder, Failed, Sample, Task, Workbench
from medrival.decoded import Decoded
from medrival.errors import AdaptationFailed
from medrival.regimes.adapters import Adapters
from medrival.regimes.balanced import balanced_loss
from medrival.regimes.linear_probe import Probe, validation_score
from medrival.regimes.training import train
from medrival.regimes.zero_shot import as_answers

Tested = Callable[[torch.Tensor], np.ndarray]


@dataclass(frozen=True)
class Classifier:
    """How image features [n, queries * dim], in float32, become logits [n, classes].

    Attributes:
        logits: in training; differentiable.
        tested: gives what computes them in float64 in a test, for what was trained until then.
    """

    logits: Callable[[torch.Tensor], torch.Tensor]
    tested: Callable[[], Tested]


def head_from(probe: Probe, device: str) -> torch.nn.Linear:
    """A linear head that starts as a probe. Source: Kumar et al. 2022: a random head distorts good features."""
    head = torch.nn.Linear(probe.weight.shape[1], len(probe.weight)).to(device)
    with torch.no_grad():
        head.weight.copy_(torch.from_numpy(probe.weight))
        head.bias.copy_(torch.from_numpy(probe.bias))
    return head


def of_head(head: torch.nn.Linear) -> Classifier:
    """The logits of a head."""
    return Classifier(head, lambda: lambda features: head(features).cpu().double().numpy())


def trained_classifier(
    model: DualEncoder,
    task: Task,
    budget: Mapping[str, Any],
    bench: Workbench,
    trained: Adapters,
    classifier: Classifier,
) -> Adapted:
    """Train by class-balanced cross-entropy on readable samples; the epoch is chosen on the validation split.

    Raises:
        AdaptationFailed: see `train`; or no training or validation sample can be read.
    """
    images = Decoded()
    training, validation = images.readable(task.train), images.readable(task.validation)
    if not training or not validation:
        raise AdaptationFailed(
            f"{task.name}: {len(training)} training and {len(validation)} validation samples are readable; both are needed"
        )
    labels, truth = _labels(training, task), _labels(validation, task)
    balanced = balanced_loss(labels)

    def loss(batch: Sequence[int]) -> torch.Tensor:
        features = model.image_features(model.prepare([first for first, *_ in images.of([training[i] for i in batch])]))
        # A head holds large terms that cancel: mixed precision would train another classifier than the one that is tested.
        with torch.autocast(features.device.type, enabled=False):
            return balanced(classifier.logits(features.float()), batch)

    @torch.inference_mode()
    def predict(samples: Sequence[Sample]) -> list[Answer]:
        tested = classifier.tested()

        def logits(images: list[Pictures], _: list[Sample]) -> list[np.ndarray]:
            return list(tested(model.image_features(model.prepare([first for first, *_ in images])).float()))

        rows = in_batches(samples, logits, bench.batch_size, bench.progress, "predictions")
        return [row if isinstance(row, Failed) else as_answers(row[None], {})[0] for row in rows]

    def validate() -> float:
        return validation_score(truth.numpy(), np.array(predict(validation)))

    how = train(trained.parameters, len(training), loss, validate, budget, bench, trained.dropouts)
    readable = {sample.id for sample in (*training, *validation)}
    unreadable = [sample.id for sample in (*task.train, *task.validation) if sample.id not in readable]
    notes = how.notes | ({"unreadable_training_samples": unreadable} if unreadable else {})
    return Adapted(predict, trained.size, notes, trained.remove, how.steps, how.samples_seen)


def _labels(samples: Sequence[Sample], task: Task) -> torch.Tensor:
    return torch.tensor([task.classes.index(sample.truth) for sample in samples])
