"""The chat client: what it reads out of a reply, and what it takes for a reply at all. Retries: test_judge, test_served."""

from __future__ import annotations

import json
import warnings

import pytest

from medrival.chat import Chat, ChatDown, ChatFailed, ChatUnanswered, Reply
from medrival.errors import MedrivalWarning
from medrival.pace import Pace
from tests.stand_ins import serving

MESSAGES = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": '{"asked": "what?"}'}]
ASKED = {"temperature": 0, "max_tokens": 9}


def asked(status: int, body: str, **more) -> Reply:
    with serving(lambda *_: (status, {}, body)) as endpoint:
        return Chat(endpoint.url, "m", sleep=lambda _: None, **more).ask(MESSAGES, 9)


def completion(message: dict, finish: str | None = "stop", **more) -> str:
    return json.dumps({"choices": [{"message": message, "finish_reason": finish}], **more})


@pytest.mark.parametrize(
    ("body", "reply"),
    [
        (completion({"content": "yes"}), Reply("yes", "stop", asked_with=ASKED)),
        (completion({"content": ""}, None), Reply("", asked_with=ASKED)),
        (completion({"content": None, "refusal": "I cannot."}), Reply("I cannot.", "stop", asked_with=ASKED)),
        (completion({"content": None}, "length"), Reply("", "length", asked_with=ASKED)),
        (
            completion(
                {"content": "a"}, model="m-1", system_fingerprint="fp", usage={"prompt_tokens": 7, "completion_tokens": 2}
            ),
            Reply("a", "stop", "m-1", "fp", 7, 2, ASKED),
        ),
        (completion({"content": "a"}, model=None, usage={"prompt_tokens": "7"}), Reply("a", "stop", asked_with=ASKED)),
        (completion({"content": "a"}, usage=[]), Reply("a", "stop", asked_with=ASKED)),
    ],
)
def test_a_reply_holds_what_the_endpoint_says_and_nothing_made_up(body, reply):
    assert asked(200, body) == reply


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"choices": [7]}', completion({"content": None}), "[" * 100_000])
def test_what_is_no_completion_is_no_reply(body):
    with pytest.raises(ChatUnanswered, match=r"no chat completion from .* \(2 attempts\)"):
        asked(200, body, attempts=2)


@pytest.mark.parametrize(
    ("status", "error", "kind"),
    [
        (429, {"code": "rate_limit_exceeded"}, ChatUnanswered),
        (429, {"code": "insufficient_quota"}, ChatDown),
        (402, {}, ChatDown),
        (400, {"param": "messages"}, ChatFailed),
        (422, {}, ChatFailed),
        (529, {}, ChatUnanswered),
    ],
)
def test_failures_are_of_three_kinds_for_now_for_this_question_and_for_all(status, error, kind):
    with pytest.raises(ChatFailed, match=f"HTTP {status} from") as raised:
        asked(status, json.dumps({"error": error}))
    assert type(raised.value) is kind


def test_a_server_that_was_never_there_is_given_up_soon_and_said_to_be_waited_for_once():
    waited: list[float] = []
    chat = Chat("http://127.0.0.1:9/v1", "m", attempts=8, sleep=waited.append)
    with (
        pytest.warns(MedrivalWarning, match=r"cannot connect to http://127.0.0.1:9/v1: .*; trying again for 7 s"),
        pytest.raises(ChatDown, match=r"cannot connect .*\(4 attempts\)"),
    ):
        chat.ask(MESSAGES)
    with warnings.catch_warnings(action="error", category=MedrivalWarning), pytest.raises(ChatDown):
        chat.ask(MESSAGES)
    assert waited == [1, 2, 4] * 2


def test_a_busy_endpoint_halves_the_pace_and_a_broken_one_does_not():
    for status, room in ((429, 1), (503, 1), (500, 8)):
        pace = Pace(8)
        with pytest.raises(ChatUnanswered):
            asked(status, "", pace=pace)
        assert pace.room == room
