"""A small chat server on this machine that says what a test wants, as badly as a test wants."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass(frozen=True)
class Reply:
    """A raw reply: any status, headers and bytes, after ``delay`` seconds."""

    body: bytes
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drip: float = 0.0


Answer = Callable[[dict[str, Any], int], "str | Reply"]
"""From a request's body and its number to words, or to a raw reply."""


@dataclass
class Stub:
    """A running server: its address, and every request it got."""

    address: str
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[Mapping[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)

    def named(self, **options: Any) -> str:
        """The address with a model, short pauses, and further options."""
        words = {"model": "stub", "wait": 0.01, **options}
        return f"{self.address}?" + "&".join(f"{name}={value}" for name, value in words.items())

    @property
    def questions(self) -> list[str]:
        """What was asked, request by request."""
        return [body["messages"][0]["content"] for body in self.asked]


@contextmanager
def serving(answer: Answer, models: tuple[str, ...] = ("stub",)) -> Iterator[Stub]:
    """A server for the length of the block."""
    lock = threading.Lock()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(stub.asked)
                stub.asked.append(body)
                stub.headers.append(dict(self.headers))
                stub.times.append(time.monotonic())
            made = answer(body, number)
            self._send(made if isinstance(made, Reply) else said(made))

        def do_GET(self) -> None:
            self._send(Reply(json.dumps({"data": [{"id": name} for name in models]}).encode()))

        def _send(self, reply: Reply) -> None:
            time.sleep(reply.delay)
            try:
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(reply.body)))
                self.end_headers()
                for place in range(len(reply.body)) if reply.drip else ():
                    self.wfile.write(reply.body[place : place + 1])
                    time.sleep(reply.drip)
                self.wfile.write(b"" if reply.drip else reply.body)
            except OSError:
                pass  # the client gave up

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    stub = Stub(f"http://127.0.0.1:{server.server_address[1]}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield stub
    finally:
        server.shutdown()
        server.server_close()


def said(text: str | None) -> Reply:
    """A well-formed chat completion."""
    message = {"role": "assistant", "content": text}
    return Reply(json.dumps({"choices": [{"index": 0, "message": message}]}).encode())


def busy(after: str | None = None, status: int = 429) -> Reply:
    """A server that asks to come again."""
    return Reply(b"{}", status, {} if after is None else {"Retry-After": after})
