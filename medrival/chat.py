"""One question, one answer, from any endpoint that speaks OpenAI's chat completions."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from medrival.errors import MedrivalError, MedrivalWarning, first_line
from medrival.pace import Pace

if TYPE_CHECKING:
    import httpx2

Messages = Sequence[Mapping[str, Any]]

ATTEMPTS = 5
ATTEMPTS_TO_REACH = 4
"""Where nobody has answered yet: seven seconds, for a server that is not there does not come."""
LONGEST_PAUSE = 60.0
"""Seconds that pauses between attempts grow to by themselves."""
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is not waited for."""
SECONDS_TO_CONNECT = 10.0
SHOWN = 200
"""Characters of a server's own words in an error."""
INSTEAD = {"max_tokens": "max_completion_tokens", "temperature": ""}
"""Parameters that endpoints of reasoning models refuse, and what they take instead; "" for nothing."""


class ChatFailed(MedrivalError):
    """One question that got no answer; the next may."""


class ChatUnanswered(ChatFailed):
    """One question that got no answer for a reason that may pass: asked again later, it may get one."""


class ChatDown(ChatFailed):
    """The endpoint cannot be reached, or refuses this key, model or address: the next question will fare no better."""


class _Passing(Exception):
    """A failure that may pass: what it is once it has not, how long the server asks to wait, and whether for its load."""

    def __init__(self, failure: ChatFailed, wait: float = 0.0, *, busy: bool = False) -> None:
        super().__init__(str(failure))
        self.failure = failure
        self.wait = wait
        self.busy = busy


@dataclass(frozen=True)
class Reply:
    """What a model said, and what its endpoint said about that.

    Attributes:
        text: its words, or those in which it declined.
        finish: why it stopped: "stop", or "length" where the tokens ran out, "content_filter", ...
        model: what the endpoint calls the model that answered; `fingerprint` its configuration.
        prompt_tokens: what was asked, in tokens; None where the endpoint does not count them.
        completion_tokens: what was thought and said, likewise.
        asked_with: the parameters that the endpoint took.
    """

    text: str
    finish: str = ""
    model: str = ""
    fingerprint: str = ""
    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    asked_with: Mapping[str, Any] = field(default_factory=dict)


class Chat:
    """An endpoint and a model behind it; safe for many threads.

    Attributes:
        url: the base, such as http://localhost:8000/v1.
        pace: how many questions are under way at a time.
    """

    def __init__(
        self,
        url: str,
        model: str,
        key: str = "",
        *,
        pace: Pace | None = None,
        attempts: int = ATTEMPTS,
        timeout: float = 120.0,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        """`key` is sent as a bearer token; `timeout` in seconds without a sign of life; `sleep` waits before an attempt."""
        import httpx2

        self.url = url.rstrip("/").removesuffix("/chat/completions")
        self.model = model
        self.pace = pace or Pace()
        self._key = key
        self._attempts = attempts
        self._timeout = timeout
        self._sleep = sleep
        self._refused: frozenset[str] = frozenset()
        self._reached = False
        self._unwarned = Lock()
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {key}"} if key else {},
            timeout=httpx2.Timeout(timeout, connect=min(timeout, SECONDS_TO_CONNECT)),
            limits=httpx2.Limits(max_connections=None),  # as many as the pace allows
        )

    def ask(self, messages: Messages, max_tokens: int | None = None, before: Callable[[], object] = lambda: None) -> Reply:
        """What the model says, at temperature 0 and in at most so many tokens.

        `before` is called before each attempt and may end the asking by an error.

        A timeout, a broken connection, an answer that is none, 429 and 5xx are tried again after 1, 2, 4, 8, ... seconds, or
        later where the server's Retry-After says so. A question that waits keeps its place among those under way.
        Where nobody was ever reached, fewer attempts are enough; that there is nobody is said once, as a warning.

        Raises:
            ChatUnanswered: no answer to this question after all attempts.
            ChatFailed: this question is refused.
            ChatDown: no use in asking anything else.
        """
        with self.pace.place():
            attempts = 0
            while True:
                before()
                turn, attempts = self.pace.turn, attempts + 1
                try:
                    reply = self._once(messages, max_tokens)
                except _Passing as passing:
                    failed = passing
                else:
                    self.pace.answered()
                    return reply
                if failed.busy:
                    self.pace.refused(turn)
                if failed.wait > LONGEST_WAIT:
                    raise ChatUnanswered(f"{failed}; it asks to wait {failed.wait:.0f} s")
                most = self._most_attempts(failed.failure)
                if attempts >= most:
                    raise type(failed.failure)(f"{failed} ({attempts} attempts)")
                self._sleep(max(failed.wait, min(2.0 ** (attempts - 1), LONGEST_PAUSE)))

    def _most_attempts(self, failure: ChatFailed) -> int:
        if not isinstance(failure, ChatDown):
            return self._attempts
        most = self._attempts if self._reached else min(self._attempts, ATTEMPTS_TO_REACH)
        if self._unwarned.acquire(blocking=False):  # once, of all threads
            seconds = sum(min(2.0**attempt, LONGEST_PAUSE) for attempt in range(most - 1))
            warnings.warn(f"{failure}; trying again for {seconds:.0f} s", MedrivalWarning, stacklevel=3)
        return most

    def _once(self, messages: Messages, max_tokens: int | None) -> Reply:
        import httpx2

        parameters = self._parameters(max_tokens)
        try:
            response = self._client.post(
                f"{self.url}/chat/completions", json={"model": self.model, "messages": list(messages), **parameters}
            )
        except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
            raise _Passing(ChatDown(f"cannot connect to {self.url}: {first_line(error)}")) from error
        except httpx2.TimeoutException as error:
            raise _Passing(ChatUnanswered(f"no answer from {self.url} within {self._timeout:g} s")) from error
        except httpx2.RequestError as error:
            raise _Passing(ChatUnanswered(f"the connection to {self.url} broke: {first_line(error)}")) from error
        self._reached = True
        if response.status_code == 200:
            return self._reply(response, parameters)
        parameter = _error(response).get("param")
        if response.status_code == 400 and parameter in INSTEAD and parameter in parameters:
            self._refused |= {parameter}
            return self._once(messages, max_tokens)
        raise self._failure(response)

    def _parameters(self, max_tokens: int | None) -> dict[str, Any]:
        wanted = {"temperature": 0} | ({} if max_tokens is None else {"max_tokens": max_tokens})
        named = {INSTEAD[name] if name in self._refused else name: value for name, value in wanted.items()}
        return {name: value for name, value in named.items() if name}

    def _failure(self, response: httpx2.Response) -> ChatFailed | _Passing:
        status, refusal = response.status_code, self._refusal(response)
        if status in (401, 402, 403, 404) or _error(response).get("code") == "insufficient_quota":
            return ChatDown(refusal)
        if status == 429 or status >= 500:
            wait = _retry_after(response.headers.get("retry-after", ""))
            return _Passing(ChatUnanswered(refusal), wait, busy=status in (429, 503))
        return ChatFailed(refusal)

    def _reply(self, response: httpx2.Response, parameters: Mapping[str, Any]) -> Reply:
        try:
            stated = response.json()
            choice = stated["choices"][0]
            finish = choice.get("finish_reason")
            said = [choice["message"].get("content"), choice["message"].get("refusal")]
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            stated, finish, said = {}, "", []
        text = next((words for words in said if isinstance(words, str)), None)
        if text is None and finish in ("length", "content_filter"):
            text = ""
        if text is None:
            raise _Passing(ChatUnanswered(f"no chat completion from {self.url}: {self.shown(response.text)}"))
        usage = stated.get("usage")
        count = usage.get if isinstance(usage, dict) else {}.get
        return Reply(
            text=self._safe(text),
            finish=self._safe(finish),
            model=self._safe(stated.get("model")),
            fingerprint=self._safe(stated.get("system_fingerprint")),
            prompt_tokens=_whole(count("prompt_tokens")),
            completion_tokens=_whole(count("completion_tokens")),
            asked_with=dict(parameters),
        )

    def _refusal(self, response: httpx2.Response) -> str:
        return f"HTTP {response.status_code} from {self.url}: {self.shown(response.text)}"

    def shown(self, text: str) -> str:
        """A server's words for an error: in one line, cut, and without the key if it should repeat that."""
        return repr(" ".join(self._safe(text).split())[:SHOWN])

    def _safe(self, text: Any) -> str:
        """A text of the server's without the key; "" for what is none."""
        if not isinstance(text, str):
            return ""
        return text.replace(self._key, "[key]") if self._key else text


def check_url(origin: str, url: str, variable: str) -> None:
    """Refuse a URL that a report may not show, and what is no URL; messages name where it is from and where a key belongs.

    Raises:
        MedrivalError: it holds a name, password or query, or has no host.
    """
    parts = urlsplit(url)
    if parts.username or parts.password or parts.query:
        raise MedrivalError(f"{origin}: a URL with a name, password or ?key=... would end up in the report; set {variable}")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise MedrivalError(f"{origin} {url}: it must be the base of an endpoint, such as http://localhost:8000/v1")


def checked_key(variable: str, value: str) -> str:
    """A key as it can be sent.

    Raises:
        MedrivalError: it cannot be sent in a header; the message has no part of it.
    """
    key = value.strip()
    if not (key.isascii() and key.isprintable()):
        raise MedrivalError(f"{variable}: the key holds characters that no HTTP header can carry; set it anew")
    return key


def _error(response: httpx2.Response) -> Mapping[str, Any]:
    """The object in which OpenAI's endpoints describe an error; empty where there is none."""
    try:
        error = response.json()["error"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return {}
    return error if isinstance(error, dict) else {}


def _whole(count: Any) -> int | None:
    return count if type(count) is int else None


def _retry_after(header: str) -> float:
    """Seconds that a Retry-After header asks to wait (RFC 9110, 10.2.3: a number or a date); 0 where it says nothing."""
    if header.strip().isdecimal():
        return float(header)
    try:
        moment = parsedate_to_datetime(header)
    except ValueError:
        return 0.0
    return max(0.0, (moment.replace(tzinfo=moment.tzinfo or UTC) - datetime.now(UTC)).total_seconds())
