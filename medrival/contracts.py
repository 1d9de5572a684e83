"""What the three axes hand each other: samples, predictions, and what a model can do.

Models, tasks and regimes import this module and never one another. It imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from string import ascii_uppercase
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar

if TYPE_CHECKING:
    import numpy as np
    import torch
    from PIL import Image as PIL

T = TypeVar("T")

TaskKind = Literal["diagnosis", "vqa"]
ModelType = Literal["dual-encoder", "generator", "engine", "served"]
Form = Literal["label", "findings", "closed", "choice", "open"]


class Image(Protocol):
    """An image that is decoded only when it is needed."""

    def open(self) -> PIL.Image:
        """Decode to 8-bit RGB.

        Raises:
            UnreadableImage: naming the image and what is wrong with it.
        """

    @property
    def digest(self) -> str:
        """A hash of everything that decides the pixels."""


@dataclass(frozen=True)
class Sample:
    """One thing a model is tested on.

    Attributes:
        id: unique within its task.
        image: decoded on demand.
        group: the patient (or, where patients are unknown, the image): the cluster of the bootstrap.
        truth: the class name (diagnosis); names joined by "|" where the form is "findings", "" for none of them; the
            reference answer (vqa).
        prompt: what a generator is asked, in full; empty for a diagnosis.
        question: the question alone, for display.
        form: "label" (a diagnosis of one class), "findings" (a diagnosis whose classes are independent: several, one or
            none), "closed" (yes or no, or one of few words), "choice" (lettered options), "open".
        options: what may be answered: the two words of a yes/no question, the option texts of a choice; of an open question
            with several right answers all of these, the truth first.
        skill: "understanding", "reasoning" or unknown ("").
        attributes: subgroups such as {"sex": "female", "age": "40-59"}.
        more_images: the others, in order, of a question about several.
    """

    id: str
    image: Image
    group: str
    truth: str
    prompt: str = ""
    question: str = ""
    form: Form = "label"
    options: tuple[str, ...] = ()
    skill: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    more_images: tuple[Image, ...] = ()

    @property
    def images(self) -> tuple[Image, ...]:
        """Every image, in the order in which a generator is shown them."""
        return (self.image, *self.more_images)

    @property
    def reply(self) -> str:
        """What the prompt asks for, in the form it asks for: the letter of a choice, else the truth."""
        return (
            self.replies[self.options.index(self.truth)] if self.form == "choice" and self.truth in self.options else self.truth
        )

    @property
    def replies(self) -> tuple[str, ...]:
        """What the prompt lets be answered, one an option: the letters of a choice, else the options themselves."""
        return tuple(ascii_uppercase[: len(self.options)]) if self.form == "choice" else self.options


@dataclass(frozen=True)
class Prediction:
    """What a model said about one sample, with all that is needed to score it later without the data.

    Attributes:
        scores: probability of each class, in the order of the task's classes (diagnosis); of each option, in their order, by
            the likelihood of its reply, where the model gives that (vqa).
        answer: the model's words (vqa).
        thought: all that it wrote, where only a part of it is its answer; never scored.
        error: why the sample failed, or "". A failed sample counts as wrong.
    """

    id: str
    group: str
    truth: str
    scores: tuple[float, ...] = ()
    answer: str = ""
    error: str = ""
    question: str = ""
    form: Form = "label"
    options: tuple[str, ...] = ()
    skill: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)
    thought: str = ""


@dataclass(frozen=True)
class Task:
    """A loaded data set with its split; no image is decoded yet.

    Attributes:
        classes: class names in label order (diagnosis).
        prompts: one text a class, for zero-shot classification (diagnosis).
        ensembles: several texts a class, the class's prompt first, where the row has `templates` (diagnosis).
        fingerprint: sha256 over everything that decides samples, order and pixels.
        notes: what a reader of a score must know, e.g. {"test_images_in_train": 202}.
    """

    name: str
    kind: TaskKind
    train: tuple[Sample, ...]
    validation: tuple[Sample, ...]
    test: tuple[Sample, ...]
    fingerprint: str
    classes: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    notes: Mapping[str, Any] = field(default_factory=dict)
    ensembles: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class DualEncoder:
    """What every contrastive model can do.

    Attributes:
        module: the whole network.
        tower: the image tower, a part of `module`; adapters go in here.
        lora: full names (in `tower`) of the linear layers that LoRA adapts.
        prepare: images -> pixels [n, 3, height, width] on the CPU, or whatever rows `image_features` takes.
        image_features: pixels -> features [n, queries * dim], projected and not normalised; differentiable.
        text_features: texts -> features [n, dim], projected and not normalised; differentiable.
        scale: what cosine similarities are multiplied with before the softmax.
        queries: how many vectors an image has, side by side; it is as similar to a text as the most similar of them.
    """

    module: torch.nn.Module
    tower: torch.nn.Module
    lora: tuple[str, ...]
    prepare: Callable[[Sequence[PIL.Image]], torch.Tensor]
    image_features: Callable[[torch.Tensor], torch.Tensor]
    text_features: Callable[[Sequence[str]], torch.Tensor]
    scale: float
    queries: int = 1


Images = Sequence[Sequence["PIL.Image"]]
"""The images of each prompt, in order; they stand before its words."""


@dataclass(frozen=True)
class Turn:
    """A question that was asked and answered earlier in the same conversation, with its images."""

    images: tuple[PIL.Image, ...]
    prompt: str
    answer: str


class Answering(Protocol):
    """How a generator answers."""

    def __call__(
        self, images: Images, prompts: Sequence[str], max_new_tokens: int, earlier: Sequence[Sequence[Turn]] = ()
    ) -> list[str | Failed]:
        """An answer to each prompt about its images; `earlier`, where there is any, has the turns before each."""


Likelihoods = Callable[[Images, Sequence[str], Sequence[Sequence[str]]], list[tuple[float, ...]]]


@dataclass(frozen=True)
class Parts:
    """What of a generator's network may be trained, by full names in it.

    Attributes:
        language: linear layers of the language model, of those that LoRA adapts.
        projector: parameters of the projector, among them matrices that belong to no layer.
        vision: linear layers of the image tower.
    """

    language: tuple[str, ...]
    projector: tuple[str, ...]
    vision: tuple[str, ...]


@dataclass(frozen=True)
class Generator:
    """What every model that answers in words can do; a prompt has one image or several.

    Attributes:
        module: the whole network.
        lora: full names of the linear layers of language model and projector that LoRA adapts.
        parts: what else may be trained of it.
        asked_by: "chat template", with the day that it takes for today where it asks, or "plain prompt", for the record.
        answer: images and prompts -> answers: greedy, at most the given number of new tokens, without the prompt. A thought
            before an answer stands between <think> and </think>. Failed where the network overflowed. Earlier turns are put
            as the model's chat template has them, or one after the other where it has none.
        teach: images, prompts and wished-for answers -> model inputs with labels on the answer's tokens only.
        loglikelihood: images, prompts and candidate replies to each -> the log-likelihood of each: the sum of the (float32)
            log-probabilities of the reply's tokens, as `teach` writes them, given image and prompt. The token that closes a
            reply does not count (as in EleutherAI's lm-evaluation-harness). None where the model does not give it.
    """

    module: torch.nn.Module
    lora: tuple[str, ...]
    parts: Parts
    asked_by: str
    answer: Answering
    teach: Callable[[Images, Sequence[str], Sequence[str]], Mapping[str, torch.Tensor]]
    loglikelihood: Likelihoods | None = None


@dataclass(frozen=True)
class Engine:
    """What a generator can do that an inference engine runs: answer. Nothing of it can be trained.

    Attributes:
        name: of the engine, with its version, for the record.
        parameters: how many the model has; None where that is unknown.
        asked_by: as a Generator's, and so are `answer` and `loglikelihood`.
        close: ends the engine and gives its memory back; there are no answers any more.
    """

    name: str
    parameters: int | None
    asked_by: str
    answer: Answering
    loglikelihood: Likelihoods | None
    close: Callable[[], object]


Answerer = Generator | Engine
"""What answers in words on this machine."""


@dataclass(frozen=True)
class Served:
    """What a model behind an endpoint can do: answer in words.

    Attributes:
        answer: samples -> an answer of at most so many new tokens to each one's prompt, and what is to be recorded of them,
            such as the tokens spent. Of that `unanswered` is how many failed for reasons that have passed when they are asked
            again.
    """

    answer: Callable[[Sequence[Sample], Workbench, int], tuple[list[Answer], Mapping[str, Any]]]


NOT_FINITE = "the model's scores are not finite"


@dataclass(frozen=True)
class Failed:
    """Stands where a prediction would be, for a sample that could not be predicted."""

    reason: str


@dataclass(frozen=True)
class Said:
    """An answer in words, with the probability of each option where the question has options and the model gives it.

    Attributes:
        boxed: whether the words are a thought, of which the answer is what the last box holds.
    """

    text: str
    scores: tuple[float, ...] = ()
    boxed: bool = False


Answer = tuple[float, ...] | Said | Failed
"""What a model says about a sample: class probabilities (diagnosis), words (vqa), or why it could not."""


@dataclass(frozen=True)
class Features:
    """Frozen image features of some samples.

    Attributes:
        values: [samples, dim] float32, not normalised; rows of failed samples are NaN.
        failed: why, by row.
        seconds: how long they took to compute.
    """

    values: np.ndarray
    failed: Mapping[int, str]
    seconds: float = 0.0


@dataclass(frozen=True)
class Adapted:
    """A model after a regime, ready to be tested.

    Attributes:
        predict: samples -> an answer for each.
        trainable_parameters: how many numbers the regime fitted.
        notes: for the record: what was chosen on validation data, which training samples could not be read. They are read after
            the last prediction, which may add to them.
        undo: gives the model back as it was, bit for bit.
        steps: of the optimiser, over all that was tried.
        samples_seen: training samples that went through the model, over all that was tried, as often as they did.
        save: writes what was trained into a folder, in peft's format, so that it can be loaded again; None where nothing can.
    """

    predict: Callable[[Sequence[Sample]], list[Answer]]
    trainable_parameters: int = 0
    notes: Mapping[str, Any] = field(default_factory=dict)
    undo: Callable[[], object] = lambda: None
    steps: int = 0
    samples_seen: int = 0
    save: Callable[[Path], object] | None = None


class Workbench(Protocol):
    """What the engine lends a regime while it works on one case."""

    seed: int
    seeds: tuple[int, ...]
    """All of the run: what costs little more for all of them than for one may be solved for all (see `once`)."""
    device: str
    batch_size: int
    max_new_tokens: int
    """Of an answer, and of the thought before it where the model's row allows for one."""

    @property
    def weights(self) -> str:
        """What an adapter says that it was trained on: the row's weights, or a directory; "" where nothing names the model."""

    @property
    def checkpoints(self) -> Path:
        """A folder of this case alone, where a training may keep how far it is; it is gone once the case is measured."""

    def once(self, name: str, work: Callable[[], T], cases: int = 1) -> T:
        """What `work` gives, done once for all cases of this model and task that ask for this name.

        Its time counts in each of them as that of one of so many `cases`.
        """

    def ask(self, form: Form, question: str, options: Sequence[str] = ()) -> str:
        """The full prompt for a question, worded as the question tasks word theirs."""

    def reasoned(self, prompt: str) -> str:
        """The same prompt, asking to reason first and to put the answer into a box."""

    def features(self, samples: Sequence[Sample]) -> Features:
        """Frozen image features of the case's model, from the store where they are known."""

    def progress(self, items: Iterable[T], label: str) -> Iterable[T]:
        """The same items, with a progress line where a person is watching."""


Loader = Callable[[Any, "Path | None", "Path"], Task]
"""How a task row becomes a task: (row, assets folder or None, cache folder) -> Task."""
