"""What every generator promises, as checks: `check_generator` runs them all on an adapter.

Each check raises an AssertionError that says in one sentence which promise is broken. A miniature of the model is enough; its
weights must be so spread that its answers depend on what it is shown.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from PIL import Image as PIL

from medrival.checks.promises import identical, promise, trained_adapters, weights
from medrival.contracts import Generator
from medrival.regimes.adapters import Adapters
from medrival.regimes.whole import free

Load = Callable[[str], Generator]
"""Loads the model anew in a precision: "float32" or "bfloat16"."""

NOISE = 1e-3
"""How far float32 log-likelihoods may be apart, in nats, where only the order of summation differs."""
TOKENS = 12
"""The length of answers."""


@dataclass(frozen=True)
class Question:
    """What a generator is asked, and replies whose likelihood it tells; the first is what it is taught."""

    images: tuple[PIL.Image, ...]
    prompt: str
    replies: tuple[str, ...]


@dataclass(frozen=True)
class Library:
    """The model as the library itself loads it: what an adapter is held against, one question at a time.

    Attributes:
        load: precision -> the model, which has a `generate` that decodes greedily.
        inputs: images and prompt -> its inputs, [1, ...], without padding.
        tokenize: reply -> its tokens where it follows a prompt in the model's own template, without the one that closes it.
        end: the token that closes an answer.
        adapted: the parts that hold language model and projector, by the start of their names.
    """

    load: Callable[[str], Any]
    inputs: Callable[[Sequence[PIL.Image], str], Mapping[str, torch.Tensor]]
    tokenize: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    end: int
    adapted: tuple[str, ...]


Check = Callable[[Load, Library, Sequence[Question]], None]


def check_generator(load: Load, library: Library, questions: Sequence[Question]) -> None:
    """Run every check.

    Args:
        load: precision -> the model, loaded anew each time.
        library: the same model without the adapter.
        questions: seven at least, with prompts and images of unlike sizes; the first has several images.

    Raises:
        AssertionError: for the first promise that is broken.
    """
    for check in CHECKS:
        check(load, library, questions)


def check_answers_are_the_librarys(load: Load, library: Library, questions: Sequence[Question]) -> None:
    """Each question alone is answered as by the library's own greedy `generate`, about one image or several."""
    model, own = load("float32"), library.load("float32")
    expected = [_generated(library, own, question) for question in questions]
    promise(len(set(expected)) > 1, "the library answers every question alike: spread the weights of the miniature")
    for question, answer in zip(questions, expected, strict=True):
        (found,) = _answers(model, [question])
        count = len(question.images)
        promise(found == answer, f"a question about {count} image(s) is answered {found!r}; the library says {answer!r}")


def check_a_batch_changes_no_answer(load: Load, _: Library, questions: Sequence[Question]) -> None:
    """Questions of mixed lengths, image sizes and numbers of images are answered together as alone, in their order."""
    model = load("float32")
    alone = [answer for question in questions for answer in _answers(model, [question])]
    promise(_answers(model, questions) == alone, "a question has another answer in a batch than alone")
    promise(_answers(model, questions[::-1])[::-1] == alone, "answers of a batch depend on the order of its questions")


def check_padding_changes_no_likelihood(load: Load, _: Library, questions: Sequence[Question]) -> None:
    """A short prompt beside a much longer one finds its replies as likely as without padding."""
    model, short = load("float32"), min(questions, key=lambda question: len(question.prompt))
    long = Question(short.images, f"{short.prompt} " * 5, short.replies)
    padded, alone = _likelihoods(model, [short, long])[0], _likelihoods(model, [short])[0]
    promise(_near(padded, alone), f"left padding changes the likelihoods of replies from {alone} to {padded}")


def check_likelihoods_are_the_librarys(load: Load, library: Library, questions: Sequence[Question]) -> None:
    """The log-likelihood of a reply is the sum of the library's log-softmax over the reply's tokens."""
    model, own = load("float32"), library.load("float32")
    for question, found in zip(questions, _likelihoods(model, questions), strict=True):
        expected = [sum(_told(library, own, question, library.tokenize(reply))) for reply in question.replies]
        promise(_near(found, expected), f"the log-likelihoods of replies are {found}; the library's are {expected}")


def check_every_image_counts_in_its_place(load: Load, _: Library, questions: Sequence[Question]) -> None:
    """Several images in another order, or fewer of them, are another question."""
    model, several = load("float32"), questions[0]
    promise(len(several.images) > 1, "the first question must have several images")
    turned = Question(several.images[::-1], several.prompt, several.replies)
    fewer = Question(several.images[:1], several.prompt, several.replies)
    asked, back, less = _likelihoods(model, [several, turned, fewer])
    promise(not _near(asked, back), "the order of several images makes no difference")
    promise(not _near(asked, less), "images after the first make no difference")


def check_answers_alone_are_taught(load: Load, library: Library, questions: Sequence[Question]) -> None:
    """Labels are an answer's tokens and the one that closes it, behind the library's own prompt; the loss is their mean."""
    model, own = load("float32"), library.load("float32")
    taught = _taught(model, questions)
    losses: list[float] = []
    for row, question in enumerate(questions):
        answer = [*library.tokenize(question.replies[0]), library.end]
        seen, label = taught["attention_mask"][row].bool(), taught["labels"][row]
        promise(
            label[label != -100].tolist() == answer, f"what is taught of {question.replies[0]!r} is not its tokens and the end"
        )
        prompt = library.inputs(question.images, question.prompt)["input_ids"][0].tolist()
        told = taught["input_ids"][row][seen].tolist()
        promise(told == prompt + answer, "what is taught does not follow the library's own prompt")
        promise(label[seen][-len(answer) :].tolist() == answer, "labels do not lie on the answer")
        losses += [-value for value in _told(library, own, question, answer)]
    with torch.inference_mode():
        found = float(model.module(**taught, use_cache=False).loss)
    expected = sum(losses) / len(losses)
    promise(math.isclose(found, expected, abs_tol=NOISE), f"the loss is {found}; of the answers' tokens alone it is {expected}")


def check_the_generator_is_ready_for_inference(load: Load, _: Library, __: Sequence[Question]) -> None:
    """Evaluation mode, no gradients."""
    model = load("float32")
    promise(not any(part.training for part in model.module.modules()), "a part of the model is in training mode")
    promise(not any(p.requires_grad for p in model.module.parameters()), "a weight of the model still wants gradients")


def check_the_generator_is_deterministic_and_keeps_no_state(load: Load, _: Library, questions: Sequence[Question]) -> None:
    """The same question has the same answer and likelihoods, whatever was asked in between and however often it is loaded."""
    model = load("float32")
    said, likely, before = _answers(model, questions[:2]), _likelihoods(model, questions[:2]), weights(model.module)
    _answers(model, questions[::-1]), _likelihoods(model, questions[2:]), _taught(model, questions)
    for again, what in ((model, "a second time"), (load("float32"), "from the same files, loaded again,")):
        same = _answers(again, questions[:2]) == said and _likelihoods(again, questions[:2]) == likely
        promise(same, f"the same question has another answer {what}")
    promise(identical(before, weights(model.module)), "inference changed a weight or buffer")


def check_lora_stays_in_language_model_and_projector(load: Load, library: Library, _: Sequence[Question]) -> None:
    """Every layer of `lora` is one of the language model or the projector, and both are there."""
    model = load("float32")
    for name in model.lora:
        promise(name.startswith(library.adapted), f"`lora` names {name}, outside of language model and projector")
    for part in library.adapted:
        promise(any(name.startswith(part) for name in model.lora), f"`lora` names no layer of {part}")


def check_lora_reaches_every_adapter_of_the_generator(load: Load, _: Library, questions: Sequence[Question]) -> None:
    """Every layer of `lora` gets an adapter whose two factors both receive a gradient, and no other weight does."""
    model = load("float32")
    with trained_adapters(model.module, model.lora) as adapters:
        promise(len(adapters.parameters) == 2 * len(model.lora), "LoRA found other layers than `lora` names")
        model.module(**_taught(model, questions), use_cache=False).loss.backward()
        for name, parameter in model.module.named_parameters():
            reached = parameter.grad is not None and bool(parameter.grad.abs().max() > 0)
            promise(reached or name not in adapters.parameters, f"the adapter {name} receives no gradient")
            promise(not reached or name in adapters.parameters, f"{name} is no adapter and receives a gradient")


def check_lora_leaves_no_trace_in_the_generator(load: Load, _: Library, questions: Sequence[Question]) -> None:
    """Adapters change the likelihoods while they are in; afterwards every weight and likelihood is bit-identical."""
    model = load("float32")
    before, likely = weights(model.module), _likelihoods(model, questions[:2])
    with trained_adapters(model.module, model.lora):
        adapted = _likelihoods(model, questions[:2])
    promise(not _near(likely[0], adapted[0]), "adapters do not change what is likely")
    promise(identical(before, weights(model.module)), "a weight of the model itself is another after its adapters were removed")
    promise(_likelihoods(model, questions[:2]) == likely, "likelihoods are others after the adapters were removed")


def check_every_part_can_be_trained_alone(load: Load, library: Library, questions: Sequence[Question]) -> None:
    """Language model and projector learn whole, the image tower in the layers that are looked at; nothing else does."""
    model = load("float32")
    language, projector = library.adapted[0], library.adapted[1:]
    known, before = model.parts, weights(model.module)
    promise(
        all(name.startswith(language) for name in known.language), f"a layer of the language model is outside of {language}"
    )
    promise(
        not any(name.startswith(library.adapted) for name in known.vision), "a layer of the image tower is one of another part"
    )
    if projector:
        promise(all(name.startswith(projector) for name in known.projector), "a weight of the projector is one of another part")
    for what, names, whole in (("language model", known.language, True), ("image tower", known.vision, False)):
        promise(bool(names), f"no layer of its {what} is known")
        with trained_adapters(model.module, names) as adapters:
            _promise_learning(model, questions, adapters, what, whole=whole)
    promise(bool(known.projector), "no weight of its projector is known")
    freed = free(model.module, known.projector)
    _promise_learning(model, questions, freed, "projector", whole=True)
    freed.remove()
    promise(identical(before, weights(model.module)), "a weight is another after parts of the model were trained")


def check_merged_adapters_say_the_same(load: Load, _: Library, questions: Sequence[Question]) -> None:
    """Adapters merged into their layers give the likelihoods that they gave beside them."""
    model = load("float32")
    with trained_adapters(model.module, model.lora):
        (beside,) = _likelihoods(model, questions[:1])
        for part in model.module.modules():
            if isinstance(part, BaseTunerLayer):
                part.merge()
        (merged,) = _likelihoods(model, questions[:1])
    promise(_near(beside, merged), f"merged adapters find replies as likely as {merged}, not as {beside}")


def check_bfloat16_is_the_librarys(load: Load, library: Library, questions: Sequence[Question]) -> None:
    """In bfloat16 each question alone has the library's answer and, bit by bit, its logits; together they go through."""
    model, own = load("bfloat16"), library.load("bfloat16")
    for question in questions:
        (found,), expected = _answers(model, [question]), _generated(library, own, question)
        promise(found == expected, f"in bfloat16 a question is answered {found!r}; the library says {expected!r}")
        answer = [*library.tokenize(question.replies[0]), library.end]
        with torch.inference_mode():
            logits = model.module(**_taught(model, [question]), use_cache=False).logits
            same = torch.equal(logits, own(**_continued(library, own, question, answer), use_cache=False).logits)
        promise(same, "logits in bfloat16 are not the library's")
    likely = [value for row in _likelihoods(model, questions) for value in row]
    promise(all(map(math.isfinite, likely)), "in bfloat16 a batch has likelihoods that are no numbers")


CHECKS: Sequence[Check] = (
    check_the_generator_is_ready_for_inference,
    check_answers_are_the_librarys,
    check_a_batch_changes_no_answer,
    check_padding_changes_no_likelihood,
    check_likelihoods_are_the_librarys,
    check_every_image_counts_in_its_place,
    check_answers_alone_are_taught,
    check_the_generator_is_deterministic_and_keeps_no_state,
    check_lora_stays_in_language_model_and_projector,
    check_lora_reaches_every_adapter_of_the_generator,
    check_lora_leaves_no_trace_in_the_generator,
    check_every_part_can_be_trained_alone,
    check_merged_adapters_say_the_same,
    check_bfloat16_is_the_librarys,
)
"""Every check, for those who would rather run each as a test of its own."""


def _promise_learning(model: Generator, questions: Sequence[Question], trained: Adapters, what: str, *, whole: bool) -> None:
    """That a gradient reaches what is trained, all of it or some, and no other weight."""
    loss = model.module(**_taught(model, questions), use_cache=False).loss
    if loss.requires_grad:
        loss.backward()
    named = model.module.named_parameters()
    reached = {name for name, parameter in named if parameter.grad is not None and bool(parameter.grad.abs().max() > 0)}
    promise(reached <= trained.parameters.keys(), f"training the {what} alone, other weights receive a gradient")
    enough = reached == trained.parameters.keys() if whole else bool(reached)
    promise(enough, f"training the {what} alone, some of it receives no gradient")


@torch.inference_mode()
def _generated(library: Library, own: Any, question: Question) -> str:
    inputs = _continued(library, own, question, ())
    output = own.generate(**inputs, max_new_tokens=TOKENS)
    return library.decode(output[0, inputs["input_ids"].shape[1] :].tolist()).strip()


@torch.inference_mode()
def _told(library: Library, own: Any, question: Question, tokens: Sequence[int]) -> list[float]:
    """The library's log-softmax at each of the tokens, which follow the prompt."""
    inputs = _continued(library, own, question, tokens)
    start = inputs["input_ids"].shape[1] - len(tokens)
    logits = own(**inputs).logits[0].float().log_softmax(dim=-1)
    return [float(logits[start - 1 + place, token]) for place, token in enumerate(tokens)]


def _continued(library: Library, own: Any, question: Question, tokens: Sequence[int]) -> dict[str, torch.Tensor]:
    """The library's inputs of a question, in the precision of its model, with tokens behind the prompt."""
    inputs = dict(library.inputs(question.images, question.prompt))
    prompt, told = inputs["input_ids"], torch.tensor([list(tokens)], dtype=torch.long)
    for name, value in inputs.items():
        if value.shape == prompt.shape:  # marks of each token: seen, and no image
            mark = torch.ones_like(told) if name == "attention_mask" else torch.zeros_like(told)
            inputs[name] = torch.cat([value, mark.to(value)], dim=1)
        elif value.is_floating_point():
            inputs[name] = value.to(own.dtype)
    inputs["input_ids"] = torch.cat([prompt, told], dim=1)
    return inputs


def _answers(model: Generator, questions: Sequence[Question]) -> list[str]:
    found = model.answer([q.images for q in questions], [q.prompt for q in questions], TOKENS)
    answers = [answer for answer in found if isinstance(answer, str)]
    promise(len(answers) == len(questions), "a question has no answer")
    return answers


def _likelihoods(model: Generator, questions: Sequence[Question]) -> list[tuple[float, ...]]:
    promise(model.loglikelihood is not None, "the model tells no likelihoods")
    assert model.loglikelihood
    return model.loglikelihood([q.images for q in questions], [q.prompt for q in questions], [q.replies for q in questions])


def _taught(model: Generator, questions: Sequence[Question]) -> Mapping[str, torch.Tensor]:
    return model.teach([q.images for q in questions], [q.prompt for q in questions], [q.replies[0] for q in questions])


def _near(one: Sequence[float], other: Sequence[float]) -> bool:
    return all(math.isclose(a, b, abs_tol=NOISE) for a, b in zip(one, other, strict=True))
