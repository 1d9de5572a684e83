"""Small real things that stand in for large ones: an endpoint of a chat model, a text encoder."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

Reply = tuple[int, dict[str, str], str]
"""Status, headers and body."""
Answers = Callable[[dict[str, str], int], Reply]
"""(texts to judge, how often they were asked about before) -> reply."""


def said(content: str) -> Reply:
    return 200, {}, json.dumps({"choices": [{"message": {"role": "assistant", "content": content}}]})


@dataclass
class Endpoint:
    """A server on this machine, and what it was asked.

    Attributes:
        most_at_once: requests that were under way at the same time, at most.
    """

    reply: Answers
    bodies: list[dict] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    asked: Counter = field(default_factory=Counter)
    under_way: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    url: str = ""

    def serve(self, path: str, headers: dict[str, str], body: dict) -> Reply:
        assert path == "/v1/chat/completions"
        user = body["messages"][1]["content"]
        with self.lock:
            before = self.asked[user]
            self.asked[user] += 1
            self.bodies.append(body)
            self.headers.append(headers)
            self.under_way += 1
            self.most_at_once = max(self.most_at_once, self.under_way)
        try:
            return self.reply(json.loads(user), before)
        finally:
            with self.lock:
                self.under_way -= 1


@contextmanager
def serving(reply: Answers) -> Iterator[Endpoint]:
    """An OpenAI-compatible endpoint on a port of its own."""
    served = Endpoint(reply)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, headers, text = served.serve(self.path, dict(self.headers), body)
            content = text.encode()
            try:
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(content))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)
            except OSError:
                pass  # the client has hung up

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    served.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield served
    finally:
        server.shutdown()
        server.server_close()


def save_encoder(folder: Path, words: Sequence[str]) -> Path:
    """A BERT of three layers with seeded random weights, saved as users save theirs."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    vocabulary = folder / "words.txt"
    vocabulary.write_text("\n".join(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", *words]))
    tokenizer = BertTokenizerFast(str(vocabulary))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4}
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(tokenizer), max_position_embeddings=40, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
