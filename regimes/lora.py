"""LoRA: low-rank adapters, trained; every weight of the model itself stays as it is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch

from medrival.batches import Decoded, Pictures, in_batches
from medrival.contracts import Adapted, Answer, DualEncoder, Failed, Generator, Sample, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.linear_probe import fit_probe, validation_score
from medrival.regimes.training import Parameters, autocast, train
from medrival.regimes.zero_shot import answers, as_answers


@dataclass(frozen=True)
class Adapters:
    """Adapters that are in a module: their parameters by name, and how to take them out again."""

    parameters: Parameters
    remove: Callable[[], object]

    @property
    def size(self) -> int:
        """How many numbers they hold."""
        return sum(parameter.numel() for parameter in self.parameters.values())


def insert(module: torch.nn.Module, layers: Sequence[str], budget: Mapping[str, Any], seed: int) -> Adapters:
    """Put a LoRA adapter beside each named linear layer of a module, in place. Source: Hu et al. 2022, section 4.1."""
    from peft import LoraConfig, LoraModel

    config = LoraConfig(
        r=budget["rank"], lora_alpha=budget["alpha"], bias="none", target_modules="|".join(map(re.escape, layers))
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        tuner = LoraModel(module, {"default": config}, "default")
    parameters = {name: p for name, p in module.named_parameters() if "lora_" in name}
    for name in layers:
        module.get_submodule(name).register_forward_pre_hook(_brought)
    for parameter in parameters.values():
        parameter.data = parameter.data.float()  # small steps are lost in bfloat16; peft casts what flows through
    return Adapters(parameters, tuner.unload)


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


def language_model(model: Generator, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in the language model and the projector, trained on the tokens of the reference answers.

    The epoch is chosen by the mean log-likelihood of the validation split's answer tokens. Samples without an answer teach
    nothing: they are left out and listed, as those are whose image cannot be read.

    Raises:
        AdaptationFailed: see `train`; or nothing can be trained on or chosen on.
    """
    images = Decoded()
    readable = [images.readable(split) for split in (task.train, task.validation)]
    training, validation = ([sample for sample in split if sample.reply.strip()] for split in readable)
    if not training or not validation:
        raise AdaptationFailed(
            f"{task.name}: {len(training)} training and {len(validation)} validation samples are readable and have an answer"
        )
    adapters = insert(model.module, model.lora, budget, bench.seed)

    def teach(batch: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        return model.teach(images.of(batch), [s.prompt for s in batch], [s.reply for s in batch])

    def loss(batch: Sequence[int]) -> torch.Tensor:
        return answer_loss(model.module, teach([training[i] for i in batch]))

    @torch.inference_mode()
    def validate() -> float:
        total, tokens = 0.0, 0
        for start in bench.progress(range(0, len(validation), budget["batch_size"]), "validation"):
            inputs = teach(validation[start : start + budget["batch_size"]])
            here = int((inputs["labels"] != -100).sum())
            with autocast(bench.device):
                total -= float(answer_loss(model.module, inputs)) * here
            tokens += here
        return total / tokens

    trained = train(adapters.parameters, len(training), loss, validate, budget, bench)
    unreadable = _left_out((*task.train, *task.validation), chain(*readable))
    unanswered = _left_out(chain(*readable), (*training, *validation))
    notes = {"unreadable_training_samples": unreadable, "training_samples_without_answer": unanswered}
    notes = trained.notes | {name: samples for name, samples in notes.items() if samples}
    return Adapted(lambda samples: answers(model, samples, bench), adapters.size, notes, adapters.remove)


def _left_out(samples: Iterable[Sample], kept: Iterable[Sample]) -> list[str]:
    return sorted({sample.id for sample in samples} - {sample.id for sample in kept})


def answer_loss(module: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """A generator's own loss, without the logits of its prompts, which teach nothing and cost most of the memory."""
    labels, kept = inputs["labels"], {}
    if "logits_to_keep" in inspect.signature(module.forward).parameters:
        answer = int((labels != -100).any(dim=0).nonzero()[0])
        labels = labels[:, answer - 1 :]  # the token before an answer foretells its first one
        kept = {"logits_to_keep": labels.shape[1]}
    value: torch.Tensor = module(**{**inputs, "labels": labels}, **kept, use_cache=False).loss
    return value


def _brought(layer: Any, inputs: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
    """Over several GPUs accelerate brings inputs to the layer itself, which its adapter now surrounds and comes before."""
    return tuple(value.to(layer.weight.device) for value in inputs)


def _labels(samples: Sequence[Sample], task: Task) -> torch.Tensor:
    return torch.tensor([task.classes.index(sample.truth) for sample in samples])


def _balanced(labels: torch.Tensor, classes: int) -> torch.Tensor:
    """Weights by which every class that occurs counts the same (scikit-learn's "balanced")."""
    counts = torch.bincount(labels, minlength=classes).float()
    return torch.where(counts > 0, len(labels) / (classes * counts.clamp(min=1)), torch.zeros(()))
