"""CLIP-Adapter: a small network behind the image tower, trained against the class prompts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch.nn.functional import linear, normalize, relu

from medrival.contracts import Adapted, DualEncoder, Task, Workbench
from medrival.regimes.comparison import class_prompts
from medrival.regimes.feature_training import train_on_features


def clip_adapter(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """A bottleneck of two layers whose output is mixed with the image features; softmax over the cosines to the prompts.

    The budget says by how much the bottleneck is narrower than the features (`reduction`) and how much its output counts
    (`ratio`). Trained on stored features by class-balanced cross-entropy. Source: Gao et al. 2021, the adapter of the image.

    Raises:
        AdaptationFailed: see `train_on_features`; or two classes are the same to the model.
    """
    texts = class_prompts(model, task, bench)
    directions = torch.from_numpy(texts.directions).float().to(bench.device)
    down, up = _layers(directions.shape[1], budget["reduction"], bench)

    def logits(features: torch.Tensor) -> torch.Tensor:
        images = features.unflatten(1, (model.queries, -1))
        adapted = relu(linear(relu(linear(images, down)), up))
        mixed = normalize(budget["ratio"] * adapted + (1 - budget["ratio"]) * images, dim=-1)
        return model.scale * linear(mixed, directions).amax(dim=1)

    adapted = train_on_features({"down": down, "up": up}, logits, task, budget, bench)
    return replace(adapted, notes={**texts.notes, **adapted.notes})


def _layers(dim: int, reduction: int, bench: Workbench) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights [dim / reduction, dim] and [dim, dim / reduction], drawn by the seed as torch draws those of linear layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(bench.seed)
        down = torch.nn.Linear(dim, dim // reduction, bias=False)
        up = torch.nn.Linear(dim // reduction, dim, bias=False)
    return down.to(bench.device).weight, up.to(bench.device).weight
