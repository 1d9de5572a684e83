"""From a case to its outcome: load, adapt, predict, score; memoised in the store."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np

from medrival import fingerprints, memory
from medrival.batches import Pictures, Progress, in_batches, out_of_memory
from medrival.cache import Cache
from medrival.case import Case, Cost, Outcome
from medrival.catalog import ModelCard, TaskCard, imported
from medrival.contracts import (
    Adapted,
    Answer,
    DualEncoder,
    Failed,
    Features,
    Form,
    Generator,
    Prediction,
    Said,
    Sample,
    Served,
    Task,
)
from medrival.endpoint import endpoint
from medrival.errors import BrokenData, MedrivalError, MedrivalWarning, OutOfMemory, first_line
from medrival.limit import limited
from medrival.lock import Lock
from medrival.scorers import Scorer, scored
from medrival.store import Store, key_of
from medrival.tasks.answers import spoken
from medrival.tasks.prompts import ask
from medrival.weights import locate, resolved, settled
from medrival.workers import repeatable_cuda

T = TypeVar("T")
Model = DualEncoder | Generator | Served

MAX_NEW_TOKENS = 64
"""The answer length that both of a pair are given; what a row allows for thinking comes on top."""
CUT_OFF = "its thought was cut off before it answered; `thinking` in its row gives it more tokens"


@dataclass(frozen=True)
class Settings:
    """How cases are evaluated.

    Attributes:
        device: "cpu", "cuda", "cuda:1", "mps".
        dtype: of the weights: "float32", "bfloat16", "float16", "4bit".
        batch_size: of prediction; a training batch is part of a regime's budget.
        limit: at most so many samples of each split, or None.
        assets: the user's folder of data and models.
        measured_after: outcomes stored before (seconds since 1970) are measured anew.
        started: when the run began; outcomes stored before in which an endpoint left samples unanswered are measured anew, too.
        lock: what the weights must be, or None.
    """

    device: str = "cpu"
    dtype: str = "float32"
    batch_size: int = 64
    limit: int | None = None
    assets: Path | None = None
    measured_after: float = 0.0
    started: float = 0.0
    lock: Lock | None = None


class Lab:
    """Evaluates cases and keeps what the next case may need: the tasks, and one model, as cases come sorted by model."""

    def __init__(self, settings: Settings, store: Store, progress: Progress, scorers: Sequence[Scorer] = ()) -> None:
        self.settings = settings
        self.store = store
        self.progress = progress
        self._scorers = scorers
        self._tasks: dict[str, Task] = {}
        self._warned = False
        # What the store cannot tell again: cases that failed, and outcomes it could not keep.
        self._answered: dict[str, Outcome | MedrivalError] = {}
        self._loaded: tuple[ModelCard, Model] | None = None

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
            return self._known_or_measured(case)
        except MedrivalError as error:
            self._answered[case.id] = error
            raise

    def _known_or_measured(self, case: Case) -> Outcome:
        if self.settings.lock and case.model.type != "served":
            self.settings.lock.check(case.model.name, resolved(case.model, self.settings.assets))
        key = self.key(case)
        with self.store.lock(key):
            known = self.store.outcome(key, self.settings.measured_after)
            if known is not None and not self._incomplete(known):
                return known
            outcome = self._measure_safely(case, key)
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
        """
        if card.name not in self._tasks:
            task: Task = imported(card.loader)(card, self.settings.assets, self.store.scratch)
            if not task.test:
                raise BrokenData(f"{card.name}: its test split is empty")
            self._tasks[card.name] = limited(task, self.settings.limit) if self.settings.limit else task
        return self._tasks[card.name]

    def key(self, case: Case) -> str:
        """Sha256 over everything that can change the outcome."""
        task = self.task(case.task)
        return key_of(
            {
                "model": self._identity(case.model),
                "task": [
                    task.name,
                    task.kind,
                    task.fingerprint,
                    task.classes,
                    task.prompts,
                    "test",
                    self.settings.limit,
                ],
                "regime": [case.regime.name, case.runner, dict(case.regime.budget)],
                "seed": case.seed,
                "max_new_tokens": _most_tokens(case.model),
                "code": fingerprints.code((*_adapters(case.model), case.task.loader, case.runner)),
            }
        )

    def features(self, card: ModelCard, samples: Sequence[Sample]) -> Features:
        """Frozen image features, computed once per model and images, whatever the regime and seed.

        Raises:
            BrokenData: not one of the images can be read.
        """
        key = key_of(
            {
                "features": self._identity(card),
                "images": [sample.image.digest for sample in samples],
                "code": fingerprints.code(_adapters(card)),
            }
        )
        with self.store.lock(key):
            features = self.store.features(key, self.settings.measured_after)
            if features is None:
                features = self._embed(card, samples)
                self._kept(partial(self.store.keep_features, key, features))
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

        task, model = self.task(case.task), self._model(case.model)
        adapt: Callable[..., Adapted] = imported(case.runner)
        bench = Bench(self, case)
        memory.reset_peak(self.settings.device)
        adapted = adapt(model, task, case.regime.budget, bench)
        adapting = bench.seconds()
        answers = adapted.predict(task.test)
        seconds = bench.seconds()
        tuning = task.validation if task.kind == "diagnosis" else ()  # what thresholds are chosen on
        validation = _predictions(tuning, adapted.predict(tuning) if tuning else [])
        adapted.undo()
        predictions = _predictions(task.test, answers)
        if all(prediction.error for prediction in predictions):
            raise BrokenData(f"{task.name}: every one of {len(predictions)} samples failed; the first: {predictions[0].error}")
        cost = Cost(
            seconds=seconds,
            train_seconds=adapting if case.regime.adapts else 0.0,
            trainable_parameters=adapted.trainable_parameters,
            total_parameters=None if isinstance(model, Served) else _parameters(model),
            peak_memory_bytes=None if isinstance(model, Served) else memory.peak(self.settings.device),
            samples_per_second=len(predictions) / max(seconds - adapting, 1e-9),
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
                **self._about(task),
                **self._about_run(case, model),
                **_about_answers(case, predictions),
                **adapted.notes,
                **measured.notes,
            },
            validation=validation,
            per_class=measured.per_class,
            subgroups=measured.subgroups,
        )

    def _about(self, task: Task) -> Mapping[str, int]:
        """Sizes of the splits that were used, and how many of the test images are also among the training images."""
        seen = {image.digest for sample in task.train for image in sample.images}
        tested = [{image.digest for image in sample.images} for sample in task.test]
        images = {digest for digests in tested for digest in digests}
        sizes = {"train": len(task.train), "validation": len(task.validation), "test": len(task.test)}
        overlap = {
            "test_images": len(images),
            "test_images_in_train": len(images & seen),
            "test_samples_on_training_images": sum(not seen.isdisjoint(digests) for digests in tested),
        }
        return sizes | overlap | ({"limit": self.settings.limit} if self.settings.limit else {})

    def _about_run(self, case: Case, model: Model) -> Mapping[str, object]:
        """How the model was run: what must be equal in a pair, where a reader can see it."""
        if isinstance(model, Served):
            return {}
        asked = {"asked_by": model.asked_by} if isinstance(model, Generator) else {}
        spent = {"budget": dict(case.regime.budget)} if case.regime.budget else {}
        weights = resolved(case.model, self.settings.assets).known
        about = {"device": memory.name(self.settings.device), "dtype": self.settings.dtype, "weights": weights}
        return {**about, **asked, **spent}

    def _embed(self, card: ModelCard, samples: Sequence[Sample]) -> Features:
        import torch

        model = self._model(card)
        if not isinstance(model, DualEncoder):
            raise TypeError(f"{card.name} is a {card.type}; only a dual encoder has image features")

        @torch.inference_mode()
        def embed(images: list[Pictures], _: list[Sample]) -> list[np.ndarray]:
            pixels = model.prepare([first for first, *_ in images])
            return list(model.image_features(pixels).float().cpu().numpy())

        started = time.perf_counter()
        rows = in_batches(samples, embed, self.settings.batch_size, self.progress, f"{card.name}: image features")
        failed = {i: row.reason for i, row in enumerate(rows) if isinstance(row, Failed)}
        known = [row for row in rows if not isinstance(row, Failed)]
        values = np.full((len(rows), known[0].shape[0] if known else 0), np.nan, dtype=np.float32)
        for i, row in enumerate(rows):
            if not isinstance(row, Failed):
                values[i] = row
        return Features(values, failed, time.perf_counter() - started)

    def _model(self, card: ModelCard) -> Model:
        if self._loaded is None or self._loaded[0] != card:
            self._forget_model()
            self._loaded = card, self._load(card)
        return self._loaded[1]

    def _load(self, card: ModelCard) -> Model:
        adapter: Callable[..., Model] = imported(card.adapter)
        if card.type == "served":
            return adapter(card, Cache(self.store.scratch / "served", self.settings.measured_after))
        folder = locate(card, self.settings.assets)
        if self.settings.device.startswith("cuda"):
            repeatable_cuda()
        return adapter(settled(card, self.settings.assets), folder, self.settings.device, self.settings.dtype)

    def _forget_model(self) -> None:
        self._loaded = None
        memory.release()

    def _identity(self, card: ModelCard) -> list[str]:
        if card.type == "served":
            return [card.adapter, endpoint(card).url, card.weights, f"{card.price_in} {card.price_out}"]
        weights = resolved(card, self.settings.assets)
        # Below float32 the size of a batch can change which of two near words a model says.
        batch = "" if self.settings.dtype == "float32" else str(self.settings.batch_size)
        return [
            *(card.adapter, *weights.hashes, card.lora, self.settings.dtype, batch, memory.name(self.settings.device)),
            *(["trusted"] if card.trusted else []),
            *(self._identity(card.base) if card.base else []),
        ]

    def _kept(self, write: Callable[[], object]) -> bool:
        """Store a result and say whether that worked; a full or read-only disk costs the memory of it, not the result."""
        try:
            write()
            return True
        except OSError as error:
            if not self._warned:
                self._warned = True
                warnings.warn(
                    f"the store at {self.store.folder} cannot be written ({error}); what was measured is reported but not kept",
                    MedrivalWarning,
                    stacklevel=2,
                )
            return False


class Bench:
    """What a regime is lent while it works on one case (see `contracts.Workbench`), and the clock of what that costs."""

    def __init__(self, lab: Lab, case: Case) -> None:
        self._lab = lab
        self._case = case
        self._started = time.perf_counter()
        self.seed = case.seed
        self.device = lab.settings.device
        self.batch_size = lab.settings.batch_size
        self.max_new_tokens = _most_tokens(case.model)

    def seconds(self) -> float:
        """Since the start, as if every stored feature had been computed now: a cost does not depend on what ran before."""
        return time.perf_counter() - self._started

    def ask(self, form: Form, question: str, options: Sequence[str] = ()) -> str:
        """The full prompt for a question, worded as the question tasks word theirs."""
        return ask(form, question, options)

    def features(self, samples: Sequence[Sample]) -> Features:
        """Frozen image features of the case's model."""
        asked = time.perf_counter()
        features = self._lab.features(self._case.model, samples)
        self._started += time.perf_counter() - asked - features.seconds
        return features

    def progress(self, items: Iterable[T], label: str) -> Iterable[T]:
        """The same items, with a progress line where a person is watching."""
        return self._lab.progress(items, f"{self._case.id}: {label}")


def _parameters(model: DualEncoder | Generator) -> int:
    return sum(parameter.numel() for parameter in model.module.parameters())


def _most_tokens(card: ModelCard) -> int:
    return MAX_NEW_TOKENS + card.thinking


def _about_answers(case: Case, predictions: Sequence[Prediction]) -> Mapping[str, int]:
    """How long answers and the thoughts before them may have been, and how many thoughts that was too short for."""
    if case.task.kind != "vqa":
        return {}
    cut_off = sum(prediction.error == CUT_OFF for prediction in predictions)
    return {"max_new_tokens": _most_tokens(case.model)} | ({"cut_off": cut_off} if case.model.thinking or cut_off else {})


def _adapters(card: ModelCard) -> tuple[str, ...]:
    return (card.adapter, *(_adapters(card.base) if card.base else ()))


def _predictions(samples: Sequence[Sample], answers: Sequence[Answer]) -> tuple[Prediction, ...]:
    return tuple(_prediction(sample, _concluded(_finite(answer))) for sample, answer in zip(samples, answers, strict=True))


def _finite(answer: Answer) -> Answer:
    """The answer, or a failure where its scores are no numbers: a model that overflows must not end the case."""
    scores = answer.scores if isinstance(answer, Said) else answer if isinstance(answer, tuple) else ()
    return answer if np.isfinite(scores).all() else Failed("the model's scores are not finite")


def _concluded(answer: Answer) -> Answer:
    """The answer without the thought before it, which nothing scores; a failure where it is all thought."""
    if not isinstance(answer, Said):
        return answer
    text = spoken(answer.text)
    return Failed(CUT_OFF) if text is None else Said(text, answer.scores)


def _prediction(sample: Sample, answer: Answer) -> Prediction:
    return Prediction(
        id=sample.id,
        group=sample.group,
        truth=sample.truth,
        scores=answer.scores if isinstance(answer, Said) else answer if isinstance(answer, tuple) else (),
        answer=answer.text if isinstance(answer, Said) else "",
        error=answer.reason if isinstance(answer, Failed) else "",
        question=sample.question,
        form=sample.form,
        options=sample.options,
        skill=sample.skill,
        attributes=dict(sample.attributes),
    )
