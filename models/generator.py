"""Models that answer in words: image and prompt in, text out."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from medrival.batches import at_once
from medrival.catalog import ModelCard
from medrival.contracts import NOT_FINITE, Failed, Generator, Images, Turn
from medrival.errors import BrokenModel
from medrival.models.checkpoint import load_module, load_processor
from medrival.models.conversation import asked_by
from medrival.models.parts import adapted, parts
from medrival.models.remembered import remember
from medrival.models.wording import Tokens, wording


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

    how = wording(card, processor, module.generation_config.eos_token_id)
    pad = how.tokenizer.pad_token_id
    # A checkpoint's own sampling, beams or repetition penalty would make decoding unequal in a pair.
    module.generation_config = GenerationConfig(do_sample=False, eos_token_id=how.end, pad_token_id=pad)

    def ask(images: Images, prompts: Sequence[str], earlier: Sequence[Sequence[Turn]] = ()) -> dict[str, torch.Tensor]:
        texts, shown = how.put(images, prompts, earlier)
        batch = processor(images=shown, text=texts, padding=True, add_special_tokens=how.adds_start(texts), return_tensors="pt")
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
        texts = how.read(output[:, prompt.shape[1] :])
        return [Failed(NOT_FINITE) if gone else text for text, gone in zip(texts, lost.tolist(), strict=True)]

    def teach(images: Images, prompts: Sequence[str], answers: Sequence[str]) -> Mapping[str, torch.Tensor]:
        return _followed_by(module, ask(images, prompts), [(*how.reply(text), how.closing) for text in answers], pad)

    @torch.inference_mode()
    def loglikelihood(images: Images, prompts: Sequence[str], replies: Sequence[Sequence[str]]) -> list[tuple[float, ...]]:
        wanted = [[how.reply(reply) for reply in candidates] for candidates in replies]
        rows = [(i, head) for i, candidates in enumerate(wanted) for head in _heads(candidates)]
        found: list[dict[Tokens, float]] = [{} for _ in images]
        for some in at_once(len(rows), module.device.type, most=len(images)):  # what the caller thought would fit
            chunk = rows[some]
            inputs = ask([images[i] for i, _ in chunk], [prompts[i] for i, _ in chunk])
            heads = [head for _, head in chunk]
            for (i, head), logits in zip(chunk, _next_tokens(module, inputs, heads, pad), strict=True):
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
        loglikelihood=None if how.thinks else loglikelihood,  # replies follow a thought that is not there yet
    )


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
