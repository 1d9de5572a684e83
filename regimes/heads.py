"""Logistic regressions, solved together: all strengths, training sets and findings in one batch of matrix products.

What is batched has the axes [sets, problems, logits, samples or coordinates]: a problem is a target under one strength.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from medrival.errors import AdaptationFailed

STEPS = 20_000
REMEMBERED = 10
"""How many steps tell of the curvature."""
HALVINGS = 40
CLOSE = 3e-8
"""By how much the logit of the sample farthest out may still change, at the very most: probabilities then change by 1e-9."""
ROUNDING = 1e-15
"""By what share of itself the sum over samples may be wrong."""
FLATTEST = 1e-12
"""The least by which anything is divided."""
NEVER = -1e9
"""The logit of a class without training samples."""


@dataclass(frozen=True)
class Heads:
    """Fitted heads: probabilities are the softmax of features @ weight.T + bias.

    Attributes:
        weight: [sets, targets, strengths, classes, dim].
        bias: [sets, targets, strengths, classes].
    """

    weight: np.ndarray
    bias: np.ndarray


def fit_heads(features: Sequence[np.ndarray], labels: Sequence[np.ndarray], classes: int, strengths: Sequence[float]) -> Heads:
    """Class-balanced multinomial logistic regression with an L2 penalty, for each training set, target and strength.

    Each minimises the sum of the samples' cross-entropies, weighted so that every class counts the same and the weights add
    up to the samples, plus strength / 2 times the squared norm of the weights; the intercept costs nothing. Of two classes the
    first has the logit 0. That is scikit-learn's LogisticRegression(C=1 / strength, class_weight="balanced"). It is solved by
    L-BFGS along the principal axes of the features, where the Hessian is close to diagonal.

    Args:
        features: of each training set, [samples, dim] in float64; sets may differ in their samples.
        labels: of each training set, [targets, samples]: several targets share its features, as independent findings do.
            Each target has samples of every class.

    Raises:
        AdaptationFailed: features are not finite, or a regression does not converge.
    """
    if not all(np.isfinite(own).all() for own in features):
        raise AdaptationFailed("features of training samples are not finite: no head can be fitted to them")
    axes = [_principal_axes(own) for own in features]
    samples, width = max(map(len, features)), max(own.shape[1] for own in axes)
    points = np.zeros((len(features), samples, width + 1))  # coordinates along the axes, and a last one of the intercept
    counted = np.zeros((len(features), len(labels[0]), classes, samples))
    for i, (own, basis, truth) in enumerate(zip(features, axes, labels, strict=True)):
        points[i, : len(own), : basis.shape[1]] = own @ basis
        points[i, : len(own), -1] = 1
        counted[i, ..., : len(own)] = _balanced(truth, classes)
    found = _solve(points, counted, np.asarray(strengths, dtype=np.float64))
    weight = np.stack([own[..., : basis.shape[1]] @ basis.T for own, basis in zip(found, axes, strict=True)])
    return Heads(weight, found[..., -1])


def on_plain_features(
    weight: np.ndarray, bias: np.ndarray, mean: np.ndarray, scale: np.ndarray, present: np.ndarray, classes: int
) -> tuple[np.ndarray, np.ndarray]:
    """Heads of (features - mean) / scale as heads [..., classes, dim] of the features themselves, and their biases.

    They were fitted to the classes `present`; another is never predicted.
    """
    weight = weight / scale
    whole = np.zeros((*weight.shape[:-2], classes, weight.shape[-1]))
    offset = np.full(whole.shape[:-1], NEVER)
    whole[..., present, :], offset[..., present] = weight, bias - weight @ mean
    return whole, offset


def _principal_axes(features: np.ndarray) -> np.ndarray:
    """An orthonormal basis [dim, axes] of the space that the samples span: the heads that cost least lie in it."""
    samples, dim = features.shape
    if samples > dim:
        return np.linalg.eigh(features.T @ features)[1]
    return np.linalg.svd(features, full_matrices=False)[2].T


def _balanced(labels: np.ndarray, classes: int) -> np.ndarray:
    """Weights of samples [targets, classes, samples], each where its class is (scikit-learn's "balanced")."""
    there = (labels[:, None] == np.arange(classes)[:, None]).astype(np.float64)
    balanced: np.ndarray = there * labels.shape[1] / (classes * there.sum(axis=-1, keepdims=True))
    return balanced


def _solve(points: np.ndarray, counted: np.ndarray, strengths: np.ndarray) -> np.ndarray:
    """Heads [sets, targets, strengths, classes, coordinates] of points [sets, samples, coordinates].

    `counted` is the weight of each sample where its class is, [sets, targets, classes, samples].
    """
    sets, targets, classes, _ = counted.shape
    target = np.repeat(np.arange(targets), len(strengths))
    costs = np.arange(points.shape[2]) < points.shape[2] - 1
    free = slice(1 if classes == 2 else 0, None)
    problems = _Problems(
        points,
        counted[:, target, free],
        counted.sum(axis=2, keepdims=True)[:, target],
        np.outer(np.tile(strengths, targets), costs)[:, None],
    )
    solved = np.zeros((sets, len(target), classes, points.shape[2]))
    left, state = np.arange(len(target)), problems.start()
    for _ in range(STEPS):
        state = problems.improved(state)
        if len(done := np.flatnonzero(state.solved.all(axis=(0, 2, 3)))):
            solved[:, left[done], free] = state.heads[:, done]
            others = np.delete(np.arange(len(left)), done)
            left, problems, state = left[others], problems.only(others), state.only(others)
        if not len(left):
            return solved.reshape(sets, targets, len(strengths), classes, -1)
    raise AdaptationFailed(
        f"{np.sum(~state.solved)} of {sets * len(target)} logistic regressions did not converge in {STEPS} steps; "
        "try larger L2 strengths"
    )


@dataclass(frozen=True)
class _State:
    """How far the problems are.

    Attributes:
        heads: [sets, problems, logits, coordinates]; so are the gradient, the last steps, and its change by each of these.
        logits: of the samples under the heads, [sets, problems, logits, samples].
        excess: by how much their probabilities are above the truth, weighted, of the same shape.
        loss: [sets, problems, 1, 1], as is whether it is `solved`.
        curvature: about the diagonal of the Hessian, [sets, problems, 1, coordinates].
    """

    heads: np.ndarray
    logits: np.ndarray
    excess: np.ndarray
    loss: np.ndarray
    gradient: np.ndarray
    curvature: np.ndarray
    solved: np.ndarray
    steps: tuple[np.ndarray, ...] = ()
    changes: tuple[np.ndarray, ...] = ()

    def only(self, chosen: np.ndarray) -> _State:
        """The state of some of the problems."""
        values: dict[str, Any] = {name: value[:, chosen] for name, value in vars(self).items() if isinstance(value, np.ndarray)}
        values |= {name: tuple(one[:, chosen] for one in getattr(self, name)) for name in ("steps", "changes")}
        return replace(self, **values)

    def direction(self) -> np.ndarray:
        """Where to go by the curvature that the last steps met: Nocedal and Wright 2006, algorithm 7.4."""
        direction, met = -self.gradient, []
        for step, change in zip(reversed(self.steps), reversed(self.changes), strict=True):
            curved = _inner(step, change)
            inverse = np.divide(1, curved, out=np.zeros_like(curved), where=curved > 0)
            share = inverse * _inner(step, direction)
            direction = direction - share * change
            met.append((step, change, inverse, share))
        direction = direction / self.curvature
        for step, change, inverse, share in reversed(met):
            direction = direction + (share - inverse * _inner(change, direction)) * step
        return direction


@dataclass(frozen=True)
class _Problems:
    """Some problems in every training set.

    Attributes:
        points: [sets, samples, coordinates].
        counted: weight of each sample where its class is, [sets, problems, logits, samples].
        weights: of each sample, [sets, problems, 1, samples].
        penalties: of each coordinate, [problems, 1, coordinates].
    """

    points: np.ndarray
    counted: np.ndarray
    weights: np.ndarray
    penalties: np.ndarray

    def only(self, chosen: np.ndarray) -> _Problems:
        """Some of them."""
        return _Problems(self.points, self.counted[:, chosen], self.weights[:, chosen], self.penalties[chosen])

    def start(self) -> _State:
        """All heads 0."""
        heads = np.zeros((*self.counted.shape[:3], self.points.shape[2]))
        return self._state(heads, np.zeros(self.counted.shape), np.zeros((*heads.shape[:2], 1, 1), dtype=bool))

    def improved(self, state: _State) -> _State:
        """After one step of each problem that is not solved."""
        direction = state.direction()
        far = self._reach * np.sqrt(_inner(direction, direction)) > CLOSE
        steep = np.sqrt(_inner(state.gradient, state.gradient)) > ROUNDING * self._reach * self._total
        solved = state.solved | ~(far & steep)
        direction = np.where(solved, 0, direction)
        change = self._logits(direction)
        size = self._step_size(state, direction, change)
        after = self._state(state.heads + size * direction, state.logits + size * change, solved)
        return replace(
            after,
            steps=(*state.steps, size * direction)[-REMEMBERED:],
            changes=(*state.changes, after.gradient - state.gradient)[-REMEMBERED:],
        )

    def _state(self, heads: np.ndarray, logits: np.ndarray, solved: np.ndarray) -> _State:
        excess, loss = self._measured(heads, logits)
        gradient = self._gathered(excess) + self.penalties * heads
        share = (excess + self.counted) / np.maximum(self.weights, FLATTEST)
        # One curvature for all logits of a problem: the logits of a sample then go on adding up to 0.
        curvature = (self.weights * share * (1 - share)).sum(axis=-1, keepdims=True).mean(axis=2, keepdims=True)
        return _State(
            heads, logits, excess, loss, gradient, np.maximum(curvature * self._spread + self.penalties, FLATTEST), solved
        )

    def _measured(self, heads: np.ndarray, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The excess and the loss under heads with these logits."""
        alone = logits.shape[2] == 1  # beside it is one of 0
        top = np.maximum(logits, 0) if alone else logits.max(axis=2, keepdims=True)
        raised = np.exp(logits - top)
        total = raised + np.exp(-top) if alone else raised.sum(axis=2, keepdims=True)
        excess = self.weights * raised / total - self.counted
        entropy = _inner(self.weights, top + np.log(total)) - _inner(self.counted, logits)
        return excess, entropy + _inner(self.penalties * heads, heads) / 2

    def _step_size(self, state: _State, direction: np.ndarray, change: np.ndarray) -> np.ndarray:
        """By halving, until the loss fell by enough and does not rise steeply behind.

        Far from the solution the loss tells more; close to it, it is lost in rounding, and its slope is not.
        """
        slope = _inner(state.gradient, direction)
        size, doubt = np.ones_like(slope), 10 * ROUNDING * self._total
        for _ in range(HALVINGS):
            heads = state.heads + size * direction
            excess, loss = self._measured(heads, state.logits + size * change)
            rise = _inner(excess, change) + _inner(self.penalties * heads, direction)
            enough = (loss <= state.loss + 1e-4 * size * slope + doubt) & (rise <= -slope / 2)
            if enough.all():
                break
            size = np.where(enough, size, size / 2)
        return size

    @cached_property
    def _total(self) -> np.ndarray:
        return self.weights.sum(axis=-1, keepdims=True)

    @cached_property
    def _reach(self) -> np.ndarray:
        """How far out the farthest sample is, [sets, 1, 1, 1]."""
        return np.sqrt(np.einsum("snc,snc->sn", self.points, self.points).max(axis=1))[:, None, None, None]

    @cached_property
    def _spread(self) -> np.ndarray:
        """The mean square of each coordinate, [sets, 1, 1, coordinates]."""
        return np.einsum("snc,snc->sc", self.points, self.points)[:, None, None] / self._total[:, :1]

    def _logits(self, heads: np.ndarray) -> np.ndarray:
        flat = heads.reshape(len(heads), -1, heads.shape[-1]) @ self.points.swapaxes(1, 2)
        return flat.reshape(*heads.shape[:-1], -1)

    def _gathered(self, values: np.ndarray) -> np.ndarray:
        flat = values.reshape(len(values), -1, values.shape[-1]) @ self.points
        return flat.reshape(*values.shape[:-1], -1)


def _inner(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Inner products of each problem, [sets, problems, 1, 1]."""
    product: np.ndarray = np.einsum("spln,spln->sp", one, other)[..., None, None]
    return product
