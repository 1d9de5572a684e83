"""From a case to its outcome: load, adapt, predict, score; memoised in the store."""

from __future__ import annotations

import shutil
import time
import traceback
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from medrival import about, keys, memory
from medrival.answered import predicted
from medrival.batches import Progress, out_of_memory
from medrival.bench import Bench
from medrival.cache import Cache
from medrival.case import Case, Cost, Outcome
from medrival.catalog import ModelCard, TaskCard, imported
from medrival.contracts import Adapted, DualEncoder, Engine, Features, Generator, Sample, Served, Task
from medrival.errors import BrokenData, BrokenModel, MedrivalError, MedrivalWarning, OutOfMemory, first_line
from medrival.extraction import Room, extracted
from medrival.handover import Handover
from medrival.limit import limited
from medrival.scorers import Scorer, scored
from medrival.settings import Settings
from medrival.store import Store
from medrival.weights import locate, resolved, settled
from medrival.workers import repeatable_cuda

__all__ = ["Bench", "Lab", "Settings"]

E = TypeVar("E", bound=BaseException)
Model = DualEncoder | Generator | Engine | Served


class Lab:
    """Evaluates cases and keeps what the next case may need: the tasks, and one model, as cases come sorted by model."""

    def __init__(self, settings: Settings, store: Store, progress: Progress, scorers: Sequence[Scorer] = ()) -> None:
        self.settings = settings
        self.store = store
        self.progress = progress
        self._scorers = scorers
        self._tasks: dict[str, Task] = {}
        self._warned = False
        self._adapters = Handover(settings.adapters, store)
        # What the store cannot tell again: cases that failed, and outcomes it could not keep.
        self._answered: dict[str, Outcome | MedrivalError] = {}
        self._loaded: tuple[ModelCard, str, Model] | None = None
        self._shared: dict[tuple[str, ...], tuple[Any, float]] = {}
        self._broken: dict[tuple[str, str], BrokenModel] = {}  # to find out may take a minute, and each case would

    def evaluate(self, case: Case) -> Outcome:
        """The case's outcome, and what the scorers say of its answers where it is one of questions.

        Raises:
            MissingAsset: weights or data are not on this machine.
            OutOfMemory: the case does not fit.
            MedrivalError: any other expected failure. A case that fails stores nothing, and fails again when asked for again.
        """
        outcome = self._outcome(case)
        return scored(outcome, self._scorers) if case.task.kind == "vqa" else outcome

    def _outcome(self, case: Case) -> Outcome:
        """Asked for before, known in the store, or measured now."""
        answered = self._answered.get(case.id)
        if isinstance(answered, MedrivalError):
            raise answered
        if answered is not None:
            return answered
        try:
            outcome = self._known_or_measured(case)
            self._adapters.hand_over(case, outcome)
            return outcome
        except MedrivalError as error:
            self._answered[case.id] = _light(error)
            raise

    def _known_or_measured(self, case: Case) -> Outcome:
        if self.settings.lock and case.model.type != "served":
            self.settings.lock.check(case.model.name, resolved(case.model, self.settings.assets))
        key = self.key(case)
        with self.store.lock(key):
            known = self.store.outcome(key, self.settings.measured_after)
            if known is not None and not self._incomplete(known) and not self._adapters.lacking(known):
                return known
            outcome = self._measure_safely(case, key)
            shutil.rmtree(self.store.training(key), ignore_errors=True)
            if not self._kept(partial(self.store.keep_outcome, outcome)):
                self._answered[case.id] = outcome
            return outcome

    def _incomplete(self, outcome: Outcome) -> bool:
        """Whether an endpoint left samples unanswered that an earlier run asked about."""
        unanswered = outcome.notes.get("served", {}).get("unanswered", 0)
        return bool(unanswered) and self.store.measured_at(outcome.key) < self.settings.started

    def task(self, card: TaskCard) -> Task:
        """The loaded task, cut to the limit.

        Raises:
            MissingAsset: the data is not on this machine.
            BrokenData: the data is not what the loader expects, or there is nothing to test on.
            BrokenLock: it is not the data that the lock file has.
        """
        if card.name not in self._tasks:
            task: Task = imported(card.loader)(card, self.settings.assets, self.store.scratch)
            if not task.test:
                raise BrokenData(f"{card.name}: its test split is empty")
            if self.settings.lock:
                self.settings.lock.check_task(card.name, task.fingerprint)
            self._tasks[card.name] = limited(task, self.settings.limit) if self.settings.limit else task
        return self._tasks[card.name]

    def key(self, case: Case) -> str:
        """Sha256 over everything that can change the outcome."""
        return keys.of_outcome(case, self.task(case.task), self._settings(case))

    def once(self, name: tuple[str, ...], work: Callable[[], Any]) -> tuple[Any, float]:
        """What `work` gives and how long it took, done once while the model is in memory."""
        if name not in self._shared:
            started = time.perf_counter()
            self._shared[name] = work(), time.perf_counter() - started
        return self._shared[name]

    def close(self) -> None:
        """Let go of the model that is in memory, and of the processes that run it, if any."""
        self._forget_model()

    def _settings(self, case: Case) -> Settings:
        """The run's, in the precision that the regime is for."""
        return replace(self.settings, dtype=case.regime.dtype) if case.regime.dtype else self.settings

    def features(self, card: ModelCard, samples: Sequence[Sample]) -> Features:
        """Frozen image features, computed once per model and images, whatever the regime and seed.

        Raises:
            BrokenData: not one of the images can be read.
        """
        key = keys.of_features(card, samples, self.settings)
        with self.store.lock(key):
            features = self.store.features(key, self.settings.measured_after)
            if features is None:
                with self.store.new_features(key) as new:
                    features = self._embed(card, samples, new.room)
                    self._kept(partial(new.keep, features))
        if samples and len(features.failed) == len(samples):
            raise BrokenData(f"none of {len(samples)} images can be read; the first: {features.failed[0]}")
        return features

    def _measure_safely(self, case: Case, key: str) -> Outcome:
        try:
            return self._measure(case, key)
        except BaseException as error:
            self._forget_model()  # a half-adapted model must not serve the next case
            if not out_of_memory(error):
                raise
            raise OutOfMemory(
                f"{case.id}: out of memory on {self.settings.device} ({first_line(error)}); "
                "try --dtype bfloat16, a smaller batch in the regime's budget, or a larger device"
            ) from error

    def _measure(self, case: Case, key: str) -> Outcome:
        from medrival.tasks.metrics import measure

        settings = self._settings(case)
        task = self.task(case.task)
        if case.regime.adapts and not task.train:
            raise BrokenData(
                f"{task.name}: it has no training split, from which {case.regime.name} would learn; its row can have one cut "
                'by split = "made", or say by `splits` which split is used as "train"'
            )
        model = self.model(case.model, settings.dtype)
        adapt: Callable[..., Adapted] = imported(case.runner)
        bench = Bench(self, case)
        memory.reset_peak(self.settings.device)
        adapted = adapt(model, task, case.regime.budget, bench)
        adapting = bench.seconds()
        answers = adapted.predict(task.test)
        seconds = bench.seconds()
        tuning = task.validation if task.kind == "diagnosis" else ()  # what thresholds are chosen on
        validation = predicted(tuning, adapted.predict(tuning) if tuning else [])
        if self.settings.adapters and adapted.save:
            self._kept(partial(self._adapters.keep, key, adapted.save))
        adapted.undo()
        predictions = predicted(task.test, answers)
        if all(prediction.error for prediction in predictions):
            raise BrokenData(f"{task.name}: every one of {len(predictions)} samples failed; the first: {predictions[0].error}")
        cost = Cost(
            seconds=seconds,
            train_seconds=adapting if case.regime.adapts else 0.0,
            trainable_parameters=adapted.trainable_parameters,
            total_parameters=_parameters(model),
            peak_memory_bytes=None if isinstance(model, Engine | Served) else memory.peak(self.settings.device),
            samples_per_second=len(predictions) / max(seconds - adapting, 1e-9),
            steps=adapted.steps,
            samples_seen=adapted.samples_seen,
        )
        measured = measure(task.kind, predictions, task.classes, validation=validation)
        return Outcome(
            key=key,
            classes=task.classes,
            metrics=measured.metrics,
            predictions=predictions,
            cost=cost,
            notes={
                **task.notes,
                **about.data(task, self.settings.limit),
                **about.run(case, model, settings),
                **about.answers(case, predictions),
                **adapted.notes,
                **({"adapter": "peft"} if adapted.save else {}),
                **measured.notes,
            },
            validation=validation,
            per_class=measured.per_class,
            subgroups=measured.subgroups,
        )

    def _embed(self, card: ModelCard, samples: Sequence[Sample], room: Room) -> Features:
        model = self.model(card)
        if not isinstance(model, DualEncoder):
            raise TypeError(f"{card.name} is a {card.type}; only a dual encoder has image features")

        def room_somewhere(shape: tuple[int, int]) -> np.ndarray:
            try:
                return room(shape)
            except OSError as error:
                self._warn_unkept(error)
                return np.empty(shape, np.float32)

        return extracted(model, samples, room_somewhere, self.settings, self.progress, f"{card.name}: image features")

    def model(self, card: ModelCard, dtype: str = "") -> Model:
        """The loaded model, in a precision other than the run's where one is asked for; one at a time is in memory."""
        dtype = dtype or self.settings.dtype
        if self._loaded is None or self._loaded[:2] != (card, dtype):
            self._forget_model()
            if broken := self._broken.get((card.name, dtype)):
                raise broken
            try:
                self._loaded = card, dtype, self._load(card, dtype)
            except BrokenModel as error:
                self._broken[card.name, dtype] = _light(error)
                raise
        return self._loaded[2]

    def _load(self, card: ModelCard, dtype: str = "") -> Model:
        adapter: Callable[..., Model] = imported(card.adapter)
        if card.type == "served":
            return adapter(card, Cache(self.store.scratch / "served", self.settings.measured_after))
        folder = locate(card, self.settings.assets)
        if self.settings.device.startswith("cuda"):
            repeatable_cuda()
        return adapter(settled(card, self.settings.assets), folder, self.settings.device, dtype or self.settings.dtype)

    def _forget_model(self) -> None:
        if self._loaded and isinstance(engine := self._loaded[2], Engine):
            engine.close()
        self._loaded = None
        self._shared.clear()
        memory.release()

    def _kept(self, write: Callable[[], object]) -> bool:
        """Store a result and say whether that worked; a full or read-only disk costs the memory of it, not the result."""
        try:
            write()
            return True
        except OSError as error:
            self._warn_unkept(error)
            return False

    def _warn_unkept(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            warnings.warn(
                f"the store at {self.store.folder} cannot be written ({error}); what was measured is reported but not kept",
                MedrivalWarning,
                stacklevel=2,
            )


def _parameters(model: Model) -> int | None:
    if isinstance(model, Engine | Served):
        return model.parameters if isinstance(model, Engine) else None
    return sum(parameter.numel() for parameter in model.module.parameters())


def _light(error: E) -> E:
    """The same error without what the functions held that it passed: of a model that did not load, its weights."""
    passed: BaseException | None = error
    while passed is not None:
        traceback.clear_frames(passed.__traceback__)
        passed = passed.__cause__ or passed.__context__
    return error
