"""Generators that vLLM runs: the prompts and images of every generator, in batches of vLLM's making; nothing is trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medrival import memory
from medrival.catalog import ModelCard
from medrival.contracts import NOT_FINITE, Engine, Failed, Generator, Images, Turn
from medrival.errors import BrokenModel, first_line
from medrival.models import generator, llava
from medrival.models.checkpoint import load_processor
from medrival.models.compared import likelihoods, probes, refuse_unlike
from medrival.models.llava import square
from medrival.models.vllm_processes import Code, Shape, refuse_other_device, started
from medrival.models.wording import Tokens, Wording, wording

if TYPE_CHECKING:
    from vllm import LLM, CompletionOutput, RequestOutput, SamplingParams, TokensPrompt

Adapter = Callable[[ModelCard, Path, str, str], Generator]


def own_code(card: ModelCard, folder: Path, device: str, dtype: str) -> Engine:
    """Any model of transformers' layout that vLLM has code for.

    Raises:
        BrokenModel: vLLM does not start with it, or does not compute what transformers computes.
        MissingDevice: the vLLM that is installed is for another kind of device.
        OutOfMemory: the weights do not fit.
    """
    return _engine(generator.transformers, card, folder, device, dtype, "vllm")


def transformers_code(card: ModelCard, folder: Path, device: str, dtype: str) -> Engine:
    """The same by transformers' code, which knows more models, and weights as transformers names them today."""
    return _engine(generator.transformers, card, folder, device, dtype, "transformers")


def padded_own_code(card: ModelCard, folder: Path, device: str, dtype: str) -> Engine:
    """LLaVA-1.5 by vLLM's code, with images padded to squares as `medrival.models.llava:padded` pads them."""
    return _engine(llava.padded, card, folder, device, dtype, "vllm")


def padded_transformers_code(card: ModelCard, folder: Path, device: str, dtype: str) -> Engine:
    """LLaVA-1.5 by transformers' code, with images padded to squares."""
    return _engine(llava.padded, card, folder, device, dtype, "transformers")


def _engine(plain: Adapter, card: ModelCard, folder: Path, device: str, dtype: str, code: Code) -> Engine:
    """The model in vLLM, after the adapter that would load it without has told what it computes of a few answers."""
    refuse_other_device(device)
    reference = plain(card, folder, device, dtype)
    network: Any = reference.module
    expected, asked_by = likelihoods(reference), reference.asked_by
    parameters, shape = sum(one.numel() for one in network.parameters()), Shape.of(network)
    ends = network.generation_config.eos_token_id
    del reference, network
    memory.release()

    processor = load_processor(card, folder)
    how = wording(card, processor, ends)
    with ExitStack() as ending:
        llm, name = ending.enter_context(started(card, folder, device, dtype, code, shape))
        running = _Running(card.name, processor, how, llm, pads=plain is llava.padded)
        refuse_unlike(card.name, name, running.likelihoods(), expected, dtype)
        close = ending.pop_all().close
    return Engine(
        name=name,
        parameters=parameters,
        asked_by=asked_by,
        answer=running.answer,
        loglikelihood=None if how.thinks else running.loglikelihood,  # replies follow a thought that is not there yet
        close=close,
    )


class _Running:
    """A model in vLLM, as it is asked."""

    def __init__(self, name: str, processor: Any, how: Wording, llm: LLM, pads: bool) -> None:
        self._name = name
        self._processor = processor
        self._how = how
        self._llm = llm
        cuts = pads and getattr(processor.image_processor, "do_center_crop", False)
        self._mean = processor.image_processor.image_mean if cuts else None

    def answer(
        self, images: Images, prompts: Sequence[str], max_new_tokens: int, earlier: Sequence[Sequence[Turn]] = ()
    ) -> list[str | Failed]:
        """Greedy answers; an image that several prompts are about is looked at once."""
        from vllm import SamplingParams

        # The log-probability of what is said tells where a network overflowed, which vLLM itself would read as some word.
        wish = SamplingParams(
            temperature=0,
            max_tokens=max_new_tokens,
            stop_token_ids=self._how.end,
            ignore_eos=True,
            logprobs=0,
            detokenize=False,
        )
        found = self._run(self._asked(images, prompts, earlier), [wish] * len(prompts))
        return [one if isinstance(one, Failed) else self._said(one.outputs[0], max_new_tokens) for one in found]

    def loglikelihood(
        self, images: Images, prompts: Sequence[str], replies: Sequence[Sequence[str]]
    ) -> list[tuple[float, ...]]:
        """The log-likelihood of each reply; NaN where vLLM refuses the prompt.

        Replies that differ in their last token alone, such as letters, cost one pass over their prompt; of those of one token
        vLLM remembers it from its answer.
        """
        wanted = [[self._how.reply(reply) for reply in candidates] for candidates in replies]
        rows = [(i, head) for i, some in enumerate(wanted) for head in dict.fromkeys(reply[:-1] for reply in some)]
        lasts = [sorted({reply[-1] for reply in wanted[i] if reply[:-1] == head}) for i, head in rows]
        asked = self._asked([images[i] for i, _ in rows], [prompts[i] for i, _ in rows], heads=[head for _, head in rows])
        found = self._run(asked, [_likely(head, last) for (_, head), last in zip(rows, lasts, strict=True)])
        known = dict(zip(rows, found, strict=True))
        return [tuple(_likelihood(known[i, reply[:-1]], reply) for reply in some) for i, some in enumerate(wanted)]

    def likelihoods(self) -> list[list[float]]:
        """What `medrival.models.compared:likelihoods` tells of the network, as vLLM computes it.

        Raises:
            BrokenModel: vLLM refuses a question, such as one about two images.
        """
        images, prompts, answers = zip(*probes(), strict=True)
        tails = [(*self._how.reply(answer), self._how.closing) for answer in answers]
        asked = self._asked(images, prompts, heads=tails)
        found = self._run(asked, [_likely(tail, [tail[-1]]) for tail in tails])
        for one, prompt in zip(found, prompts, strict=True):
            if isinstance(one, Failed):
                raise BrokenModel(f"{self._name}: asked {prompt!r} as a trial, {one.reason}; run it without --backend")
        return [_before(one, tail) for one, tail in zip(found, tails, strict=True)]

    def _asked(
        self,
        images: Images,
        prompts: Sequence[str],
        earlier: Sequence[Sequence[Turn]] = (),
        heads: Sequence[Tokens] = (),
    ) -> list[_Prompt]:
        """Prompts as vLLM takes them, with the beginning of a reply behind each where there are `heads`.

        Each image has one token in its place; vLLM puts in as many as the network sees.
        """
        texts, shown = self._how.put(images, prompts, earlier)
        if self._mean:
            shown = [[square(image, self._mean) for image in some] for some in shown]
        start = self._how.adds_start(texts)
        tokens = self._how.tokenizer(texts, add_special_tokens=start)["input_ids"]
        whole = self._processor(images=shown[:1], text=texts[:1], add_special_tokens=start, return_tensors="pt")["input_ids"]
        heads = heads or [()] * len(tokens)
        return [
            _Prompt([*told, *head], some, [*whole[0].tolist(), *head] if i == 0 else None)
            for i, (told, head, some) in enumerate(zip(tokens, heads, shown, strict=True))
        ]

    def _run(self, asked: Sequence[_Prompt], wishes: Sequence[SamplingParams]) -> list[RequestOutput | Failed]:
        from vllm.exceptions import VLLMClientError

        try:
            found = self._llm.generate([one.told for one in asked], list(wishes), use_tqdm=False)
        except (VLLMClientError, ValueError) as error:  # a prompt that is too long would take all others with it
            if len(asked) == 1:
                return [Failed(f"vLLM refuses the prompt: {first_line(error)}")]
            return [found for one, wish in zip(asked, wishes, strict=True) for found in self._run([one], [wish])]
        except Exception as error:  # whatever stops it, the case fails and others go on
            raise BrokenModel(
                f"{self._name}: vLLM stopped while it answered ({first_line(error)}); what it said stands above. "
                "Run it without --backend"
            ) from error
        for one, told in zip(found, asked, strict=True):
            self._refuse_other_words(one.prompt_token_ids, told.whole)
        return [*found]

    def _refuse_other_words(self, read: Sequence[int] | None, whole: Sequence[int] | None) -> None:
        """A family that vLLM reads in another way than its processor writes would answer other questions than its partner."""
        if whole is not None and read != whole:
            raise BrokenModel(
                f"{self._name}: vLLM reads its prompts in another way ({len(read or ())} tokens) than the model's own "
                f"processor writes them ({len(whole)}); run it without --backend"
            )

    def _said(self, output: CompletionOutput, most: int) -> str | Failed:
        if not all(isfinite(one.logprob) for place in output.logprobs or () for one in place.values()):
            return Failed(NOT_FINITE)
        if output.finish_reason == "length" and len(output.token_ids) < most:
            room = self._llm.llm_engine.model_config.max_model_len
            return Failed(f"prompt and answer together are longer than the {room:,} tokens that vLLM has room for")
        return self._how.read([output.token_ids])[0]


@dataclass(frozen=True)
class _Prompt:
    """A prompt with its images; `whole` is how the model's own processor writes it, where that is to be compared."""

    tokens: list[int]
    images: list[Any]
    whole: list[int] | None

    @property
    def told(self) -> TokensPrompt:
        return {"prompt_token_ids": self.tokens, "multi_modal_data": {"image": self.images}}


def _likely(head: Tokens, last: list[int]) -> SamplingParams:
    """Asks for the log-probabilities of a head's tokens and of those that may follow it."""
    from vllm import SamplingParams

    wish: dict[str, Any] = {"temperature": 0, "max_tokens": 1, "logprob_token_ids": last, "detokenize": False}
    return SamplingParams(**wish, prompt_logprobs=0) if head else SamplingParams(**wish)


def _likelihood(found: RequestOutput | Failed, reply: Tokens) -> float:
    """Of a reply of which all but the last token stood behind the prompt."""
    if isinstance(found, Failed):
        return nan
    return sum(_before(found, reply[:-1])) + (found.outputs[0].logprobs or [])[0][reply[-1]].logprob


def _before(found: RequestOutput | Failed, head: Tokens) -> list[float]:
    """The log-likelihood of each token that stood behind the prompt; NaN where vLLM refused it."""
    if isinstance(found, Failed):
        return [nan] * len(head)
    told = (found.prompt_logprobs or [])[-len(head) :] if head else []
    return [place[token].logprob if place else nan for place, token in zip(told, head, strict=True)]
