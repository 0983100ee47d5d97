"""POST /v1/analyze against a server that speaks the language model's protocol and always gives one answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine

from tests.gateway import rows
from tests.gateway.conftest import running
from tests.gateway.test_keys import bearer, is_problem
from yuqing.settings import Settings

pytestmark = pytest.mark.service

TEXT = "星河汽车召回一批轿车。公司向用户道歉。"
ANSWER = {
    "sentiment": "negative",
    "category": "新闻报道",
    "summary": "召回",
    "keywords": ["召回"],
    "companies": [{"id": 1, "sentiment": "negative", "risk": 2, "types": ["产品质量"], "evidence": [1]}],
}


def completion(text: str) -> dict[str, Any]:
    """An answer in which every label is one token of probability 0.9."""
    words, rest = [], text
    while rest:
        size = next((len(label) for label in ("negative", "neutral", "positive") if rest.startswith(label)), 1)
        words.append(rest[:size])
        rest = rest[size:]
    tokens = [{"token": word, "bytes": list(word.encode()), "logprob": -0.105} for word in words]
    choice = {
        "message": {"content": text},
        "finish_reason": "stop",
        "logprobs": {"content": [{**token, "top_logprobs": [token]} for token in tokens]},
    }
    return {"choices": [choice], "usage": {"prompt_tokens": 100, "completion_tokens": 40}}


class Handler(BaseHTTPRequestHandler):
    """The two calls that the analysis makes."""

    reply = json.dumps(ANSWER, ensure_ascii=False, separators=(",", ":"))

    def _send(self, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def do_GET(self) -> None:
        """The served models."""
        self._send({"data": [{"id": "yuqing", "root": "/models/small+inews", "owned_by": "vllm"}]})

    def do_POST(self) -> None:
        """A completion."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self._send(completion(self.reply))

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def client(settings: Settings, database: Engine) -> Iterator[httpx.Client]:
    """An analyst's client of a gateway that has a language model."""
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    llm = {"url": f"http://127.0.0.1:{server.server_port}/v1", "model": "yuqing"}
    with (
        running(llm=llm) as address,
        httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as found,
    ):
        assert found.get("/readyz").json()["dependencies"]["language_model"] == {"ok": True}
        yield found
    server.shutdown()


def test_a_text_is_judged_with_proof_and_lineage(client: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    body = {"title": "召回", "text": TEXT, "companies": ["星河汽车"]}
    answer = client.post("/v1/analyze", json=body)
    assert answer.status_code == 200, answer.text
    result = answer.json()
    assert (result["sentiment"], result["category"], result["summary"]) == ("negative", "新闻报道", "召回")
    verdict = result["verdicts"][0]
    assert (verdict["company"], verdict["sentiment"], verdict["risk_level"]) == ("星河汽车", "negative", 2)
    quote = verdict["evidence"][0]
    assert TEXT[quote["start"] : quote["end"]] == quote["quote"] == "星河汽车召回一批轿车。"
    assert result["lineage"]["model"] == "small"
    assert result["lineage"]["adapter"] == "inews"
    assert result["lineage"]["prompt_tokens"] == 100
    monkeypatch.setattr(Handler, "reply", "no JSON at all")
    is_problem(client.post("/v1/analyze", json=body), 503, "language-model-away")
