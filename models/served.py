"""Models behind an endpoint that speaks OpenAI's chat completions: a hosted service, vLLM, SGLang, `transformers serve`."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from io import BytesIO
from threading import Lock
from typing import TYPE_CHECKING, Any

from medrival.batches import decode
from medrival.cache import Cache
from medrival.catalog import ModelCard
from medrival.chat import Chat, ChatDown, ChatFailed, ChatUnanswered, Messages, Reply
from medrival.contracts import Answer, Failed, Said, Sample, Served, Workbench
from medrival.endpoint import endpoint
from medrival.store import key_of

if TYPE_CHECKING:
    from PIL import Image as PIL

MESSAGES = "1"
"""Version of how a question is put; replies to another version are not used again."""
ATTEMPTS = 8
"""Pauses grow to two minutes in all: a limit a minute passes in the meantime."""
TIMEOUT = 300.0
"""Seconds that a model may think before it is asked anew."""
IN_A_ROW = 10
"""So many questions in a row without an answer, after all attempts, and the endpoint counts as down."""


@dataclass(frozen=True)
class _Asked:
    """What became of one question; `kept` tells a reply of an earlier run."""

    reply: Reply | Failed
    kept: bool = False
    unanswered: bool = False

    @property
    def answer(self) -> Answer:
        if isinstance(self.reply, Failed):
            return self.reply
        if not self.reply.text.strip() and self.reply.finish not in ("", "stop"):
            spent = self.reply.completion_tokens
            after = "" if spent is None else f" after {spent} tokens"
            return Failed(f"the endpoint said nothing: it stopped{after} for the reason {self.reply.finish!r}")
        return Said(self.reply.text.strip())


class _Health:
    """Whether the endpoint still serves; the first sign that it does not ends the asking, of all threads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._in_a_row = 0
        self._down: ChatDown | None = None

    def check(self) -> None:
        """Raise the ChatDown that ended the asking, if it has ended."""
        if self._down:
            raise self._down

    def answered(self) -> None:
        with self._lock:
            self._in_a_row = 0

    def failed(self, error: ChatFailed) -> None:
        with self._lock:
            self._in_a_row += isinstance(error, ChatUnanswered)
            if isinstance(error, ChatDown):
                self._down = self._down or error
            elif self._in_a_row >= IN_A_ROW:
                self._down = self._down or ChatDown(f"{self._in_a_row} questions in a row got no answer; the last: {error}")
        self.check()

    def stop(self) -> None:
        """End the asking: whoever waited for the answers waits no more."""
        self._down = self._down or ChatDown("stopped")


def openai(card: ModelCard, cache: Cache, *, timeout: float = TIMEOUT, sleep: Callable[[float], object] = time.sleep) -> Served:
    """Asks an endpoint for answers, several at a time and as many as it bears, and pays for none twice.

    Images go as PNG in data URLs: lossless, in the size they have. Decoding is greedy (temperature 0).

    Raises:
        MissingAsset: nobody serves the model, or the key is not there.
    """
    where = endpoint(card)
    chat = Chat(where.url, card.weights, where.key, attempts=ATTEMPTS, timeout=timeout, sleep=sleep)

    def answer(samples: Sequence[Sample], bench: Workbench, tokens: int) -> tuple[list[Answer], Mapping[str, Any]]:
        keys = [_key(chat, sample, tokens) for sample in samples]
        health = _Health()

        def ask(key: str, sample: Sample) -> _Asked:
            if kept := _kept(cache, key):
                return _Asked(kept, kept=True)
            health.check()
            pictures = decode(sample)
            if isinstance(pictures, Failed):
                return _Asked(pictures)
            try:
                reply = chat.ask(_messages(pictures, sample.prompt), tokens, health.check)
            except ChatFailed as error:
                health.failed(error)
                return _Asked(Failed(str(error)), unanswered=isinstance(error, ChatUnanswered))
            health.answered()
            cache.keep(key, asdict(reply))
            return _Asked(reply)

        unlike = dict(zip(keys, samples, strict=True))  # equal questions are one request
        with ThreadPoolExecutor(chat.pace.most) as pool:
            asked = pool.map(ask, unlike, unlike.values())
            try:
                found = dict(bench.progress(zip(unlike, asked, strict=True), "answers"))
            except ChatDown as error:
                raise ChatDown(f"{card.name}: {error}") from error
            finally:
                health.stop()
        return [found[key].answer for key in keys], _record(card, chat, found.values())

    return Served(answer)


def _key(chat: Chat, sample: Sample, max_tokens: int) -> str:
    return key_of(
        {
            "served": [chat.url, chat.model, MESSAGES],
            "prompt": sample.prompt,
            "images": [image.digest for image in sample.images],
            "parameters": {"temperature": 0, "max_tokens": max_tokens},
        }
    )


def _kept(cache: Cache, key: str) -> Reply | None:
    kept = cache.get(key)
    try:
        return Reply(**kept) if kept else None
    except TypeError:  # of another version
        return None


def _messages(pictures: Iterable[PIL.Image], prompt: str) -> Messages:
    """One turn of the user's: the images in order, then the words, as our own generators are asked."""
    images = [{"type": "image_url", "image_url": {"url": _data_url(picture)}} for picture in pictures]
    words = prompt.encode("utf-8", "replace").decode("utf-8")  # lone surrogates cannot be sent
    return [{"role": "user", "content": [*images, {"type": "text", "text": words}]}]


def _data_url(picture: PIL.Image) -> str:
    written = BytesIO()
    picture.save(written, "PNG")
    return f"data:image/png;base64,{base64.b64encode(written.getvalue()).decode()}"


def _record(card: ModelCard, chat: Chat, asked: Iterable[_Asked]) -> Mapping[str, Any]:
    """What a reader of the answers must know: who gave them, how they were asked for, and what they took."""
    asked = list(asked)
    replies = [one.reply for one in asked if isinstance(one.reply, Reply)]
    prompt, completion = [r.prompt_tokens for r in replies], [r.completion_tokens for r in replies]
    return {
        "endpoint": chat.url,
        "model": chat.model,
        "answered_by": _distinct(reply.model for reply in replies),
        "system_fingerprints": _distinct(reply.fingerprint for reply in replies),
        "asked_with": [dict(one) for one in sorted({tuple(sorted(reply.asked_with.items())) for reply in replies})],
        "requests": len(asked),
        "answered_earlier": sum(one.kept for one in asked),
        "unanswered": sum(one.unanswered for one in asked),
        "cut_off": sum(reply.finish == "length" for reply in replies),
        "prompt_tokens": _total(prompt),
        "completion_tokens": _total(completion),
        "dollars": _dollars(card, _total(prompt), _total(completion)),
    }


def _distinct(words: Iterable[str]) -> list[str]:
    return sorted({word for word in words if word})


def _total(counts: Sequence[int | None]) -> int | None:
    """The sum; None where a single count is missing, as part of a bill is no bill."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def _dollars(card: ModelCard, prompt: int | None, completion: int | None) -> float | None:
    """What the tokens cost at the row's prices; None where one or the other is not known."""
    if prompt is None or completion is None or not (card.price_in or card.price_out):
        return None
    return (prompt * card.price_in + completion * card.price_out) / 1e6
