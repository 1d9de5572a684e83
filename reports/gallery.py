"""A few samples of each task with what every model said about them."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from math import isfinite
from statistics import fmean
from typing import TYPE_CHECKING

from medrival.contracts import Prediction
from medrival.errors import MedrivalError
from medrival.reports.record import CaseRecord
from medrival.tasks.metrics.vqa import accuracy

if TYPE_CHECKING:
    from PIL.Image import Image

Images = Callable[[str, str], "Image | None"]
"""(task, sample id) -> the decoded image, or None where there is none. May raise UnreadableImage."""

SHOWN = 6  # samples a task
SIDE = 128  # pixels, of a thumbnail
LENGTH = 300  # characters of an answer


@dataclass(frozen=True)
class Said:
    """What one model said about a sample after one regime."""

    model: str
    regime: str
    answer: str
    right: bool


@dataclass(frozen=True)
class Shown:
    """One sample. `picture` is a data URI; where it is "", `absent` says why."""

    id: str
    question: str
    truth: str
    picture: str
    absent: str
    said: tuple[Said, ...]


def gallery(cases: Sequence[CaseRecord], images: Images) -> Mapping[str, list[Shown]]:
    """Chosen samples by task. With several seeds, the first of each model and regime speaks."""
    tasks: dict[str, dict[tuple[str, str], CaseRecord]] = {}
    for case in cases:
        if case.status == "measured" and case.predictions:
            tasks.setdefault(case.task, {}).setdefault((case.model, case.regime), case)
    return {task: _shown(list(asked.values()), images) for task, asked in tasks.items()}


def _shown(cases: list[CaseRecord], images: Images) -> list[Shown]:
    said: dict[str, list[tuple[Prediction, Said]]] = {}
    for case in cases:
        for prediction in case.predictions:
            right = correct(prediction, case.classes)
            words = Said(case.model, case.regime, clip(_answer(prediction, case.classes)), right)
            said.setdefault(prediction.id, []).append((prediction, words))
    chosen = choose({sample: [words.right for _, words in answers] for sample, answers in said.items()})
    return [_sample(cases[0], said[sample], images) for sample in chosen]


def choose(marks: Mapping[str, Sequence[bool]]) -> list[str]:
    """Samples on which models disagree most, then one that all and one that none got right; the same every time."""

    def split(sample: str) -> tuple[float, str]:
        return abs(fmean(marks[sample]) - 0.5), sha256(repr(sample).encode()).hexdigest()

    order = sorted(marks, key=split)
    mixed = [sample for sample in order if len(set(marks[sample])) > 1][: SHOWN - 2]
    easy = [sample for sample in order if all(marks[sample])][:1]
    hard = [sample for sample in order if not any(marks[sample])][:1]
    return list(dict.fromkeys([*mixed, *easy, *hard, *order]))[:SHOWN]


def correct(prediction: Prediction, classes: Sequence[str]) -> bool:
    """Whether the sample counts as right in the task's accuracy; one that failed never does."""
    if prediction.error:
        return False
    if prediction.form == "label":
        return _most_probable(prediction, classes) == prediction.truth
    return accuracy(prediction) == 1.0


def clip(text: str, length: int = LENGTH) -> str:
    """The text, cut where it is longer, saying how long it was."""
    return text if len(text) <= length else f"{text[:length]} ... ({len(text):,} characters)"


def _answer(prediction: Prediction, classes: Sequence[str]) -> str:
    if prediction.error:
        return f"failed: {prediction.error}"
    if prediction.form == "label":
        return f"{_most_probable(prediction, classes) or 'no class'} ({max(prediction.scores, default=0.0):.2f})"
    return prediction.answer or "(nothing)"


def _most_probable(prediction: Prediction, classes: Sequence[str]) -> str | None:
    if not prediction.scores or not all(map(isfinite, prediction.scores)):
        return None
    return classes[prediction.scores.index(max(prediction.scores))]


def _sample(case: CaseRecord, said: list[tuple[Prediction, Said]], images: Images) -> Shown:
    asked = said[0][0]
    options = () if asked.form == "open" else asked.options or case.classes
    question = asked.question or "Which class?"
    picture, absent = _picture(images, case.task, asked.id)
    return Shown(
        asked.id,
        clip(question + (f" ({' / '.join(options)})" if options else "")),
        clip(asked.truth),
        picture,
        clip(absent),
        tuple(words for _, words in said),
    )


def _picture(images: Images, task: str, sample: str) -> tuple[str, str]:
    """A JPEG data URI of at most SIDE x SIDE pixels, or "" and the reason."""
    file = BytesIO()
    try:
        image = images(task, sample)
        if image is None:
            return "", "no image at hand"
        small = image.convert("RGB")
        small.thumbnail((SIDE, SIDE))
        small.save(file, "JPEG", quality=85)
    except (MedrivalError, OSError) as error:
        return "", str(error)
    return f"data:image/jpeg;base64,{b64encode(file.getvalue()).decode()}", ""
