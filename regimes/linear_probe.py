"""Linear probe: logistic regression on frozen image features."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from medrival.contracts import Adapted, Answer, DualEncoder, Failed, Features, Sample, Task, Workbench
from medrival.errors import AdaptationFailed
from medrival.regimes.zero_shot import as_answers

Probability = Callable[[np.ndarray], np.ndarray]
"""Features [samples, dim] -> how probable a finding is, [samples]."""


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
    Of independent findings each has a regression of its own, against the samples without it.
    """
    if has_findings(task):
        return _probe_findings(task, budget["l2_strengths"], bench)
    probe, notes = fit_probe(task, budget["l2_strengths"], bench)

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        return as_answers(probe.logits(features.values), features.failed)

    return Adapted(predict, probe.weight.size + probe.bias.size, notes)


def has_findings(task: Task) -> bool:
    """Whether its classes are independent findings, of which a sample may have several or none."""
    return any(sample.form == "findings" for sample in task.train)


def fit_probe(task: Task, l2_strengths: Sequence[float], bench: Workbench) -> tuple[Probe, dict[str, Any]]:
    """The probe that does best on the validation split, and what to record about it.

    Raises:
        AdaptationFailed: the readable training samples are of fewer than two classes, the validation split is empty, or samples
            may have several findings.
    """
    if has_findings(task):
        raise AdaptationFailed(
            f"{task.name}: its samples may have several findings or none, and this regime fits one class a sample so far; "
            "linear-probe fits findings"
        )
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
    rows = _readable(features)
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


def _probe_findings(task: Task, l2_strengths: Sequence[float], bench: Workbench) -> Adapted:
    """A regression a finding; all have the L2 strength of the best mean AUROC on the validation split.

    The mean is over the findings that some samples of that split have and some lack. What no training sample has, or all, is
    given that probability, and is on record.

    Raises:
        AdaptationFailed: some readable samples of a split must have a finding, and some lack it, and there is no such finding.
    """
    train, validation = bench.features(task.train), bench.features(task.validation)
    x, members = _findings(train, task.train, task.classes)
    x_validation, expected = _findings(validation, task.validation, task.classes)
    fitted, judged = _undecided(members), _undecided(expected)
    for split, columns in (("training", fitted), ("validation", judged)):
        if not columns:
            raise AdaptationFailed(f"{task.name}: there is no finding that some readable {split} samples have and some lack")
    probes = {s: [_fit_finding(x, has, s) for has in members.T] for s in bench.progress(l2_strengths, "L2 strengths")}
    scores = {s: _mean_auroc(expected[:, judged], _probable(probe, x_validation)[:, judged]) for s, probe in probes.items()}
    best = max(scores, key=lambda strength: (scores[strength], strength))

    def predict(samples: Sequence[Sample]) -> list[Answer]:
        features = bench.features(samples)
        rows = _readable(features)
        probable = dict(zip(rows, _probable(probes[best], features.values[rows].astype(np.float64)).tolist(), strict=True))
        return [tuple(probable[i]) if i in probable else Failed(features.failed[i]) for i in range(len(samples))]

    untrained = [name for column, name in enumerate(task.classes) if column not in fitted]
    notes = {"l2_strength": best, "validation_score": scores[best]} | ({"untrained_findings": untrained} if untrained else {})
    return Adapted(predict, len(fitted) * (x.shape[1] + 1), notes | unreadable(task, train, validation))


def _readable(features: Features) -> list[int]:
    return [i for i in range(len(features.values)) if i not in features.failed]


def _findings(features: Features, samples: Sequence[Sample], classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Features [known, dim] and findings [known, classes] of the samples that could be read."""
    rows = _readable(features)
    members = np.zeros((len(rows), len(classes)), dtype=np.bool_)
    for row, i in enumerate(rows):
        members[row, [classes.index(name) for name in samples[i].truth.split("|") if name]] = True
    return features.values[rows].astype(np.float64), members


def _undecided(members: np.ndarray) -> list[int]:
    """The columns of findings that some samples have and some lack."""
    return np.flatnonzero(members.any(axis=0) & ~members.all(axis=0)).tolist()


def _fit_finding(x: np.ndarray, has: np.ndarray, l2_strength: float) -> Probability:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if has.all() or not has.any():
        return lambda features: np.full(len(features), float(has.all()))
    regression = LogisticRegression(C=1 / l2_strength, class_weight="balanced", max_iter=2000)
    fitted = make_pipeline(StandardScaler(), regression).fit(x, has)
    return lambda features: np.asarray(fitted.predict_proba(features)[:, 1])


def _probable(probe: Sequence[Probability], features: np.ndarray) -> np.ndarray:
    return np.stack([probability(features) for probability in probe], axis=1)


def _mean_auroc(members: np.ndarray, probabilities: np.ndarray) -> float:
    from sklearn.metrics import roc_auc_score

    return float(np.mean([roc_auc_score(has, p) for has, p in zip(members.T, probabilities.T, strict=True)]))
