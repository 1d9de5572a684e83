"""The one training loop: whatever is trained, it is watched, chosen on validation data and checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from medrival.contracts import Workbench
from medrival.errors import AdaptationFailed

Parameters = Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class Trained:
    """How a training went: scores on the validation split by epoch (the first is 1), and the epoch that was kept."""

    validation_scores: tuple[float, ...]
    epoch: int

    @property
    def notes(self) -> dict[str, Any]:
        """For the record of the outcome."""
        return {"epoch": self.epoch, "validation_scores": list(self.validation_scores)}


def train(
    parameters: Parameters,
    samples: int,
    loss: Callable[[Sequence[int]], torch.Tensor],
    validate: Callable[[], float],
    budget: Mapping[str, Any],
    bench: Workbench,
) -> Trained:
    """AdamW with linear warm-up and cosine decay; the epoch with the best validation score is what remains.

    Args:
        parameters: what is trained, by name, in float32.
        samples: how many training samples there are.
        loss: indices of a batch -> scalar loss.
        validate: score of the present parameters on validation data; higher is better.
        budget: epochs, batch_size, learning_rate, weight_decay, warmup (share of the steps), max_grad_norm.
        bench: seed and progress.

    Raises:
        AdaptationFailed: the loss is not finite, or a parameter received no gradient or did not change.
    """
    order = np.random.default_rng(bench.seed)
    before = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    touched: set[str] = set()
    optimiser = torch.optim.AdamW(parameters.values(), lr=budget["learning_rate"], weight_decay=budget["weight_decay"])
    batches_an_epoch = math.ceil(samples / budget["batch_size"])
    steps = batches_an_epoch * budget["epochs"]
    if steps < 2:
        raise AdaptationFailed(f"{samples} training samples make {steps} step of training; the second factor of LoRA needs two")
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, _warmup_then_cosine(steps, budget["warmup"]))
    scores: list[float] = []
    best: dict[str, torch.Tensor] = {}
    for epoch in range(1, budget["epochs"] + 1):
        shuffled = order.permutation(samples).tolist()
        for step in bench.progress(range(batches_an_epoch), f"epoch {epoch}/{budget['epochs']}"):
            batch = shuffled[step * budget["batch_size"] : (step + 1) * budget["batch_size"]]
            with autocast(bench.device):
                value = loss(batch)
            if not torch.isfinite(value):
                raise AdaptationFailed(
                    f"the loss became {value.item()} at epoch {epoch}, step {step + 1}; try a lower learning rate"
                )
            optimiser.zero_grad()
            value.backward()
            touched |= _with_gradient(parameters) if len(touched) < len(parameters) else set()
            norm = torch.nn.utils.clip_grad_norm_(parameters.values(), budget["max_grad_norm"])
            if not torch.isfinite(norm):
                raise AdaptationFailed(
                    f"the gradient became {norm.item()} at epoch {epoch}, step {step + 1}; try a lower learning rate"
                )
            optimiser.step()
            schedule.step()
        score = validate()
        if not math.isfinite(score):
            raise AdaptationFailed(f"the validation score became {score} after epoch {epoch}; try a lower learning rate")
        scores.append(score)
        if score > max(scores[:-1], default=-math.inf):
            best = {name: parameter.detach().clone() for name, parameter in parameters.items()}
    _check(parameters, before, touched)
    with torch.no_grad():
        for name, value in best.items():
            parameters[name].copy_(value)
    return Trained(tuple(scores), scores.index(max(scores)) + 1)


def autocast(device: str) -> AbstractContextManager[object]:
    """Mixed precision (bfloat16) on CUDA, where it is fast; plain precision elsewhere."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.startswith("cuda") else nullcontext()


def _with_gradient(parameters: Parameters) -> set[str]:
    return {name for name, p in parameters.items() if p.grad is not None and bool(p.grad.abs().max() > 0)}


def _check(parameters: Parameters, before: Mapping[str, torch.Tensor], touched: Iterable[str]) -> None:
    """Paper A's reference code trained adapters that received no gradient: never again."""
    untouched = sorted(set(parameters) - set(touched))
    if untouched:
        raise AdaptationFailed(
            f"adapter received no gradient: {untouched[0]} and {len(untouched) - 1} more of {len(parameters)}"
        )
    unchanged = sorted(name for name, p in parameters.items() if torch.equal(p.detach(), before[name]))
    if unchanged:
        raise AdaptationFailed(f"training changed nothing in {unchanged[0]} and {len(unchanged) - 1} more of {len(parameters)}")


def _warmup_then_cosine(steps: int, warmup: float) -> Callable[[int], float]:
    rising = max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))

    return factor
