"""What is scored without a look at the image: by one answer to everything, and by the words of the question."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import fields

from medrival.contracts import Prediction, Sample, Task
from medrival.integrity import Blind
from medrival.tasks.audit.balance import classes_of
from medrival.tasks.audit.words import answered
from medrival.tasks.chinese import IN_ENGLISH
from medrival.tasks.metrics import primary, values
from medrival.tasks.metrics.vqa import CLOSED

HINDSIGHT = "the test split, in hindsight"
_ASKED = {field.name for field in fields(Prediction)} & {field.name for field in fields(Sample)}


def constant(task: Task) -> Blind:
    """The best answer that is always the same: chosen on training samples, in hindsight where there are none of the kind."""
    return _same_class(task) if task.kind == "diagnosis" else _same_reply(task)


def question_only(task: Task) -> Blind | None:
    """A linear model of the words of question and options; open questions get the constant answer. None for a diagnosis.

    It never learns from the question that it answers: where there are no training questions of a form, those of the test
    are answered by models of the others, of other patients or images.
    """
    if not any(sample.form in CLOSED for sample in task.test):
        return None
    often, learnt_on = _often(task), []
    said: dict[str, str] = {}
    for form in CLOSED:
        test, train = _of(task.test, form), _of(task.train, form)
        if test and (found := answered(test, train)):
            said |= found
            where = f"{len(train):,} training questions" if train else "the test split, cross-validated by group"
            learnt_on.append(f"{form}: {where}")
    if not learnt_on:
        return None
    replies = [said.get(sample.id, often[sample.form]) for sample in task.test]
    return _scored(task, replies, "by the words of question and options", "; ".join(learnt_on))


def _same_class(task: Task) -> Blind:
    known = task.train or task.test
    count = Counter(name for sample in known for name in classes_of(sample))
    shares = tuple(count[name] / max(len(known), 1) for name in task.classes)
    predictions = [_prediction(sample, scores=shares) for sample in task.test]
    often = max(task.classes, key=lambda name: count[name], default="")
    return _measured(task, predictions, f"always {often!r}", "the training split" if task.train else HINDSIGHT)


def _same_reply(task: Task) -> Blind:
    often = _often(task)
    unseen = [form for form in often if not _of(task.train, form)]
    where = "the training split" if not unseen else HINDSIGHT
    where += f" ({', '.join(unseen)})" if unseen and len(unseen) < len(often) else ""
    said = ", ".join(f"{form}: always {reply!r}" for form, reply in often.items())
    return _scored(task, [often[sample.form] for sample in task.test], said, where)


def _often(task: Task) -> dict[str, str]:
    """The constant reply by form of question."""
    forms = sorted({sample.form for sample in task.test})
    return {form: _most_frequent(_of(task.train, form) or _of(task.test, form)) for form in forms}


def _most_frequent(samples: Sequence[Sample]) -> str:
    """Yes in Chinese counts as yes, as which it is read: else a set in two languages would have two halves of one answer."""
    counted = Counter(IN_ENGLISH.get(sample.reply, sample.reply) for sample in samples)
    return min(counted, key=lambda reply: (-counted[reply], reply))


def _of(samples: Sequence[Sample], form: str) -> list[Sample]:
    return [sample for sample in samples if sample.form == form]


def _scored(task: Task, replies: Sequence[str], answers: str, learnt_on: str) -> Blind:
    predictions = [_prediction(sample, answer=reply) for sample, reply in zip(task.test, replies, strict=True)]
    return _measured(task, predictions, answers, learnt_on)


def _measured(task: Task, predictions: Sequence[Prediction], answers: str, learnt_on: str) -> Blind:
    decides = primary(task.kind, predictions)
    found: Mapping[str, float | None] = {
        name: values(task.kind, name, predictions, task.classes)[name] for name in dict.fromkeys((decides, "accuracy"))
    }
    return Blind(answers, learnt_on, decides, found)


def _prediction(sample: Sample, *, scores: tuple[float, ...] = (), answer: str = "") -> Prediction:
    return Prediction(**{name: getattr(sample, name) for name in _ASKED}, scores=scores, answer=answer)
