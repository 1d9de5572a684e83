"""A proxy in front of a real server that breaks what it is told to break and hands on the rest."""

from __future__ import annotations

import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

import httpx2

Fault = tuple[int, dict[str, str], str] | Literal["cut", "hang up", "stall"] | None
"""An answer of the proxy's own (status, headers, body), half of the server's, none, none in time; where None, the server's."""


@dataclass
class Request:
    """What is asked, how often it was before, how many others are under way, and all that was sent."""

    question: str
    before: int
    others: int
    body: dict[str, Any]


@dataclass
class Proxy:
    """Where it listens, what to break, and what went through."""

    upstream: str
    fault: Callable[[Request], Fault] = lambda _: None
    url: str = ""
    asked: Counter[str] = field(default_factory=Counter)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    keys: set[str] = field(default_factory=set)
    under_way: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    done: threading.Event = field(default_factory=threading.Event)

    @property
    def requests(self) -> int:
        return len(self.bodies)

    def begin(self, body: dict[str, Any], key: str) -> Fault:
        question = json.dumps(body["messages"])
        with self.lock:
            request = Request(question, self.asked[question], self.under_way, body)
            self.under_way += 1
            self.asked[question] += 1
            self.bodies.append(body)
            self.keys.add(key)
        return self.fault(request)

    def end(self) -> None:
        with self.lock:
            self.under_way -= 1


@contextmanager
def forwarding(upstream: str, fault: Callable[[Request], Fault] = lambda _: None) -> Iterator[Proxy]:
    """A proxy for the base URL of an endpoint, on a port of its own."""
    proxy = Proxy(upstream, fault)
    client = httpx2.Client(timeout=300)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            try:
                self.answer(proxy.begin(json.loads(content), self.headers.get("Authorization", "")), content)
            except OSError:
                pass  # the client has hung up
            finally:
                proxy.end()

        def answer(self, fault: Fault, content: bytes) -> None:
            if fault == "stall":
                proxy.done.wait(60)
            if fault in ("stall", "hang up"):
                return self.hang_up()
            if isinstance(fault, tuple):
                status, headers, text = fault
                return self.send(status, headers, text.encode(), len(text.encode()))
            url, json_text = proxy.upstream + self.path.removeprefix("/v1"), {"Content-Type": "application/json"}
            answer = client.post(url, content=content, headers=json_text)
            whole = answer.content
            sent = whole[: len(whole) // 2] if fault == "cut" else whole
            self.send(answer.status_code, json_text, sent, len(whole))
            return self.hang_up() if fault == "cut" else None

        def send(self, status: int, headers: dict[str, str], content: bytes, length: int) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def hang_up(self) -> None:
            self.wfile.flush()
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    proxy.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield proxy
    finally:
        proxy.done.set()
        server.shutdown()
        server.server_close()
        client.close()
