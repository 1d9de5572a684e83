"""Generators that are taught the reference answers."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from itertools import chain
from typing import Any

import torch

from medrival.contracts import Adapted, Generator, Sample, Task, Workbench
from medrival.decoded import Decoded
from medrival.errors import AdaptationFailed
from medrival.regimes.adapters import Adapters, insert
from medrival.regimes.recomputed import Recomputing
from medrival.regimes.training import autocast, train
from medrival.regimes.whole import free, refuse_too_large
from medrival.regimes.zero_shot import answers


def lora(model: Generator, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in the language model and the projector, or in the layers that the model's row names.

    In 4 bits it is QLoRA (Dettmers et al. 2023): the regime's row has the precision.

    Raises:
        AdaptationFailed: see `_taught`.
    """
    return _taught(model, task, budget, bench, _adapters(model, budget, bench), model.lora)


def lora_language(model: Generator, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in the language model alone.

    Raises:
        AdaptationFailed: see `_taught`.
    """
    return _taught(model, task, budget, bench, _adapters(model, budget, bench), model.parts.language)


def lora_vision(model: Generator, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in the image tower, too, but in layers behind the one whose features the language model is shown.

    Raises:
        AdaptationFailed: see `_taught`.
    """
    layers = (*model.lora, *(name for name in model.parts.vision if name not in model.lora))
    return _taught(model, task, budget, bench, _adapters(model, budget, bench), layers, some_idle=True)


def projector(model: Generator, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Every parameter of the projector, and nothing else; no adapters. LLaVA-Med was tuned so in paper A.

    Raises:
        AdaptationFailed: see `_taught`; or no part of the model is known as its projector, or it is packed into 4 bits.
    """
    if not model.parts.projector:
        raise AdaptationFailed(f"{task.name}: no part of this model is known as its projector; take lora-language or full")
    return _taught(model, task, budget, bench, partial(free, model.module), model.parts.projector)


def full(model: Generator, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Every parameter on which an answer depends, trained in float32 and tested in the model's own precision.

    Raises:
        AdaptationFailed: see `_taught`; or the weights are packed into 4 bits.
        OutOfMemory: weights, gradients and the optimiser's moments do not fit, with the figures.
    """
    kinds = {parameter: parameter.dtype for parameter in model.module.parameters()}
    refuse_too_large(model.module)
    names = [name for name, _ in model.module.named_parameters()]
    taught = _taught(model, task, budget, bench, partial(free, model.module, rest_too=True), names, some_idle=True)
    for parameter, kind in kinds.items():
        parameter.data = parameter.data.to(kind)
    return taught


def _adapters(model: Generator, budget: Mapping[str, Any], bench: Workbench) -> Callable[[Sequence[str]], Adapters]:
    return lambda layers: insert(model.module, layers, budget, bench.seed)


def _taught(
    model: Generator,
    task: Task,
    budget: Mapping[str, Any],
    bench: Workbench,
    change: Callable[[Sequence[str]], Adapters],
    names: Sequence[str],
    *,
    some_idle: bool = False,
) -> Adapted:
    """A generator after training on the tokens of the reference answers.

    The epoch is chosen by the mean log-likelihood of the validation split's answer tokens. Samples without an answer teach
    nothing: they are left out and listed, as those are whose image cannot be read.

    Args:
        change: makes named parts of the model trainable.
        some_idle: whether no answer may depend on some of them, which one pass finds out; they are left out and listed.

    Raises:
        AdaptationFailed: see `train`; or nothing can be trained on or chosen on.
    """
    images = Decoded()
    readable = [images.readable(split) for split in (task.train, task.validation)]
    training, validation = ([sample for sample in split if sample.reply.strip()] for split in readable)
    validation.sort(key=_length)  # which pads batches little
    if not training or not validation:
        raise AdaptationFailed(
            f"{task.name}: {len(training)} training and {len(validation)} validation samples are readable and have an answer"
        )

    def teach(batch: Sequence[Sample]) -> Mapping[str, torch.Tensor]:
        return model.teach(images.of(batch), [s.prompt for s in batch], [s.reply for s in batch])

    tokens: dict[int, int] = {}

    def loss(batch: Sequence[int]) -> torch.Tensor:
        inputs = teach([training[i] for i in batch])
        if budget.get("accumulate", 1) > 1:  # reading them waits for the device
            tokens.update(zip(batch, (inputs["labels"] != -100).sum(dim=1).tolist(), strict=True))
        return answer_loss(model.module, inputs)

    def counted(batch: Sequence[int]) -> int:
        return sum(tokens[i] for i in batch)

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

    recomputing = Recomputing(model.module)
    lengths = [_length(sample) for sample in training]
    idle = _idle(change(names), names, partial(loss, [0])) if some_idle else []
    trainable = change([name for name in names if name not in idle])
    dropouts, spare = trainable.dropouts, recomputing.start
    trained = train(trainable.parameters, len(training), loss, validate, budget, bench, dropouts, lengths, spare, counted)
    recomputing.stop()
    unreadable = _left_out((*task.train, *task.validation), chain(*readable))
    unanswered = _left_out(chain(*readable), (*training, *validation))
    notes = {
        "unreadable_training_samples": unreadable,
        "training_samples_without_answer": unanswered,
        "untrained": idle,
        "gradient_checkpointing": recomputing.on,
    }
    notes = trained.notes | {name: value for name, value in notes.items() if value}
    return Adapted(
        lambda samples: answers(model, samples, bench),
        trainable.size,
        notes,
        trainable.remove,
        trained.steps,
        trained.samples_seen,
        trainable.save(bench.weights),
    )


def _idle(tried: Adapters, names: Sequence[str], loss: Callable[[], torch.Tensor]) -> list[str]:
    """The parts that no gradient reaches, such as image layers behind the one that is looked at; they are given back."""
    loss().backward()
    reached = [name for name, parameter in tried.parameters.items() if parameter.grad is not None]
    tried.remove()
    return [name for name in names if not any(one == name or one.startswith(f"{name}.") for one in reached)]


def _length(sample: Sample) -> int:
    return len(sample.prompt) + len(sample.reply)


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
