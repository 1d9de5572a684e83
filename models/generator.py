"""Models that answer in words: image and prompt in, text out."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from medrival.batches import at_once
from medrival.catalog import ModelCard
from medrival.contracts import NOT_FINITE, Failed, Generator, Images, Turn
from medrival.errors import BrokenData, BrokenModel
from medrival.models.checkpoint import load_module, load_processor
from medrival.models.conversation import PROBE, Conversation, as_words, asked_by, conversation
from medrival.models.parts import adapted, parts
from medrival.models.remembered import remember

Tokens = tuple[int, ...]
THINKS, ANSWERS = "<think>", "</think>"


def transformers(card: ModelCard, folder: Path, device: str, dtype: str) -> Generator:
    """Any `AutoModelForImageTextToText`, with its chat template or, where it has none, a plain prompt.

    Raises:
        BrokenModel: the directory does not load, or its processor has no tokenizer.
        OutOfMemory: the weights do not fit.
    """
    from transformers import AutoModelForImageTextToText

    module = load_module(card, AutoModelForImageTextToText, folder, device, dtype)
    return speaking(card, module, load_processor(card, folder))


def speaking(card: ModelCard, module: Any, processor: Any) -> Generator:
    """A network and its processor as a generator: greedy, whatever the checkpoint would rather do.

    Raises:
        BrokenModel: the processor has no tokenizer, or its chat template places no images.
    """
    from transformers import GenerationConfig

    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None:
        raise BrokenModel(f"{card.name}: it has no tokenizer beside its image processor")
    tokenizer.padding_side = "left"  # so that every answer starts where its prompt ends
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    end = _end_tokens(module, tokenizer)
    # A checkpoint's own sampling, beams or repetition penalty would make decoding unequal in a pair.
    module.generation_config = GenerationConfig(do_sample=False, eos_token_id=end, pad_token_id=tokenizer.pad_token_id)

    said, words = conversation(card, processor), as_words(processor)
    closing, tokens_of = _closing_token(said, tokenizer, end), _reply_tokens(said, tokenizer)
    begun = THINKS if said(PROBE, 0, None).rstrip().endswith(THINKS) else ""  # by the template
    if (card.thinking or begun) and not _says(tokenizer, ANSWERS):
        raise BrokenModel(f"{card.name}: its tokenizer leaves {ANSWERS} out of texts: thoughts could not be told from answers")

    def ask(images: Images, prompts: Sequence[str], earlier: Sequence[Sequence[Turn]] = ()) -> dict[str, torch.Tensor]:
        turns = earlier or [()] * len(prompts)
        told = [[(words(turn.prompt), len(turn.images), words(turn.answer)) for turn in before] for before in turns]
        texts = [said(words(prompts[i]), len(images[i]), None, told[i]) for i in range(len(prompts))]
        images = [[*(image for turn in turns[i] for image in turn.images), *images[i]] for i in range(len(images))]
        _refuse_unplaced(card, processor, texts, images)
        # Some templates write the start token themselves; it must not be there twice.
        started = bool(tokenizer.bos_token) and texts[0].startswith(tokenizer.bos_token)
        batch = processor(
            images=[list(shown) for shown in images],
            text=texts,
            padding=True,
            add_special_tokens=not started,
            return_tensors="pt",
        )
        if not bool(batch["attention_mask"][:, -1].all()):
            raise BrokenModel(f"{card.name}: its processor pads prompts on the right; answers would not start where they end")
        return {name: _on(value, module) for name, value in batch.items()}

    def answer(
        images: Images, prompts: Sequence[str], max_new_tokens: int, earlier: Sequence[Sequence[Turn]] = ()
    ) -> list[str | Failed]:
        some = at_once(len(prompts), module.device.type)
        return [text for one in some for text in answer_at_once(images[one], prompts[one], max_new_tokens, earlier[one])]

    @torch.inference_mode()
    def answer_at_once(
        images: Images, prompts: Sequence[str], max_new_tokens: int, earlier: Sequence[Sequence[Turn]]
    ) -> list[str | Failed]:
        inputs = ask(images, prompts, earlier)
        prompt = inputs["input_ids"]
        lost = torch.zeros(len(prompt), dtype=torch.bool, device=prompt.device)

        def watch(_: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
            lost.logical_or_(~logits.amax(dim=-1).isfinite().to(lost.device))
            return logits

        output = module.generate(**inputs, max_new_tokens=max_new_tokens, logits_processor=[watch])
        if not torch.equal(output[:, : prompt.shape[1]], prompt):
            raise BrokenModel(
                f"{card.name}: {type(module).__name__} does not continue its prompt; it needs an adapter of its own"
            )
        tokens = output[:, prompt.shape[1] :]
        texts = tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [Failed(NOT_FINITE) if gone else begun + text.strip() for text, gone in zip(texts, lost.tolist(), strict=True)]

    def teach(images: Images, prompts: Sequence[str], answers: Sequence[str]) -> Mapping[str, torch.Tensor]:
        inputs = ask(images, prompts)
        return _followed_by(module, inputs, [(*tokens_of(words(text)), closing) for text in answers], tokenizer.pad_token_id)

    @torch.inference_mode()
    def loglikelihood(images: Images, prompts: Sequence[str], replies: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        wanted = [[tokens_of(words(reply)) for reply in candidates] for candidates in replies]
        rows = [(i, head) for i, candidates in enumerate(wanted) for head in _heads(candidates)]
        found: list[dict[Tokens, float]] = [{} for _ in images]
        for some in at_once(len(rows), module.device.type, most=len(images)):  # what the caller thought would fit
            chunk = rows[some]
            inputs = ask([images[i] for i, _ in chunk], [prompts[i] for i, _ in chunk])
            heads = [head for _, head in chunk]
            for (i, head), logits in zip(chunk, _next_tokens(module, inputs, heads, tokenizer.pad_token_id), strict=True):
                for reply in wanted[i]:
                    if head[: len(reply) - 1] == reply[:-1]:
                        found[i][reply] = sum(logits[place, token].item() for place, token in enumerate(reply))
        return [tuple(known[reply] for reply in candidates) for known, candidates in zip(found, wanted, strict=True)]

    lora = adapted(card, module)
    remember(module)
    return Generator(
        module=module,
        lora=lora,
        parts=parts(module, lora),
        asked_by=asked_by(processor),
        answer=answer,
        teach=teach,
        loglikelihood=None if card.thinking or begun else loglikelihood,  # replies follow a thought that is not there yet
    )


def _refuse_unplaced(card: ModelCard, processor: Any, texts: Sequence[str], images: Images) -> None:
    """A template that leaves out what stands in earlier turns would show images without their questions."""
    place = getattr(processor, "image_token", "<image>")
    for text, shown in zip(texts, images, strict=True):
        if text.count(place) != len(shown):
            raise BrokenModel(
                f"{card.name}: its chat template places {text.count(place)} of {len(shown)} images of a conversation; "
                "it cannot be shown solved examples"
            )


def _reply_tokens(said: Conversation, tokenizer: Any) -> Callable[[str], Tokens]:
    """Reply -> its tokens as they follow a prompt, which is how it is taught and scored, without the token that closes it.

    White space that the template writes between its generation prompt and an answer belongs to the reply, and so does the end
    of a thought that the template has begun. The tokens are read off the whole text, as some tokenizers begin every text with a
    space of their own. Where the template writes anything else there, or a reply runs into the last token of the prompt, its
    tokens are those of the reply alone.

    Raises:
        BrokenData: for a reply without a token; by the function that is returned.
    """

    def tokens(text: str) -> Tokens:
        return tuple(tokenizer(text, add_special_tokens=False)["input_ids"])

    asked, answered = said("?", 0, None), said("?", 0, PROBE)
    prompt, begins = tokens(asked), _white_space(asked, answered)
    if asked.rstrip().endswith(THINKS):
        begins = f"{ANSWERS}\n\n"

    def tokens_of(reply: str) -> Tokens:
        alone = tokens(reply)
        if not alone:
            raise BrokenData(f"the reply {reply!r} has no token; it can be neither taught nor scored")
        whole = () if begins is None else tokens(asked + begins + reply)
        return whole[len(prompt) :] if whole[: len(prompt)] == prompt else alone

    return tokens_of


def _white_space(asked: str, answered: str) -> str | None:
    """What the template writes between its generation prompt and an answer; None where that is more than white space."""
    written, found, _ = answered.removeprefix(asked).partition(PROBE)
    return written if found and answered.startswith(asked) and not written.strip() else None


def _heads(replies: Sequence[Tokens]) -> list[Tokens]:
    """The fewest continuations of a prompt behind which every reply's tokens are foretold: one for single letters."""
    heads = dict.fromkeys(reply[:-1] for reply in replies)
    return [head for head in heads if not any(len(other) > len(head) == _shared(head, other) for other in heads)]


def _shared(one: Tokens, other: Tokens) -> int:
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


def _next_tokens(module: Any, inputs: Mapping[str, torch.Tensor], heads: Sequence[Tokens], pad: int) -> torch.Tensor:
    """Log-probabilities [rows, 1 + longest head, vocabulary], float32, of the token behind each prompt and each of its head."""
    told = _followed_by(module, inputs, heads, pad)
    del told["labels"]
    places = 1 + max(map(len, heads))
    kept = {"logits_to_keep": places} if "logits_to_keep" in inspect.signature(module.forward).parameters else {}
    logits = module(**told, use_cache=False, **kept).logits[:, -places:]
    return logits.float().log_softmax(dim=-1).cpu()


def _followed_by(
    module: Any, inputs: Mapping[str, torch.Tensor], answers: Sequence[Tokens], pad: int
) -> dict[str, torch.Tensor]:
    """Prompts (padded left) and answers (padded right) side by side, with labels on the answers alone."""
    prompts = inputs["input_ids"]
    width = max(len(answer) for answer in answers)
    tokens = torch.full((len(answers), width), pad, dtype=prompts.dtype, device=prompts.device)
    labels = torch.full_like(tokens, -100)
    for row, answer in enumerate(answers):
        tokens[row, : len(answer)] = labels[row, : len(answer)] = torch.tensor(answer).to(prompts)
    taught = _continued(module, inputs, width)
    taught["input_ids"] = torch.cat([prompts, tokens], dim=1)
    taught["attention_mask"] = torch.cat([inputs["attention_mask"], (labels != -100).to(inputs["attention_mask"])], dim=1)
    taught["labels"] = torch.cat([torch.full_like(prompts, -100), labels], dim=1)
    return taught


def _continued(module: Any, inputs: Mapping[str, torch.Tensor], width: int) -> dict[str, torch.Tensor]:
    """Inputs in which so many tokens more have what processors give each token, as `generate` gives it to what it generates.

    PaliGemma's types say which tokens see each other: those of a prompt all do, those of an answer none behind itself.
    """
    longer = module._update_model_kwargs_for_generation({}, dict(inputs))  # what it is by family, the library says here alone
    grown = {name: value for name, value in longer.items() if value.shape != inputs[name].shape}
    return dict(inputs) | {
        name: torch.cat([inputs[name], value[:, -1:].expand(-1, width)], dim=1) for name, value in grown.items()
    }


def _on(value: torch.Tensor, module: Any) -> torch.Tensor:
    return value.to(module.device, module.dtype if value.is_floating_point() else None)


def _end_tokens(module: Any, tokenizer: Any) -> list[int]:
    end = module.generation_config.eos_token_id
    known = end if isinstance(end, list) else [end]
    return [token for token in dict.fromkeys([tokenizer.eos_token_id, *known]) if token is not None]


def _says(tokenizer: Any, mark: str) -> bool:
    """Whether a mark that a model writes is still there when its tokens are read."""
    return mark in str(tokenizer.decode(tokenizer(mark, add_special_tokens=False)["input_ids"], skip_special_tokens=True))


def _closing_token(said: Conversation, tokenizer: Any, end: Sequence[int]) -> int:
    """What closes an answer: the end token that the chat template writes behind one, else the tokenizer's own."""
    behind = said("?", 0, PROBE).rpartition(PROBE)[2]
    return next((token for token in tokenizer(behind, add_special_tokens=False)["input_ids"] if token in end), end[0])
