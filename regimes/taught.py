"""Generators that are taught the reference answers."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any

import torch

from medrival.batches import Decoded
from medrival.contracts import Adapted, Generator, Sample, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.adapters import insert
from medrival.regimes.training import autocast, train
from medrival.regimes.zero_shot import answers


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
