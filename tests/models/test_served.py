"""A served model against the same model in this process, through a real server and a proxy that breaks things."""

from __future__ import annotations

import base64
import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from io import BytesIO
from typing import Any, TextIO

import httpx2
import numpy as np
import pytest
from PIL import Image

from medrival import catalog
from medrival.cache import Cache
from medrival.case import Case, cases, pairs
from medrival.catalog import ModelCard
from medrival.chat import ChatDown
from medrival.contracts import Answer, Failed, Said, Sample
from medrival.errors import BrokenCatalog, BrokenData, UnreadableImage
from medrival.evaluate import Bench, Lab, Settings
from medrival.models.served import ATTEMPTS, IN_A_ROW, _messages, openai
from medrival.store import Store
from medrival.weights import locate
from tests.conftest import loaded
from tests.proxy import Fault, Proxy, Request, forwarding

KEY = "sk-very-secret-0123456789"
TASK = "phantom-chest-vqa"


@pytest.fixture(scope="session")
def server(rows, tmp_path_factory) -> Iterator[tuple[str, str]]:
    """Base URL of `transformers serve` with pocket-llava, and the model's name there."""
    name = str(locate(rows.models["pocket-llava"], None))
    log = tmp_path_factory.mktemp("server") / "log.txt"
    for _ in range(3):  # between the choice of a port and its use another process may take it
        port = _free_port()
        with log.open("a") as stream, _serving(name, port, stream) as process:
            if _answers(f"http://127.0.0.1:{port}/health", process):
                yield f"http://127.0.0.1:{port}/v1", name
                return
    raise RuntimeError(f"the server did not start: {log.read_text()[-2000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def _serving(name: str, port: int, log: TextIO) -> Iterator[subprocess.Popen[bytes]]:
    told = ["--device", "cpu", "--dtype", "float32", "--host", "127.0.0.1", "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "transformers.cli.transformers", "serve", name, *told],
        env={**os.environ, "HF_HUB_OFFLINE": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _answers(url: str, process: subprocess.Popen[bytes]) -> bool:
    """Whether this server comes to answer; a proxy of another test that has its port would not say 200."""
    until = time.monotonic() + 300
    while time.monotonic() < until and process.poll() is None:
        with suppress(httpx2.RequestError):
            if httpx2.get(url, timeout=5).status_code == 200:
                return process.poll() is None
        time.sleep(0.1)
    return False


@pytest.fixture
def proxy(server) -> Iterator[Callable[..., Proxy]]:
    with ExitStack() as proxies:
        yield lambda fault=lambda _: None: proxies.enter_context(forwarding(server[0], fault))


@pytest.fixture
def card(server, monkeypatch) -> Callable[..., ModelCard]:
    """The row of the served model at a proxy; its key is in the environment."""
    monkeypatch.setenv("POCKET_KEY", KEY)

    def row(proxy: Proxy, **more) -> ModelCard:
        name = {"name": "served-llava", "kind": "general", "type": "served", "family": "pocket-llava", "weights": server[1]}
        return ModelCard(adapter="medrival.models.served:openai", url=proxy.url, key_variable="POCKET_KEY", **{**name, **more})

    return row


@pytest.fixture
def case(rows) -> Callable[[ModelCard], Case]:
    return lambda model: Case(model, rows.tasks[TASK], rows.regimes["zero-shot"])


@pytest.fixture(scope="session")
def samples(rows, drawn, tmp_path_factory) -> tuple[Sample, ...]:
    store = tmp_path_factory.mktemp("store")
    (store / "tasks").symlink_to(drawn)
    return Lab(Settings(limit=4), Store(store), lambda items, _: items).task(rows.tasks[TASK]).test


@pytest.fixture(scope="session")
def local(rows, samples) -> list[Said]:
    """What the same model answers in this process."""
    model = loaded(rows, "pocket-llava")
    return [Said(model.answer([[s.image.open()]], [s.prompt], 64)[0]) for s in samples]


@pytest.fixture
def ask(tmp_path, new_lab, case) -> Callable[..., tuple[list[Answer], dict[str, Any]]]:
    """Asks a served model about samples, without waiting between attempts; repeats share their cache."""

    def put(model: ModelCard, samples, waits=None, timeout=300.0):
        served = openai(model, Cache(tmp_path / "cache"), timeout=timeout, sleep=([] if waits is None else waits).append)
        bench = Bench(new_lab(), case(model))
        answers, record = served.answer(samples, bench, bench.max_new_tokens)
        return answers, dict(record)

    return put


def question(sample: Sample) -> str:
    """How the proxy knows a sample."""
    return json.dumps(_messages([image.open() for image in sample.images], sample.prompt))


def test_answers_equal_the_local_models_and_their_record_says_who_gave_them_and_what_they_cost(
    rows, new_lab, case, card, proxy, server
):
    endpoint = proxy()
    served = new_lab().evaluate(case(card(endpoint, price_in=2.0, price_out=8.0)))
    here = new_lab().evaluate(case(rows.models["pocket-llava"]))
    assert [p.answer for p in served.predictions] == [p.answer for p in here.predictions]
    assert {p.scores for p in served.predictions} == {()}, "an endpoint without likelihoods has no scores"
    assert served.metrics["closed_accuracy"] == here.metrics["closed_accuracy"]
    record = served.notes["served"]
    assert record["prompt_tokens"] > 64 * 24, "64 of each image"
    assert record["completion_tokens"] >= 24
    assert record["dollars"] == pytest.approx((2 * record["prompt_tokens"] + 8 * record["completion_tokens"]) / 1e6)
    assert (record["endpoint"], record["model"], record["answered_by"]) == (endpoint.url, server[1], [f"{server[1]}@main"])
    assert record["asked_with"] == [{"temperature": 0, "max_tokens": 64}]
    assert (record["requests"], record["answered_earlier"], record["unanswered"], record["cut_off"]) == (24, 0, 0, 0)
    assert (served.cost.total_parameters, served.cost.peak_memory_bytes) == (None, None)
    assert not {"device", "dtype"} & set(served.notes), "they are the server's, and unknown"


def test_without_prices_no_money_is_made_up(ask, card, proxy, samples):
    _, record = ask(card(proxy()), samples[:1])
    assert record["dollars"] is None


def test_images_arrive_as_they_are_in_order_and_before_the_words(ask, card, proxy, samples, pocket_llava):
    endpoint = proxy()
    one, other = samples[0], samples[1]
    answers, _ = ask(card(endpoint), [replace(one, more_images=(other.image,))])
    *images, words = endpoint.bodies[0]["messages"][0]["content"]
    assert words == {"type": "text", "text": one.prompt}
    for part, shown in zip(images, (one.image.open(), other.image.open()), strict=True):
        np.testing.assert_array_equal(decoded(part), np.asarray(shown))
    assert answers == [Said(pocket_llava.answer([[one.image.open(), other.image.open()]], [one.prompt], 64)[0])]


def decoded(part: dict[str, Any]) -> np.ndarray:
    head, _, content = part["image_url"]["url"].partition(",")
    assert head == "data:image/png;base64"
    return np.asarray(Image.open(BytesIO(base64.b64decode(content))))


@pytest.mark.parametrize(
    ("fault", "waits"),
    [
        ((429, {"Retry-After": "7"}, "slow down"), [7, 7]),
        ((500, {}, "oops"), [1, 2]),
        ("stall", [1]),
        ("cut", [1, 2]),
        ("hang up", [1, 2]),
        ((200, {}, '{"choices": [{"message": {"content": "ye'), [1, 2]),
        ((200, {}, "[" * 100_000), [1, 2]),
        ((200, {}, '{"choices": []}'), [1, 2]),
    ],
    ids=["429", "500", "timeout", "cut", "hung up", "cut JSON", "deep JSON", "no choice"],
)
def test_a_fault_that_passes_loses_no_sample_and_changes_no_answer(ask, card, proxy, samples, local, fault, waits):
    broken = question(samples[2])
    endpoint = proxy(lambda request: fault if request.question == broken and request.before < len(waits) else None)
    slept: list[float] = []
    answers, record = ask(card(endpoint), samples, slept, timeout=3.0 if fault == "stall" else 300.0)
    assert answers == local
    assert record["unanswered"] == 0
    assert slept == waits or fault == "stall", "on a busy machine others may take their time, too"


@pytest.mark.parametrize(
    ("fault", "reason", "passing"),
    [
        ((500, {}, "oops"), rf"HTTP 500 from .*'oops' \({ATTEMPTS} attempts\)", True),
        ((429, {"Retry-After": "3600"}, "later"), "HTTP 429 .*it asks to wait 3600 s", True),
        ("cut", r"the connection to .* broke", True),
        ((200, {}, "nonsense"), "no chat completion from .*'nonsense'", True),
        ((400, {}, "image too large"), "HTTP 400 .*'image too large'", False),
        (
            (200, {}, json.dumps({"choices": [{"message": {"content": None}, "finish_reason": "content_filter"}]})),
            "filter",
            False,
        ),
        (
            (
                200,
                {},
                '{"choices": [{"message": {"content": ""}, "finish_reason": "length"}], "usage": {"completion_tokens": 64}}',
            ),
            "said nothing: it stopped after 64 tokens for the reason 'length'",
            False,
        ),
    ],
    ids=["500", "429", "cut", "nonsense", "400", "filter", "length"],
)
def test_a_sample_without_an_answer_is_failed_and_the_next_run_asks_again_where_that_may_help(
    ask, card, proxy, samples, local, fault, reason, passing
):
    endpoint = proxy(lambda request: fault if request.question == question(samples[2]) else None)
    answers, record = ask(card(endpoint), samples)
    assert isinstance(answers[2], Failed)
    assert re.search(reason, answers[2].reason)
    assert [answers[i] for i in (0, 1, 3)] == [local[i] for i in (0, 1, 3)]
    assert record["unanswered"] == passing
    before, endpoint.fault = endpoint.requests, lambda _: None
    again, record = ask(card(endpoint), samples)
    assert endpoint.requests - before <= 1, "what was answered is not asked, or paid, again"
    assert again == local if passing else again[0] == local[0]
    assert record["answered_earlier"] >= 3


def test_a_refused_sample_counts_as_wrong_and_is_listed_for_good(new_lab, case, card, proxy, samples):
    broken = question(samples[2])
    endpoint = proxy(lambda request: (400, {}, "no") if request.question == broken else None)
    first = new_lab(limit=4).evaluate(case(card(endpoint)))
    assert [bool(p.error) for p in first.predictions] == [question(s) == broken for s in samples]
    assert all(p.answer == "" for p in first.predictions if p.error)
    endpoint.fault = lambda _: None
    assert new_lab(limit=4, started=time.time() + 1).evaluate(case(card(endpoint))) == first, "a refusal is for good"


def test_an_outcome_with_unanswered_samples_is_completed_by_the_next_run_and_stands_within_its_own(
    new_lab, case, card, proxy, samples
):
    later = (429, {"Retry-After": "3600"}, "later")
    endpoint = proxy(lambda request: later if request.question == question(samples[2]) else None)
    first = new_lab(limit=4).evaluate(case(card(endpoint)))
    assert first.notes["served"]["unanswered"] == sum(bool(p.error) for p in first.predictions) == 1
    endpoint.fault = lambda _: None
    assert new_lab(limit=4).evaluate(case(card(endpoint))) == first
    complete = new_lab(limit=4, started=time.time() + 1).evaluate(case(card(endpoint)))
    assert not any(p.error for p in complete.predictions)
    assert complete.notes["served"]["answered_earlier"] == 3


def test_an_unreadable_image_is_failed_and_sent_nowhere(ask, card, proxy, samples):
    class Torn:
        digest = "torn"

        def open(self):
            raise UnreadableImage("torn.png is torn")

    endpoint = proxy()
    answers, record = ask(card(endpoint), [replace(samples[0], image=Torn()), samples[1]])
    assert answers[0] == Failed("torn.png is torn")
    assert (endpoint.requests, record["unanswered"]) == (1, 0)


def test_a_run_that_ends_early_pays_for_no_answer_twice(ask, card, proxy, samples, local):
    endpoint = proxy(lambda request: (401, {}, "who are you?") if request.question == question(samples[3]) else None)
    with pytest.raises(ChatDown, match=r"^served-llava: HTTP 401 from .*who are you"):
        ask(card(endpoint), samples)
    answered = endpoint.requests - endpoint.asked[question(samples[3])]
    endpoint.fault = lambda _: None
    answers, record = ask(card(endpoint), samples)
    assert answers == local
    assert record["answered_earlier"] == answered


def test_equal_questions_are_one_request(ask, card, proxy, samples, local):
    endpoint = proxy()
    answers, record = ask(card(endpoint), [samples[0], samples[1], samples[0]])
    assert answers == [local[0], local[1], local[0]]
    assert endpoint.requests == record["requests"] == 2


@pytest.mark.parametrize("changed", ["weights", "thinking", "prompt", "image"])
def test_whatever_decides_an_answer_makes_it_another_request(ask, card, proxy, samples, changed):
    reply = '{"choices": [{"message": {"content": "yes"}, "finish_reason": "stop"}]}'
    endpoint = proxy(lambda _: (200, {}, reply))
    ask(card(endpoint), samples[:1])
    new = {"prompt": replace(samples[0], prompt="Why?"), "image": replace(samples[0], image=samples[1].image)}
    more = {"weights": {"weights": "other"}, "thinking": {"thinking": 100}}
    ask(card(endpoint, **more.get(changed, {})), [new.get(changed, samples[0])])
    assert endpoint.requests == 2


def test_a_reasoning_models_endpoint_is_asked_in_the_words_it_takes(ask, card, proxy, samples, local):
    def refusing(request: Request) -> Fault:
        for name in ("max_tokens", "temperature"):
            if name in request.body:
                return 400, {}, json.dumps({"error": {"message": f"Unsupported: {name}", "param": name}})
        return None

    endpoint = proxy(refusing)
    answers, record = ask(card(endpoint, thinking=1000), samples)
    assert answers == local
    assert record["asked_with"] == [{"max_completion_tokens": 1064}]
    assert max(endpoint.asked.values()) <= 3


def test_an_endpoint_with_a_limit_is_asked_no_faster_than_it_bears(card, proxy, new_lab, tmp_path, case, rows):
    refused = []

    def limited(request: Request) -> Fault:
        if request.others >= 3:
            refused.append(request.question)
            return 429, {"Retry-After": "0"}, "too many at a time"
        return None

    lab = new_lab(limit=24)
    served = openai(card(proxy(limited)), Cache(tmp_path), sleep=lambda _: time.sleep(0.05))
    answers, record = served.answer(lab.task(rows.tasks[TASK]).test, Bench(lab, case(rows.models["pocket-llava"])), 64)
    assert refused, "it begins with more than that"
    assert record["unanswered"] == 0
    assert all(isinstance(answer, Said) for answer in answers)


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_an_endpoint_that_refuses_ends_the_case_at_once(new_lab, case, card, proxy, status):
    endpoint = proxy(lambda _: (status, {}, "go away"))
    with pytest.raises(ChatDown, match=rf"served-llava: HTTP {status} from http://127.*'go away'"):
        new_lab(limit=24).evaluate(case(card(endpoint)))
    assert endpoint.requests <= 8, "those under way"


def test_an_endpoint_that_is_not_there_ends_the_case_with_one_message(ask, card, proxy, samples):
    nowhere = replace(card(proxy()), url="http://127.0.0.1:9/v1")
    with pytest.raises(ChatDown, match=r"served-llava: cannot connect to http://127.0.0.1:9/v1"):
        ask(nowhere, samples)


def test_an_endpoint_that_answers_nobody_is_down_and_no_score(ask, card, proxy, new_lab, rows):
    endpoint = proxy(lambda _: (503, {}, "maintenance"))
    with pytest.raises(ChatDown, match=rf"served-llava: {IN_A_ROW} questions in a row got no answer; the last: HTTP 503"):
        ask(card(endpoint), new_lab(limit=48).task(rows.tasks[TASK]).test)


def test_a_case_in_which_every_sample_is_refused_is_no_score(new_lab, case, card, proxy):
    endpoint = proxy(lambda _: (400, {}, "this model takes no images"))
    with pytest.raises(BrokenData, match=r"every one of 4 samples failed; the first: HTTP 400 .*takes no images"):
        new_lab(limit=4).evaluate(case(card(endpoint)))


def test_the_key_goes_to_the_endpoint_and_nowhere_else_even_where_that_repeats_it(
    new_lab, case, card, proxy, samples, tmp_path
):
    said = json.dumps({"model": KEY, "choices": [{"message": {"content": f"yes {KEY}"}, "finish_reason": "stop"}]})
    faults: dict[str, Fault] = {question(samples[0]): (200, {}, said), question(samples[1]): (400, {}, f"bad key {KEY}")}
    endpoint = proxy(lambda request: faults.get(request.question))
    lab = new_lab(limit=4)
    outcome = lab.evaluate(case(card(endpoint)))
    assert endpoint.keys == {f"Bearer {KEY}"}
    assert outcome.predictions[0].answer == "yes [key]"
    assert "bad key [key]" in outcome.predictions[1].error
    endpoint.fault = lambda _: (401, {}, KEY)
    with pytest.raises(ChatDown) as refused:
        lab.evaluate(case(card(endpoint, weights="another")))
    written = "".join(path.read_text("utf-8", "replace") for path in lab.store.folder.rglob("*.json"))
    assert "yes [key]" in written
    model = lab.model(card(endpoint))
    assert KEY not in written + repr(outcome) + str(refused.value) + repr(model) + repr(vars(lab)) + repr(card(endpoint))


def test_the_key_of_an_outcome_is_of_the_endpoint_and_the_name_there(new_lab, case, card, proxy):
    row = card(proxy())
    others = [replace(row, url="http://elsewhere.example/v1"), replace(row, weights="other"), replace(row, thinking=9)]
    keys = [new_lab().key(case(one)) for one in (row, *others)]
    assert len(set(keys)) == 4
    assert new_lab(dtype="bfloat16", batch_size=1).key(case(row)) == keys[0], "they are the server's"


def test_a_served_model_is_asked_questions_off_the_shelf_and_nothing_else(rows):
    row = replace(rows.models["pocket-llava"], name="served", type="served", budget="standard")
    planned = cases([row], list(rows.tasks.values()), list(rows.regimes.values()), [0])
    assert {(one.task.kind, one.regime.name) for one in planned} == {("vqa", "zero-shot"), ("vqa", "chain-of-thought")}


ROW = """
[models.served]
kind    = "general"
type    = "served"
family  = "pocket-llava"
partner = "{partner}"
adapter = "medrival.models.served:openai"
weights = "{weights}"
saw     = ["everyday scene"]
url     = "{url}"
key_variable = "POCKET_KEY"
"""


def test_a_served_model_partners_with_a_generator_and_not_with_a_dual_encoder(tmp_path):
    (tmp_path / "row.toml").write_text(ROW.format(partner="pocket-medllava", weights="x", url="http://localhost:1/v1"))
    rows = catalog.load([tmp_path / "row.toml"])
    models = [rows.models["served"], rows.models["pocket-medllava"]]
    (pair,) = pairs(cases(models, [rows.tasks[TASK]], [rows.regimes["zero-shot"]], [0]))
    assert pair.id == f"served~pocket-medllava-{TASK}-zero-shot"
    (tmp_path / "row.toml").write_text(ROW.format(partner="pocket-medclip", weights="x", url="http://localhost:1/v1"))
    with pytest.raises(BrokenCatalog, match="they are general served with budget 'standard' and medical dual-encoder"):
        catalog.load([tmp_path / "row.toml"])


def test_a_study_pairs_a_served_model_and_its_report_has_no_key(study, proxy, server, tmp_path, drawn):
    (tmp_path / "store" / "tasks").mkdir(parents=True)
    for phantoms in drawn.iterdir():  # drawing them anew takes longest
        (tmp_path / "store" / "tasks" / phantoms.name).symlink_to(phantoms)
    endpoint = proxy()
    (tmp_path / "row.toml").write_text(ROW.format(partner="pocket-medllava", weights=server[1], url=endpoint.url))
    chosen = ("--models", "served,pocket-medllava", "--tasks", TASK, "--regimes", "zero-shot", "--limit", "12")
    done = study("--catalog", str(tmp_path / "row.toml"), *chosen, POCKET_KEY=KEY)
    assert done.status == 0, done.output
    (served,) = (one for one in done.report["cases"] if one["model"] == "served")
    assert served["notes"]["served"]["requests"] == 12
    assert [pair["id"] for pair in done.report["pairs"]] == [f"served~pocket-medllava-{TASK}-zero-shot"]
    asked = endpoint.requests
    assert study("--catalog", str(tmp_path / "row.toml"), *chosen, POCKET_KEY=KEY).numbers == done.numbers
    assert endpoint.requests == asked
    written = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert KEY.encode() not in written + done.output.encode()
