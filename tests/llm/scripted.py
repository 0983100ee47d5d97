"""A server of the OpenAI-compatible protocol with the faults that a real one rarely has."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


def judged(number: int, **changes: Any) -> dict[str, Any]:
    """One company of an answer."""
    return {"id": number, "sentiment": "negative", "risk": 2, "types": ["舆论危机"], "evidence": [1]} | changes


def answer(companies: list[dict[str, Any]]) -> str:
    """A whole answer in the product's form."""
    found = {"sentiment": "negative", "category": "新闻报道", "summary": "下线", "keywords": ["滴滴", "滴滴", ""]}
    return json.dumps(found | {"companies": companies}, ensure_ascii=False, separators=(",", ":"))


def chat(text: str, finish: str = "stop") -> dict[str, Any]:
    """The body of a chat completion with log-probabilities; the label tokens are whole, all others one character."""
    pieces: list[str] = []
    rest = text
    while rest:
        size = next((len(label) for label in ("negative", "neutral", "positive") if rest.startswith(label)), 1)
        pieces.append(rest[:size])
        rest = rest[size:]
    content = [
        {"token": piece, "bytes": list(piece.encode()), "logprob": -0.1, "top_logprobs": [
            {"token": piece, "bytes": list(piece.encode()), "logprob": -0.1}]}
        for piece in pieces
    ]  # fmt: skip
    choice = {"message": {"content": text}, "finish_reason": finish, "logprobs": {"content": content}}
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 10}}


@dataclass
class Scripted:
    """`delay_s` is waited before each answer; `mode` is one of these.

    well, away (the connection is cut), slow, memory (HTTP 500), garbage (no JSON), nonsense (not the schema's), key.
    """

    url: str = ""
    mode: str = "well"
    delay_s: float = 0
    asked: list[str] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    request_queue_size = 128  # clients connect 32 at once, and five is what a busy machine turns away


@contextmanager
def scripted_server() -> Iterator[Scripted]:
    """The server on a port of its own."""
    state = Scripted()

    class Handler(BaseHTTPRequestHandler):
        def _send(self, status: int, body: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _answer(self, body: dict[str, Any]) -> None:
            state.asked.append(state.mode)
            time.sleep(state.delay_s)
            if state.mode == "away":
                self.close_connection = True
                self.connection.close()
            elif state.mode == "slow":
                time.sleep(1.5)
            elif state.mode == "memory":
                self._send(500, b'{"error": "CUDA out of memory"}')
            elif state.mode == "garbage":
                self._send(200, b"<html>")
            elif state.mode == "key":
                self._send(401, b"{}")
            else:
                self._send(200, json.dumps(body).encode())

        def do_GET(self) -> None:
            self._answer({"data": [{"id": "yuqing", "root": "/models/qwen+tests-1", "owned_by": "scripted"}]})

        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            schema = asked["response_format"]["json_schema"]["schema"]
            if "companies" in schema["properties"]:
                count = schema["properties"]["companies"]["maxItems"]
                text = answer([judged(number) for number in range(1, count + 1)])
            else:  # a label alone
                text = '{"sentiment":"negative"}'
            self._answer(chat("好的，这是负面的。" if state.mode == "nonsense" else text))

        def log_message(self, *_: Any) -> None:
            pass

    server = _Server(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
