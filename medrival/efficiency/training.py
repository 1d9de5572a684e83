"""Training of a generator's adapters: the regime as it is, against the loop of peft's own documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from medrival import memory
from medrival.batches import Pictures
from medrival.bench import Bench
from medrival.case import Case
from medrival.catalog import imported
from medrival.contracts import Adapted, Generator, Sample
from medrival.efficiency.race import Race
from medrival.efficiency.subject import Subject

PEAK_FLOPS = {"NVIDIA H200": 989e12, "NVIDIA H100 80GB HBM3": 989e12, "NVIDIA A100-SXM4-80GB": 312e12}
"""Dense bfloat16, from NVIDIA's data sheets; of other devices no utilisation is told."""


def adapters(subject: Subject, lora: Case) -> Race:
    """One epoch of LoRA over the training split, with decoding and without validation.

    The bare loop has its images decoded beforehand, and asks the network for the loss as its library hands it out.
    """
    model = subject.model
    assert isinstance(model, Generator)
    known = {sample.id for sample in subject.samples}
    training = tuple(sample for sample in subject.task.train if sample.id in known and sample.reply.strip())
    task = replace(subject.task, train=training, validation=subject.task.validation[:1])
    budget = {**lora.regime.budget, "epochs": 1, "learning_rates": [_rate(lora.regime.budget)]}
    pictures = {sample.id: tuple(image.open() for image in sample.images) for sample in training}
    device = subject.lab.settings.device

    def ours() -> int:
        adapted: Adapted = imported(lora.runner)(model, task, budget, Bench(subject.lab, lora))
        adapted.undo()
        return len(training)

    def figures(seconds: float, _: int) -> Mapping[str, float]:
        done = _flops(model, training, pictures, budget)
        peak = PEAK_FLOPS.get(memory.name(device))
        return {"flops_per_second": done / seconds} | ({"model_flops_utilisation": done / seconds / peak} if peak else {})

    return Race(
        "LoRA steps",
        ours=ours,
        bare=lambda: _bare(model, training, pictures, budget, device),
        items=len(training),
        unit="samples",
        wanted=0.95,
        ready=subject.forget,
        figures=figures,
    )


def _rate(budget: Mapping[str, Any]) -> float:
    return float((budget.get("learning_rates") or [budget["learning_rate"]])[0])


def _bare(
    model: Generator, training: Sequence[Sample], pictures: Mapping[str, Pictures], budget: Mapping[str, Any], device: str
) -> int:
    """What a reader would write with peft: every sample once, in the order they come in."""
    import torch
    from peft import LoraConfig, get_peft_model

    from medrival.models.remembered import forgetful
    from medrival.regimes.training import autocast

    config = LoraConfig(r=budget["rank"], lora_alpha=budget["alpha"], target_modules=list(model.lora))
    tuned = get_peft_model(model.module, config)
    optimiser = torch.optim.AdamW([one for one in tuned.parameters() if one.requires_grad], lr=_rate(budget))
    with forgetful(model.module):  # which leaves nothing behind for our turn, either
        for start in range(0, len(training), budget["batch_size"]):
            inputs = _inputs(model, training[start : start + budget["batch_size"]], pictures)
            with autocast(device):
                loss = tuned(**inputs).loss
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    tuned.unload()
    return len(training)


def _inputs(model: Generator, batch: Sequence[Sample], pictures: Mapping[str, Pictures]) -> Mapping[str, Any]:
    return model.teach([pictures[one.id] for one in batch], [one.prompt for one in batch], [one.reply for one in batch])


def _flops(model: Generator, training: Sequence[Sample], pictures: Mapping[str, Pictures], budget: Mapping[str, Any]) -> float:
    """What LoRA needs of the network: its forward pass over the training split, twice.

    The backward pass of a frozen weight is the gradient of its input alone, which costs what the forward pass costs. What is
    computed again to save memory does not count.
    """
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    first = training[: budget["batch_size"]]
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.module(**_inputs(model, first, pictures))
    return 2.0 * counter.get_total_flops() * len(training) / len(first)
