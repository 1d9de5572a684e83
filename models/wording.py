"""How a generator is asked, whatever runs it: its prompts as texts, the tokens of a reply, and where an answer ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from medrival.catalog import ModelCard
from medrival.contracts import Images, Turn
from medrival.errors import BrokenData, BrokenModel
from medrival.models.conversation import PROBE, Conversation, as_words, conversation

Tokens = tuple[int, ...]
THINKS, ANSWERS = "<think>", "</think>"


@dataclass(frozen=True)
class Wording:
    """Texts and tokens of prompts and replies.

    Attributes:
        tokenizer: the processor's, padding on the left, so that every answer starts where its prompt ends.
        end: the tokens that end an answer; `closing` is the one that is taught.
        begun: "<think>" where the chat template begins a thought itself, so that a model goes on from there.
        thinks: whether an answer follows a thought, so that replies have no likelihood behind the prompt.
    """

    tokenizer: Any
    end: list[int]
    closing: int
    begun: str
    thinks: bool
    _tokens_of: Callable[[str], Tokens]
    _said: Conversation
    _words: Callable[[str], str]
    _place: str
    _name: str

    def put(
        self, images: Images, prompts: Sequence[str], earlier: Sequence[Sequence[Turn]] = ()
    ) -> tuple[list[str], list[list[Any]]]:
        """The text of each prompt with a mark for each image, behind its earlier turns; and the images in the marks' order.

        Raises:
            BrokenModel: the chat template leaves out images of earlier turns.
        """
        turns = earlier or [()] * len(prompts)
        told = [[(self._words(turn.prompt), len(turn.images), self._words(turn.answer)) for turn in before] for before in turns]
        texts = [self._said(self._words(prompts[i]), len(images[i]), None, told[i]) for i in range(len(prompts))]
        shown = [[*(image for turn in turns[i] for image in turn.images), *images[i]] for i in range(len(images))]
        self._refuse_unplaced(texts, shown)
        return texts, shown

    def adds_start(self, texts: Sequence[str]) -> bool:
        """Whether the tokenizer is to add its start token, which some templates write themselves."""
        return not (self.tokenizer.bos_token and texts[0].startswith(self.tokenizer.bos_token))

    def reply(self, text: str) -> Tokens:
        """The tokens of a reply as they follow a prompt, which is how it is taught and scored, without `closing`.

        Raises:
            BrokenData: it has no token.
        """
        return self._tokens_of(self._words(text))

    def read(self, tokens: Any) -> list[str]:
        """The texts of generated tokens [answers, longest], with the thought that the template began."""
        texts = self.tokenizer.batch_decode(tokens, skip_special_tokens=True)
        return [self.begun + text.strip() for text in texts]

    def _refuse_unplaced(self, texts: Sequence[str], images: Images) -> None:
        """A template that leaves out what stands in earlier turns would show images without their questions."""
        for text, shown in zip(texts, images, strict=True):
            if text.count(self._place) != len(shown):
                raise BrokenModel(
                    f"{self._name}: its chat template places {text.count(self._place)} of {len(shown)} images of a "
                    "conversation; it cannot be shown solved examples"
                )


def wording(card: ModelCard, processor: Any, ends: int | list[int] | None) -> Wording:
    """How a model with this processor is asked; `ends` are the end tokens that its generation config names.

    Raises:
        BrokenModel: the processor has no tokenizer, its chat template places no images, or thoughts could not be told from
            answers.
    """
    tokenizer = getattr(processor, "tokenizer", None)
    if tokenizer is None:
        raise BrokenModel(f"{card.name}: it has no tokenizer beside its image processor")
    tokenizer.padding_side = "left"
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    end = _end_tokens(ends, tokenizer)
    said = conversation(card, processor)
    begun = THINKS if said(PROBE, 0, None).rstrip().endswith(THINKS) else ""
    if (card.thinking or begun) and not _says(tokenizer, ANSWERS):
        raise BrokenModel(f"{card.name}: its tokenizer leaves {ANSWERS} out of texts: thoughts could not be told from answers")
    return Wording(
        tokenizer=tokenizer,
        end=end,
        closing=_closing_token(said, tokenizer, end),
        begun=begun,
        thinks=bool(card.thinking or begun),
        _tokens_of=_reply_tokens(said, tokenizer),
        _said=said,
        _words=as_words(processor),
        _place=getattr(processor, "image_token", "<image>"),
        _name=card.name,
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


def _end_tokens(ends: int | list[int] | None, tokenizer: Any) -> list[int]:
    known = ends if isinstance(ends, list) else [ends]
    return [token for token in dict.fromkeys([tokenizer.eos_token_id, *known]) if token is not None]


def _says(tokenizer: Any, mark: str) -> bool:
    """Whether a mark that a model writes is still there when its tokens are read."""
    return mark in str(tokenizer.decode(tokenizer(mark, add_special_tokens=False)["input_ids"], skip_special_tokens=True))


def _closing_token(said: Conversation, tokenizer: Any, end: Sequence[int]) -> int:
    """What closes an answer: the end token that the chat template writes behind one, else the tokenizer's own."""
    behind = said("?", 0, PROBE).rpartition(PROBE)[2]
    return next((token for token in tokenizer(behind, add_special_tokens=False)["input_ids"] if token in end), end[0])
