"""Training on stored features: what an epoch costs is small beside encoding the images once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from medrival.contracts import Adapted, Answer, Sample, Task, Workbench
from medrival.regimes.balanced import balanced_loss
from medrival.regimes.labelled import known, refuse_few, refuse_findings, unreadable
from medrival.regimes.linear_probe import validation_score
from medrival.regimes.training import Parameters, train
from medrival.regimes.zero_shot import as_answers


def train_on_features(
    parameters: Parameters,
    logits: Callable[[torch.Tensor], torch.Tensor],
    task: Task,
    budget: Mapping[str, Any],
    bench: Workbench,
) -> Adapted:
    """What a function of features [samples, dim] gives as logits [samples, classes], trained by class-balanced cross-entropy.

    Features are as the model gives them, in float32. The budget's epoch and learning rate are those of the best AUROC on the
    validation split.

    Raises:
        AdaptationFailed: see `refuse_findings`, `refuse_few` and `train`.
    """
    refuse_findings(task)
    training, validation = bench.features(task.train), bench.features(task.validation)
    x, y = known(training, task.train, task.classes)
    x_validation, y_validation = known(validation, task.validation, task.classes)
    refuse_few(task, y, y_validation)
    inputs = torch.from_numpy(x).float().to(bench.device)
    balanced = balanced_loss(torch.from_numpy(y))

    def loss(batch: Sequence[int]) -> torch.Tensor:
        with torch.autocast(inputs.device.type, enabled=False):  # features are few: mixed precision would save nothing
            return balanced(logits(inputs[batch]), batch)

    @torch.inference_mode()
    def scored(features: np.ndarray) -> np.ndarray:
        found: np.ndarray = logits(torch.tensor(features).float().to(bench.device)).double().cpu().numpy()
        return found

    def validate() -> float:
        return validation_score(y_validation, np.array(as_answers(scored(x_validation), {})))

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        return as_answers(scored(features.values), features.failed)

    trained = train(parameters, len(y), loss, validate, budget, bench)
    size = sum(parameter.numel() for parameter in parameters.values())
    notes = {**trained.notes, **unreadable(task, training, validation)}
    return Adapted(predict, size, notes, steps=trained.steps, samples_seen=trained.samples_seen)
