"""Full fine-tuning of dual encoders: every weight of the image side, and a head."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image as PIL

from medrival.contracts import Adapted, DualEncoder, Task, Workbench
from medrival.regimes.classifier import head_from, of_head, trained_classifier
from medrival.regimes.linear_probe import fit_probe
from medrival.regimes.whole import free, refuse_too_large


def image_side(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Every parameter that image features depend on and a linear head, trained together in float32.

    The head starts as the linear probe (Kumar et al. 2022: fine-tuning from a random one distorts good features). A model of
    another precision computes in that, in training and test, from weights in float32.

    Raises:
        AdaptationFailed: see `trained_classifier` and `fit_probe`; or the weights are packed into 4 bits.
        OutOfMemory: weights, gradients and the optimiser's moments do not fit, with the figures.
    """
    probe, notes = fit_probe(task, budget["l2_strengths"], bench)
    refuse_too_large(model.tower)
    seeing = _in_its_precision(model)
    names, idle = _reached(seeing)
    head = head_from(probe, bench.device)
    freed = free(model.module, names, rest_too=True)
    both = replace(freed, parameters={**freed.parameters, "head.weight": head.weight, "head.bias": head.bias})
    adapted = trained_classifier(seeing, task, budget, bench, both, of_head(head))
    return replace(adapted, notes={**notes, **adapted.notes, **({"untrained": idle} if idle else {})})


def _in_its_precision(model: DualEncoder) -> DualEncoder:
    """The model as it computes in its precision once its weights are in float32."""
    weight = next(parameter for parameter in model.tower.parameters() if parameter.is_floating_point())
    if weight.dtype == torch.float32:
        return model
    kind, device = weight.dtype, weight.device.type

    def image_features(pixels: torch.Tensor) -> torch.Tensor:
        with torch.autocast(device, kind):
            return model.image_features(pixels)

    return replace(model, image_features=image_features)


def _reached(model: DualEncoder) -> tuple[list[str], list[str]]:
    """Names of the parameters that image features depend on, and of those of the image tower on which they do not."""
    everything = [name for name, _ in model.module.named_parameters()]
    freed = free(model.module, everything, rest_too=True)
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    try:
        model.image_features(model.prepare([PIL.fromarray(noise)])).float().sum().backward()
        reached = [name for name, parameter in freed.parameters.items() if parameter.grad is not None]
    finally:
        freed.remove()
    tower = set(map(id, model.tower.parameters()))
    return reached, [name for name, p in model.module.named_parameters() if id(p) in tower and name not in reached]
