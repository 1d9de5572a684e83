"""Linear probe: logistic regression on frozen image features."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medrival.contracts import Adapted, Answer, DualEncoder, Features, Sample, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.zero_shot import as_answers


@dataclass(frozen=True)
class Probe:
    """A fitted head: logits = features @ weight.T + bias. `weight` is [classes, dim]."""

    weight: np.ndarray
    bias: np.ndarray
    l2_strength: float
    validation_score: float

    def logits(self, features: np.ndarray) -> np.ndarray:
        """[samples, classes]."""
        return features @ self.weight.T + self.bias


def linear_probe(model: DualEncoder, task: Task, budget: Mapping[str, Any], bench: Workbench) -> Adapted:  # noqa: ARG001
    """Class-balanced logistic regression; L2 strength chosen on the validation split.

    Features are [samples, dim] float32, not normalised, computed once per model and images whatever the strengths; each is
    standardised by the training split before fitting, so that one list of strengths serves every model.
    Protocol: Radford et al. 2021, section 3.2; paper A uses a fixed learning rate and no selection instead.
    """
    probe, notes = fit_probe(task, budget["l2_strengths"], bench)

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        return as_answers(probe.logits(features.values), features.failed)

    return Adapted(predict, probe.weight.size + probe.bias.size, notes)


def fit_probe(task: Task, l2_strengths: Sequence[float], bench: Workbench) -> tuple[Probe, dict[str, Any]]:
    """The probe that does best on the validation split, and what to record about it.

    Raises:
        AdaptationFailed: the readable training samples are of fewer than two classes, or the validation split is empty.
    """
    train, validation = bench.features(task.train), bench.features(task.validation)
    x, y = known(train, task.train, task.classes)
    if len(set(y)) < 2:
        raise AdaptationFailed(f"{task.name}: {len(y)} readable training samples of {len(set(y))} class; a probe needs two")
    if not len(validation.values) - len(validation.failed):
        raise AdaptationFailed(f"{task.name}: no readable validation sample to choose the L2 strength on")
    x_validation, y_validation = known(validation, task.validation, task.classes)
    probes = [
        _fit(x, y, len(task.classes), strength, x_validation, y_validation)
        for strength in bench.progress(l2_strengths, "L2 strengths")
    ]
    best = max(probes, key=lambda probe: (probe.validation_score, probe.l2_strength))
    notes = {"l2_strength": best.l2_strength, "validation_score": best.validation_score}
    return best, notes | unreadable(task, train, validation)


def known(features: Features, samples: Sequence[Sample], classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features [known, dim] in float64 and label indices [known] of the samples that could be read."""
    rows = [i for i in range(len(samples)) if i not in features.failed]
    return features.values[rows].astype(np.float64), np.array([classes.index(samples[i].truth) for i in rows], dtype=np.int64)


def unreadable(task: Task, train: Features, validation: Features) -> dict[str, Any]:
    """Training and validation samples that were left out, for the record."""
    left_out = [task.train[i].id for i in train.failed] + [task.validation[i].id for i in validation.failed]
    return {"unreadable_training_samples": left_out} if left_out else {}


def validation_score(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """AUROC (macro one-vs-rest); minus the cross-entropy where the split does not hold every class."""
    from sklearn.metrics import log_loss, roc_auc_score

    classes = np.arange(probabilities.shape[1])
    if set(labels) != set(classes):
        return -float(log_loss(labels, probabilities, labels=classes))
    if len(classes) == 2:
        return float(roc_auc_score(labels, probabilities[:, 1]))
    return float(roc_auc_score(labels, probabilities, multi_class="ovr"))


def _fit(
    x: np.ndarray, y: np.ndarray, classes: int, l2_strength: float, x_validation: np.ndarray, y_validation: np.ndarray
) -> Probe:
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(x)
    fitted = LogisticRegression(C=1 / l2_strength, class_weight="balanced", max_iter=2000).fit(scaler.transform(x), y)
    weight, bias = _per_class(fitted, classes)
    # The standardisation is folded in, so that the head applies to plain features.
    weight = weight / scaler.scale_
    bias = bias - weight @ scaler.mean_
    probe = Probe(weight, bias, l2_strength, float("nan"))
    answers = as_answers(probe.logits(x_validation), {})
    return Probe(weight, bias, l2_strength, validation_score(y_validation, np.array(answers)))


def _per_class(fitted: Any, classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Scikit-learn's coefficients as one row a class of the task; a class without training samples is never predicted."""
    weight = np.zeros((classes, fitted.coef_.shape[1]))
    bias = np.full(classes, -1e9)
    if len(fitted.classes_) == 2:
        first, second = fitted.classes_
        weight[second], bias[first], bias[second] = fitted.coef_[0], 0.0, fitted.intercept_[0]
    else:
        weight[fitted.classes_], bias[fitted.classes_] = fitted.coef_, fitted.intercept_
    return weight, bias
