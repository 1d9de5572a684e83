"""Linear probe: logistic regression on frozen image features."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medrival.contracts import Adapted, Answer, DualEncoder, Failed, Sample, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.heads import fit_heads, on_plain_features
from medrival.regimes.labelled import has_findings, known, known_findings, readable, refuse_few, refuse_findings, unreadable
from medrival.regimes.zero_shot import as_answers


@dataclass(frozen=True)
class Probe:
    """A head fitted to so many samples: logits = features @ weight.T + bias. `weight` is [classes, dim]."""

    weight: np.ndarray
    bias: np.ndarray
    l2_strength: float
    validation_score: float
    samples: int

    def logits(self, features: np.ndarray) -> np.ndarray:
        """[samples, classes]."""
        return features @ self.weight.T + self.bias


def linear_probe(_: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    """Class-balanced logistic regression; L2 strength chosen on the validation split, or trained where the budget has none.

    Features are [samples, dim] float32, not normalised, computed once per model and images whatever the strengths; each is
    standardised by the training split before fitting, so that one list of strengths serves every model.
    Protocol: Radford et al. 2021, section 3.2. Paper A trains a head on plain features by AdamW and takes its last epoch.
    Of independent findings each has a regression of its own, against the samples without it.
    """
    if "l2_strengths" not in budget:
        return _train_probe(task, budget, bench)
    if has_findings(task):
        return _probe_findings(task, budget["l2_strengths"], bench)
    probe, notes = fit_probe(task, budget["l2_strengths"], bench)

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        return as_answers(probe.logits(features.values), features.failed)

    return Adapted(predict, probe.weight.size + probe.bias.size, notes, samples_seen=probe.samples)


def fit_probe(task: Task, l2_strengths: Sequence[float], bench: Workbench) -> tuple[Probe, dict[str, Any]]:
    """The probe that does best on the validation split, and what to record about it.

    Raises:
        AdaptationFailed: see `refuse_few`, `refuse_findings`, `usable` and `fit_heads`.
    """
    refuse_findings(task)
    train, validation = bench.features(task.train), bench.features(task.validation)
    x, y = known(train, task.train, task.classes)
    x_validation, y_validation = known(validation, task.validation, task.classes)
    refuse_few(task, y, y_validation)
    probes = []
    for strength, weight, bias in zip(l2_strengths, *_fit(x, y, len(task.classes), l2_strengths), strict=True):
        answers = as_answers(x_validation @ weight.T + bias, {})
        probes.append(Probe(weight, bias, strength, validation_score(y_validation, np.array(answers)), len(y)))
    best = max(probes, key=lambda probe: (probe.validation_score, probe.l2_strength))
    notes = {"l2_strength": best.l2_strength, "validation_score": best.validation_score}
    return best, notes | unreadable(task, train, validation)


def validation_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """AUROC (macro one-vs-rest); minus the cross-entropy where the split does not hold every class.

    NaN where some probabilities are, as those of a model are that overflows.
    """
    from sklearn.metrics import log_loss, roc_auc_score

    if np.isnan(probabilities).any():
        return math.nan
    classes = np.arange(probabilities.shape[1])
    if set(labels) != set(classes):
        return -float(log_loss(labels, probabilities, labels=classes))
    if len(classes) == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))


def standardised(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Features [samples, dim] with mean 0 and variance 1, the mean and the scale [dim] of each."""
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    return scaler.transform(x), scaler.mean_, scaler.scale_


def _fit(x: np.ndarray, y: np.ndarray, classes: int, l2_strengths: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Weights [strengths, classes, dim] and biases [strengths, classes]."""
    scaled, mean, scale = standardised(x)
    present, labels = np.unique(y, return_inverse=True)
    heads = fit_heads([scaled], [labels[None]], len(present), l2_strengths)
    return on_plain_features(heads.weight[0, 0], heads.bias[0, 0], mean, scale, present, classes)


def _train_probe(task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:
    import torch

    from medrival.regimes.feature_training import train_on_features

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(bench.seed)
        head = torch.nn.Linear(bench.features(task.train).values.shape[1], len(task.classes))
    head = head.to(bench.device)
    return train_on_features(dict(head.named_parameters()), head, task, budget, bench)


def _probe_findings(task: Task, l2_strengths: Sequence[float], bench: Workbench) -> Adapted:
    """A regression a finding; all have the L2 strength of the best mean AUROC on the validation split.

    The mean is over the findings that some samples of that split have and some lack. What no training sample has, or all, is
    given that probability, and is on record.

    Raises:
        AdaptationFailed: some readable samples of a split must have a finding, and some lack it, and there is no such finding.
    """
    train, validation = bench.features(task.train), bench.features(task.validation)
    x, members = known_findings(train, task.train, task.classes)
    x_validation, expected = known_findings(validation, task.validation, task.classes)
    fitted, judged = _undecided(members), _undecided(expected)
    for split, columns in (("training", fitted), ("validation", judged)):
        if not columns:
            raise AdaptationFailed(f"{task.name}: there is no finding that some readable {split} samples have and some lack")
    scaled, mean, scale = standardised(x)
    heads = fit_heads([scaled], [members.T[fitted].astype(np.int64)], 2, l2_strengths)

    def probable(strength: float, features: np.ndarray) -> np.ndarray:
        """Of each finding, [samples, classes]."""
        at = l2_strengths.index(strength)
        probabilities = np.tile(members.all(axis=0).astype(np.float64), (len(features), 1))
        logits = ((features - mean) / scale) @ heads.weight[0, :, at, 1].T + heads.bias[0, :, at, 1]
        probabilities[:, fitted] = 0.5 * (1 + np.tanh(logits / 2))  # the logistic function, which overflows written as exp
        return probabilities

    scores = {s: _mean_auroc(expected[:, judged], probable(s, x_validation)[:, judged]) for s in l2_strengths}
    best = max(scores, key=lambda strength: (scores[strength], strength))

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        rows = readable(features)
        found = dict(zip(rows, probable(best, features.values[rows].astype(np.float64)).tolist(), strict=True))
        return [tuple(found[i]) if i in found else Failed(features.failed[i]) for i in range(len(samples))]

    untrained = [name for column, name in enumerate(task.classes) if column not in fitted]
    notes = {"l2_strength": best, "validation_score": scores[best]} | ({"untrained_findings": untrained} if untrained else {})
    notes |= unreadable(task, train, validation)
    return Adapted(predict, len(fitted) * (x.shape[1] + 1), notes, samples_seen=len(x))


def _undecided(members: np.ndarray) -> list[int]:
    """The columns of findings that some samples have and some lack."""
    return np.flatnonzero(members.any(axis=0) & ~members.all(axis=0)).tolist()


def _mean_auroc(members: np.ndarray, probabilities: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(np.mean([roc_auc_score(has, p) for has, p in zip(members.T, probabilities.T, strict=True)]))
