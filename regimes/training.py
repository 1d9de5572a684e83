"""The one training loop: whatever is trained, it is watched, chosen on validation data, checked, and goes on after a kill."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from medrival.batches import out_of_memory
from medrival.contracts import Workbench
from medrival.errors import AdaptationFailed
from medrival.memory import release
from medrival.regimes.resuming import Checkpoint, State, Values, identity
from medrival.regimes.trials import Trained, Trial

Parameters = Mapping[str, torch.Tensor]
WINDOW = 8
"""Steps among whose samples like lengths are grouped: enough that little is padded, few enough that epochs stay unlike."""


class _Diverged(AdaptationFailed):
    """A learning rate was too high; another one may do."""


def train(
    parameters: Parameters,
    samples: int,
    loss: Callable[[Sequence[int]], torch.Tensor],
    validate: Callable[[], float],
    budget: Mapping[str, Any],
    bench: Workbench,
    dropouts: Sequence[torch.nn.Module] = (),
    lengths: Sequence[int] = (),
    spare: Callable[[], bool] = lambda: False,
    counted: Callable[[Sequence[int]], float] = len,
) -> Trained:
    """AdamW with linear warm-up and cosine or linear decay; the epoch with the best validation score is what remains.

    Of several learning rates each is tried from the same start, with the same batches; the one whose epoch has the best
    validation score remains. One that diverges is out, unless all do. How far the training is, is kept after an epoch (see
    `Checkpoint`): a run that was killed goes on after it, to the same digits.

    Args:
        parameters: what is trained, by name, in float32.
        samples: how many training samples there are.
        loss: indices of a batch -> scalar loss, the mean over what counts in it.
        validate: score of the present parameters on validation data; higher is better.
        budget: epochs, batch_size, learning_rate (or several learning_rates), weight_decay, warmup (share of the steps),
            max_grad_norm; where they are wanted schedule ("cosine" without; "linear"), accumulate (batches a step), patience
            (epochs without a better validation score after which a learning rate is done with), keep ("best" without;
            "last": the last epoch, whatever its score) and grouped (batches of samples of like lengths).
        bench: seed, progress, and where to keep how far it is.
        dropouts: modules that are in training mode in steps alone.
        lengths: of the samples, by which they are grouped where the budget says so.
        spare: has steps take less memory from now on, and says whether it could; a step that ran out of it is then repeated.
        counted: over how much the loss of a batch is the mean, asked after it: samples, or the tokens of their answers. By it
            the batches of one step count, so that they have the gradient of one whole batch.

    Raises:
        AdaptationFailed: the loss is not finite, or a parameter received no gradient or did not change.
    """
    before = _copies(parameters)
    by_length = lengths if budget.get("grouped") else ()
    loop = _Loop(parameters, before, samples, loss, validate, budget, bench, dropouts, by_length, spare, counted)
    if loop.steps < 2:
        raise AdaptationFailed(
            f"{samples} training samples make {loop.steps} step of training; the second factor of LoRA needs two"
        )
    fits = identity(before, samples=samples, budget=dict(budget), seed=bench.seed)
    checkpoint = Checkpoint(bench.checkpoints / "training.pt", fits)
    state = checkpoint.read()
    resumed_after = len(state.scores) + sum(len(trial["validation_scores"]) for trial in state.trials)
    rates = budget.get("learning_rates") or [budget["learning_rate"]]
    for rate in rates[len(state.trials) :]:
        trial = loop.tried(rate, state, checkpoint, last=len(rates) == 1)
        if trial.score > max((Trial(**known).score for known in state.trials), default=-math.inf):
            state.winner = state.best
        state = State([*state.trials, asdict(trial)], state.winner)
    trained = Trained(tuple(Trial(**known) for known in state.trials), resumed_after)
    if trained.best.failed:
        raise AdaptationFailed(f"every learning rate failed; {trained.best.learning_rate}: {trained.best.failed}")
    _give(parameters, state.winner)
    return trained


@dataclass(frozen=True)
class _Loop:
    """What stays the same whatever the learning rate; see `train`."""

    parameters: Parameters
    before: Parameters
    samples: int
    loss: Callable[[Sequence[int]], torch.Tensor]
    validate: Callable[[], float]
    budget: Mapping[str, Any]
    bench: Workbench
    dropouts: Sequence[torch.nn.Module]
    lengths: Sequence[int]
    spare: Callable[[], bool]
    counted: Callable[[Sequence[int]], float]

    @property
    def steps_an_epoch(self) -> int:
        return math.ceil(self.samples / self.batch)

    @property
    def batch(self) -> int:
        """Samples a step."""
        return int(self.budget["batch_size"] * self.budget.get("accumulate", 1))

    @property
    def steps(self) -> int:
        return self.steps_an_epoch * int(self.budget["epochs"])

    def tried(self, rate: float, state: State, checkpoint: Checkpoint, *, last: bool) -> Trial:
        """Train at one learning rate from the start, or from where `state` is, which is brought forward.

        Raises:
            AdaptationFailed: as `train`; of a loss that is not finite, where this rate is the only one.
        """
        failed = ""
        try:
            self._trained(rate, state, checkpoint)
        except _Diverged as error:
            if last:
                raise
            failed = str(error)
        seen = state.steps // self.steps_an_epoch * self.samples + state.steps % self.steps_an_epoch * self.batch
        return Trial(rate, tuple(state.scores), state.epoch, state.steps, seen, failed)

    def _trained(self, rate: float, state: State, checkpoint: Checkpoint) -> None:
        chance = np.random.default_rng(self.bench.seed)
        for _ in state.scores:
            self._order(chance)
        _give(self.parameters, state.parameters or self.before)
        optimiser = torch.optim.AdamW(self.parameters.values(), lr=rate, weight_decay=self.budget["weight_decay"])
        if state.optimiser:
            optimiser.load_state_dict(state.optimiser)
        with torch.random.fork_rng(self._gpus):
            torch.manual_seed(self.bench.seed)
            self._set_chance(state.chance)
            while len(state.scores) < self.budget["epochs"] and not self._done(state):
                self._epoch(optimiser, rate, self._order(chance), state)
                state.parameters = {name: parameter.detach() for name, parameter in self.parameters.items()}
                state.optimiser = optimiser.state_dict()
                state.chance = self._chance()
                checkpoint.write(state)
        _check(self.parameters, self.before, state.touched)

    def _order(self, chance: np.random.Generator) -> list[int]:
        """Every sample once, shuffled. Where they have lengths, like stand with like among those of a few steps."""
        order = chance.permutation(self.samples)
        if not self.lengths:
            return [int(i) for i in order]
        size = WINDOW * self.batch
        windows = [sorted(order[start : start + size], key=lambda i: self.lengths[i]) for start in range(0, self.samples, size)]
        grouped = [int(i) for window in windows for i in window]
        steps = [grouped[start : start + self.batch] for start in range(0, self.samples, self.batch)]
        whole = self.samples // self.batch  # what is left over stays last, as every other step has as many samples
        return [i for step in (*chance.permutation(whole), *range(whole, len(steps))) for i in steps[step]]

    def _epoch(self, optimiser: torch.optim.Optimizer, rate: float, order: Sequence[int], state: State) -> None:
        epoch = len(state.scores) + 1
        factor = _factor(self.budget.get("schedule", "cosine"), self.steps, self.budget["warmup"])
        for step in self.bench.progress(range(self.steps_an_epoch), f"epoch {epoch}/{self.budget['epochs']}"):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor(state.steps)
            optimiser.zero_grad()
            value = self._fitting(optimiser, order[step * self.batch : (step + 1) * self.batch])
            if len(state.touched) < len(self.parameters):
                state.touched = sorted({*state.touched, *_with_gradient(self.parameters)})
            norm = torch.nn.utils.clip_grad_norm_(self.parameters.values(), self.budget["max_grad_norm"])
            if not math.isfinite(float(value.to(norm.device) + norm)):  # one wait for the device, not two
                what, number = ("gradient", norm) if torch.isfinite(value) else ("loss", value)
                where = f"at epoch {epoch}, step {step + 1}"
                raise _Diverged(f"the {what} became {number.item()} {where}; try a lower learning rate")
            optimiser.step()
            state.steps += 1
        score = float(self.validate())
        if not math.isfinite(score):
            raise _Diverged(f"the validation score became {score} after epoch {epoch}; try a lower learning rate")
        state.scores.append(score)
        if self.budget.get("keep") == "last" or score > max(state.scores[:-1], default=-math.inf):
            state.epoch, state.best = epoch, _copies(self.parameters)

    def _fitting(self, optimiser: torch.optim.Optimizer, batch: Sequence[int]) -> torch.Tensor:
        try:
            return self._backward(batch)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error) or not self.spare():
                raise
        release()
        optimiser.zero_grad()
        return self._fitting(optimiser, batch)

    def _backward(self, batch: Sequence[int]) -> torch.Tensor:
        """The mean loss of a step, whose samples may come in several batches; gradients add up to that of the mean."""
        size, total, weight = int(self.budget["batch_size"]), torch.zeros(()), 0.0
        for part in self.dropouts:
            part.train()
        for start in range(0, len(batch), size):
            some = batch[start : start + size]
            with autocast(self.bench.device):
                value = self.loss(some)
            own = self.counted(some) if len(batch) > size else 1.0
            (value * own).backward()
            total, weight = total.to(value.device) + value.detach() * own, weight + own
        for part in self.dropouts:
            part.eval()
        if len(batch) > size:  # how much there was in all is known only now
            for parameter in self.parameters.values():
                if parameter.grad is not None:
                    parameter.grad /= weight
        return total / weight

    def _done(self, state: State) -> bool:
        patience = self.budget.get("patience", 0)
        return bool(patience) and len(state.scores) - state.epoch >= patience

    @property
    def _gpus(self) -> list[torch.device]:
        return [torch.device(self.bench.device)] if self.bench.device.startswith("cuda") else []

    def _chance(self) -> Values:
        return {"cpu": torch.get_rng_state(), **{str(gpu): torch.cuda.get_rng_state(gpu) for gpu in self._gpus}}

    def _set_chance(self, states: Values) -> None:
        if states:
            torch.set_rng_state(states["cpu"])
        for gpu in self._gpus if states else ():
            torch.cuda.set_rng_state(states[str(gpu)], gpu)


def autocast(device: str) -> AbstractContextManager[object]:
    """Mixed precision (bfloat16) on CUDA, where it is fast; plain precision elsewhere."""
    return torch.autocast("cuda", dtype=torch.bfloat16) if device.startswith("cuda") else nullcontext()


def _copies(parameters: Parameters) -> Values:
    """In the memory of the CPU, which is larger."""
    return {name: parameter.detach().to("cpu", copy=True) for name, parameter in parameters.items()}


@torch.no_grad()
def _give(parameters: Parameters, values: Parameters) -> None:
    for name, parameter in parameters.items():
        parameter.copy_(values[name])


def _with_gradient(parameters: Parameters) -> set[str]:
    return {name for name, p in parameters.items() if p.grad is not None and bool(p.grad.abs().max() > 0)}


def _check(parameters: Parameters, before: Mapping[str, torch.Tensor], touched: Iterable[str]) -> None:
    """Paper A's reference code trained adapters that received no gradient: never again."""
    untouched = sorted(set(parameters) - set(touched))
    if untouched:
        raise AdaptationFailed(
            f"adapter received no gradient: {untouched[0]} and {len(untouched) - 1} more of {len(parameters)}"
        )
    unchanged = sorted(name for name, p in parameters.items() if torch.equal(p.detach().cpu(), before[name]))
    if unchanged:
        raise AdaptationFailed(f"training changed nothing in {unchanged[0]} and {len(unchanged) - 1} more of {len(parameters)}")


def _factor(schedule: str, steps: int, warmup: float) -> Callable[[int], float]:
    """What the learning rate is multiplied with at each step: a linear rise, and then a decay to nothing."""
    rising = round(steps * warmup) if schedule == "linear" else max(1, round(steps * warmup))

    def factor(step: int) -> float:
        if step < rising:
            return (step + 1) / rising
        past = (step - rising) / max(1, steps - rising)
        return 1 - past if schedule == "linear" else 0.5 * (1 + math.cos(math.pi * past))

    return factor
