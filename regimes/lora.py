"""LoRA in dual encoders: low-rank adapters, trained; every weight of the model itself stays as it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.nn.functional import normalize

from medrival.contracts import Adapted, DualEncoder, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.adapters import deciding, insert
from medrival.regimes.classifier import Classifier, head_from, of_head, trained_classifier
from medrival.regimes.comparison import ClassTexts, class_prompts, image_directions, read_texts, text_logits
from medrival.regimes.labelled import refuse_findings
from medrival.regimes.linear_probe import fit_probe


def image_tower(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in the image tower and a linear head, trained together.

    The head starts as the linear probe. Paper A starts from a random head, and its adapters received no gradient.

    Raises:
        AdaptationFailed: see `trained_classifier` and `fit_probe`.
    """
    probe, notes = fit_probe(task, budget["l2_strengths"], bench)
    head = head_from(probe, bench.device)
    adapters = insert(model.module, _image_layers(model), budget, bench.seed)
    both = replace(adapters, parameters={**adapters.parameters, "head.weight": head.weight, "head.bias": head.bias})
    adapted = trained_classifier(model, task, budget, bench, both, of_head(head))
    save = adapters.save(bench.weights)
    return replace(adapted, notes={**notes, **adapted.notes}, save=save and partial(_save_both, save, head, task.classes))


def against_prompts(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in the image tower, trained on how similar images are to the class prompts, as the model reads these.

    Raises:
        AdaptationFailed: see `trained_classifier`; two classes are the same to the model, or samples may have several findings.
    """
    refuse_findings(task)
    texts = class_prompts(model, task, bench)
    directions = torch.from_numpy(texts.directions).float().to(bench.device)
    adapters = insert(model.module, _image_layers(model), budget, bench.seed)
    classifier = Classifier(
        lambda features: _similarities(model, features, directions), lambda: partial(_compared, model, texts)
    )
    adapted = trained_classifier(model, task, budget, bench, adapters, classifier)
    return replace(adapted, notes={**texts.notes, **adapted.notes}, save=adapters.save(bench.weights))


def both_towers(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Adapters in both towers, trained on how similar images are to the class prompts.

    On the text side they are beside every linear layer outside the image tower on which a text's features depend.

    Raises:
        AdaptationFailed: see `trained_classifier`; two classes are the same to the model, samples may have several findings, or
            features of texts are computed without gradients.
    """
    refuse_findings(task)
    notes = class_prompts(model, task, bench).notes
    image = _image_layers(model)
    reached, idle = deciding(model.module, lambda: model.text_features(task.prompts))
    outside = tuple(name for name in reached if name not in image and not name.startswith(_inside(model)))
    if not outside:
        raise AdaptationFailed(f"{task.name}: no linear layer of this model's text side can be adapted; take lora-image")
    adapters = insert(model.module, (*image, *outside), budget, bench.seed)

    def logits(features: torch.Tensor) -> torch.Tensor:
        return _similarities(model, features, normalize(model.text_features(task.prompts).float(), dim=-1))

    def tested() -> Callable[[torch.Tensor], np.ndarray]:
        return partial(_compared, model, read_texts(model, task, [(prompt,) for prompt in task.prompts]))

    adapted = trained_classifier(model, task, budget, bench, adapters, Classifier(logits, tested))
    untrained = {"untrained": idle} if idle else {}
    return replace(adapted, notes={**notes, **adapted.notes, **untrained}, save=adapters.save(bench.weights))


def _inside(model: DualEncoder) -> str:
    """What the names of all parts of the image tower begin with."""
    place = next(name for name, part in model.module.named_modules() if part is model.tower)
    return f"{place}." if place else ""


def _image_layers(model: DualEncoder) -> tuple[str, ...]:
    inside = _inside(model)
    return tuple(f"{inside}{name}" for name in model.lora)


def _similarities(model: DualEncoder, features: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Scaled cosine similarities [n, classes] of features [n, queries * dim] and texts [classes, dim], as in `text_logits`."""
    images = normalize(features.unflatten(1, (model.queries, -1)), dim=-1)
    return model.scale * (images @ directions.T).amax(dim=1)


def _compared(model: DualEncoder, texts: ClassTexts, features: torch.Tensor) -> np.ndarray:
    return text_logits(model, image_directions(model, features.cpu().numpy()), texts)


def _save_both(save: Callable[[Path], object], head: torch.nn.Linear, classes: Sequence[str], folder: Path) -> None:
    """The adapters, and beside them the head that peft's format has no place for."""
    from safetensors.torch import save_file

    save(folder)
    weights = {name: value.detach().cpu().contiguous() for name, value in head.named_parameters()}
    save_file(weights, folder / "head.safetensors", metadata={"classes": json.dumps(classes)})
