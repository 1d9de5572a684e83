"""One question, one answer, from any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from medrival.errors import MedrivalError, first_line

if TYPE_CHECKING:
    import httpx2

Messages = Sequence[dict[str, str]]

ATTEMPTS = 5
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is not waited for."""
SHOWN = 200
"""Characters of a server's own words in an error."""


class ChatFailed(MedrivalError):
    """One question that got no answer; the next may."""


class ChatDown(ChatFailed):
    """The endpoint cannot be reached, or refuses this key, model or address: the next question will fare no better."""


class _Passing(Exception):
    """A failure that may pass: what it is once it has not, and how many seconds the server asks to wait."""

    def __init__(self, failure: ChatFailed, wait: float = 0.0) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.wait = wait


class Chat:
    """An endpoint and a model behind it; safe for many threads.

    Attributes:
        url: the base, such as http://localhost:8000/v1.
    """

    def __init__(
        self, url: str, model: str, key: str = "", *, timeout: float = 120.0, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        """`key` is sent as a bearer token; `timeout` in seconds without a sign of life; `sleep` waits before an attempt."""
        import httpx2

        self.url = url.rstrip("/").removesuffix("/chat/completions")
        self.model = model
        self._key = key
        self._timeout = timeout
        self._sleep = sleep
        self._client = httpx2.Client(headers={"Authorization": f"Bearer {key}"} if key else {}, timeout=timeout)

    def answer(self, messages: Messages) -> str:
        """What the model says, at temperature 0.

        A timeout, a broken connection, 429 and 5xx are tried again after 1, 2, 4 and 8 seconds, or later where the server's
        Retry-After says so.

        Raises:
            ChatFailed: no answer to this question after all attempts.
            ChatDown: no use in asking anything else.
        """
        last: ChatFailed | None = None
        for attempt in range(ATTEMPTS):
            try:
                return self._once(messages)
            except _Passing as passing:
                last, wait = passing.failure, max(passing.wait, 2.0**attempt)
            if wait > LONGEST_WAIT:
                raise ChatFailed(f"{last}; it asks to wait {wait:.0f} s")
            if attempt + 1 < ATTEMPTS:
                self._sleep(wait)
        raise type(last or ChatFailed())(f"{last} ({ATTEMPTS} attempts)")

    def _once(self, messages: Messages) -> str:
        import httpx2

        body = {"model": self.model, "messages": list(messages), "temperature": 0}
        try:
            response = self._client.post(f"{self.url}/chat/completions", json=body)
        except httpx2.TimeoutException as error:
            raise _Passing(ChatFailed(f"no answer from {self.url} within {self._timeout:g} s")) from error
        except httpx2.ConnectError as error:
            raise _Passing(ChatDown(f"cannot connect to {self.url}: {first_line(error)}")) from error
        except httpx2.RequestError as error:
            raise _Passing(ChatFailed(f"the connection to {self.url} broke: {first_line(error)}")) from error
        if response.status_code == 429 or response.status_code >= 500:
            raise _Passing(ChatFailed(self._refusal(response)), _retry_after(response.headers.get("retry-after", "")))
        if response.status_code in (401, 403, 404):
            raise ChatDown(self._refusal(response))
        if response.status_code != 200:
            raise ChatFailed(self._refusal(response))
        return self._content(response)

    def _content(self, response: httpx2.Response) -> str:
        try:
            content = response.json()["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError):
            content = None
        if not isinstance(content, str):
            raise _Passing(ChatFailed(f"no chat completion from {self.url}: {self.shown(response.text)}"))
        return content

    def _refusal(self, response: httpx2.Response) -> str:
        return f"HTTP {response.status_code} from {self.url}: {self.shown(response.text)}"

    def shown(self, text: str) -> str:
        """A server's words for an error: in one line, cut, and without the key if it should repeat that."""
        safe = text.replace(self._key, "[key]") if self._key else text
        return repr(" ".join(safe.split())[:SHOWN])


def _retry_after(header: str) -> float:
    """Seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3: a number or a date); 0 where it says nothing."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
