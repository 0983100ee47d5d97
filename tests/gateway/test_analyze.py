"""POST /v1/analyze against a server that speaks the language model's protocol and always gives one answer."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway import analysing
from tests.gateway import rows
from tests.gateway.conftest import running
from tests.gateway.test_keys import bearer, is_problem
from tests.gateway.test_watchlist import eventually
from yuqing.objects import ObjectStore
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


def test_a_stored_document_is_judged_for_the_teams_companies(
    client: httpx.Client, database: Engine, store: ObjectStore
) -> None:
    with database.begin() as connection:
        rows.add_company(connection, "公关部", "星河汽车", ("星河",))
        doc_id = rows.add_story(connection, rows.Story("召回", "星河召回一批轿车。公司向用户道歉。", sentiment=None))
        stranger = rows.add_key(connection, "竞争对手")
    answer = client.post("/v1/analyze", json={"doc_id": doc_id})
    assert answer.status_code == 200, answer.text
    (verdict,) = answer.json()["verdicts"]
    # The text has the other name alone, and counts as one that names the company.
    assert (verdict["company"], verdict["grounded"], verdict["evidence"][0]["quote"]) == (
        "星河汽车",
        True,
        "星河召回一批轿车。",
    )
    assert client.get(f"/v1/documents/{doc_id}").json()["verdicts"] == []
    is_problem(client.post("/v1/analyze", json={"doc_id": doc_id}, headers=bearer(stranger)), 404, "not-found")
    for bad in ({"doc_id": doc_id, "text": "x"}, {"doc_id": "no id"}, {}, {"title": "a\x00"}):
        is_problem(client.post("/v1/analyze", json=bad), 422, "validation")


def test_a_batch_is_answered_by_a_job_that_survives_the_model_being_away(
    settings: Settings, database: Engine, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analysing, "AWAY_S", 0.1)
    with database.begin() as connection:
        key, stranger = rows.add_key(connection, "公关部"), rows.add_key(connection, "竞争对手", "admin")
        rows.add_company(connection, "公关部", "星河汽车")
        doc_id = rows.add_story(connection, rows.Story("召回", TEXT, sentiment=None))
    one = {"title": "召回", "text": TEXT, "companies": ["星河汽车"]}
    items = [one, {"doc_id": doc_id}, {"doc_id": "0" * 32}, *([one] * 9)]
    llm = {"url": "http://127.0.0.1:9/v1", "model": "yuqing", "attempts": 1}
    with (
        running(llm=llm) as address,
        httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client,
    ):
        made = client.post("/v1/analyze/batches", json={"items": items}, headers={"Idempotency-Key": "b"})
        assert made.status_code == 202, made.text
        assert (made.json()["state"], made.json()["total"]) == ("waiting", len(items))
        path = made.headers["location"]
        assert client.post("/v1/analyze/batches", json={"items": items}, headers={"Idempotency-Key": "b"}).json() == (
            made.json()
        )
        eventually(1, lambda: client.get(path).json()["failed"])  # the document that does not exist
        assert client.get(path).json()["answered"] == 0
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with (
        running(llm={"url": f"http://127.0.0.1:{server.server_port}/v1", "model": "yuqing"}) as address,
        httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client,
    ):
        eventually("done", lambda: client.get(path).json()["state"])
        state = client.get(path).json()
        assert (state["answered"], state["failed"]) == (len(items) - 1, 1)
        assert state["finished_at"] is not None
        page = client.get(f"{path}/answers", params={"limit": 5}).json()
        rest = client.get(f"{path}/answers", params={"limit": 100, "after": page["next_after"]}).json()
        answers = page["items"] + rest["items"]
        assert [answer["place"] for answer in answers] == list(range(len(items)))
        assert answers[1]["doc_id"] == doc_id
        assert [answer["answer"]["verdicts"][0]["company"] for answer in answers[:2]] == ["星河汽车"] * 2
        assert "does not exist" in answers[2]["problem"]["detail"]
        for method, where in (("GET", path), ("GET", f"{path}/answers"), ("DELETE", path)):
            is_problem(client.request(method, where, headers=bearer(stranger)), 404, "not-found")
        assert [batch["id"] for batch in client.get("/v1/analyze/batches").json()] == [state["id"]]
        assert client.get("/v1/analyze/batches", headers=bearer(stranger)).json() == []
        assert client.delete(path).status_code == 204
        is_problem(client.get(path), 404, "not-found")
        for bad in ([], [{}], [one] * 501, [{"title": "a\x00"}], [{"title": "\ud800"}]):
            answer = client.post("/v1/analyze/batches", content=json.dumps({"items": bad}).encode())
            assert answer.status_code == 422, answer.text
    server.shutdown()
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM analysis_items")).scalar_one() == 0
