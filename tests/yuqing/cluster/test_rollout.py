"""Rolling out an adapter: servers that load it late, never or half, a canary that fails, and somebody else who is faster."""

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.yuqing.cluster.api_server import ApiServer
from tests.yuqing.cluster.conftest import pod
from yuqing.adapters import ACTIVE, Active, AdapterError, activate, folder_of, read_active
from yuqing.cluster.connection import Cluster, ClusterError, NotAllowed
from yuqing.cluster.reach import reach
from yuqing.cluster.rollout import RolloutFailed, judge, roll_out
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, get_settings

QUESTION = {
    "id": "1",
    "title": "星河汽车召回",
    "text": "星河汽车召回汽车。",
    "companies": ["星河汽车"],
    "sentiment": "negative",
}


@dataclass
class ModelServer:
    """What a server lists as its models; it cannot analyse anything, so that every canary fails."""

    cards: Callable[[], list[dict[str, Any]]]
    port: int = 0
    http: ThreadingHTTPServer = field(init=False)

    def __post_init__(self) -> None:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                good = self.headers["Authorization"] == "Bearer key-of-the-tests"
                body = json.dumps({"data": outer.cards()} if good else {"error": "Unauthorized"}).encode()
                self.send_response(200 if good else 401)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.send_response(400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.http.server_address[1]
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()


def merged(name: str) -> list[dict[str, Any]]:
    """A server with merged weights."""
    return [{"id": "yuqing", "root": f"/cache/base+{name}"}]


@pytest.fixture
def rollout_settings(server: ApiServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Real S3, the cluster of the test, short waits."""
    for name, value in {
        "YUQING_CLUSTER__KUBECONFIG": str(server.kubeconfig()),
        "YUQING_CLUSTER__POLL_S": "0.05",
        "YUQING_CLUSTER__ROLLOUT_TIMEOUT_S": "90",
        "YUQING_LLM__API_KEY": "key-of-the-tests",
        "YUQING_LLM__ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def servers(server: ApiServer, store: ObjectStore) -> Iterator[Callable[..., None]]:
    """Makes pods llm-1, llm-2, ...; each serves what its function lists."""
    made: list[ModelServer] = []
    for name in ("v1", "v2"):
        store.put(folder_of(name) + "card.json", json.dumps({"sha256": name[1] * 64}).encode())

    def make(*listed: Callable[[], list[dict[str, Any]]]) -> None:
        for number, cards in enumerate(listed, 1):
            made.append(ModelServer(cards))
            server.put("pods", pod(f"llm-{number}", "llm"))
            server.ports[f"llm-{number}"] = made[-1].port

    yield make
    for item in made:
        item.http.shutdown()
        item.http.server_close()


def as_active(store: ObjectStore) -> Callable[[], list[dict[str, Any]]]:
    """A server that follows adapters/active.json."""

    def cards() -> list[dict[str, Any]]:
        active = read_active(store).active
        return merged(active.adapter if active and active.adapter else "v0")

    return cards


@pytest.mark.service
def test_a_canary_that_fails_brings_the_old_adapter_back(
    server: ApiServer, rollout_settings: Settings, store: ObjectStore, servers: Callable[..., None]
) -> None:
    servers(as_active(store), as_active(store))
    activate(store, "v1", by="before")
    told: list[str] = []
    with pytest.raises(AdapterError, match="no comparison with v1"):
        roll_out(Cluster(rollout_settings), store, rollout_settings, "v2", by="lin")
    card = {
        "sha256": "2" * 64,
        "comparisons": [{"with": {"sha256": "1" * 64}, "accuracy": [0.8, 0.7], "mcnemar_p": 0.01}],
    }
    store.put(folder_of("v2") + "card.json", json.dumps(card).encode())
    with pytest.raises(RolloutFailed, match=r"v2 was not rolled out: the canary failed on llm-1: negative: ") as failed:
        roll_out(Cluster(rollout_settings), store, rollout_settings, "v2", by="lin", tell=told.append)
    assert failed.value.cure == "v1 is active again"
    active = read_active(store).active
    assert active and (active.adapter, active.generation, active.activated_by) == ("v1", 3, "lin")
    assert told[-2:] == ["gone back to v1; waiting for the servers", "all 2 servers serve it"]


@pytest.mark.service
def test_a_server_that_never_serves_it_is_named_and_nothing_stays_behind(
    rollout_settings: Settings, store: ObjectStore, servers: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    servers(as_active(store), lambda: merged("v0"))
    monkeypatch.setenv("YUQING_CLUSTER__ROLLOUT_TIMEOUT_S", "1")
    get_settings.cache_clear()
    with pytest.raises(RolloutFailed, match="these servers do not serve it: llm-2: it serves base.v0") as failed:
        roll_out(Cluster(get_settings()), store, get_settings(), "v2", by="lin")
    assert failed.value.cure == "what the servers' settings say is active again"
    assert not store.exists(ACTIVE)


@pytest.mark.service
def test_somebody_elses_change_is_not_undone(
    rollout_settings: Settings, store: ObjectStore, servers: Callable[..., None]
) -> None:
    theirs: list[Active] = []

    def cards() -> list[dict[str, Any]]:
        if not theirs and read_active(store).active:
            theirs.append(activate(store, "v1", by="another"))
        return merged("v2")

    servers(cards)
    with pytest.raises(RolloutFailed) as failed:
        roll_out(Cluster(rollout_settings), store, rollout_settings, "v2", by="lin")
    assert "somebody else" in failed.value.cure
    assert read_active(store).active == theirs[0]


@pytest.mark.service
def test_what_is_wrong_before_changes_nothing(
    server: ApiServer,
    rollout_settings: Settings,
    store: ObjectStore,
    servers: Callable[..., None],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def rolled_out(name: str = "v2", **options: Any) -> None:
        roll_out(Cluster(get_settings()), store, get_settings(), name, by="lin", **options)

    with pytest.raises(ClusterError, match="no server of the language model runs"):
        rolled_out()
    servers(as_active(store))
    with pytest.raises(AdapterError, match="no adapter v3"):
        rolled_out("v3")
    for number, content in enumerate(("", "{", '{"id": "1", "text": "t", "sentiment": "angry"}', '{"id": "1"}')):
        path = tmp_path / f"{number}.jsonl"
        path.write_text(content)
        with pytest.raises(YuqingError, match="the canary"):
            rolled_out(canary=path)
    server.denied.add(("list", "pods"))
    with pytest.raises(NotAllowed):
        rolled_out()
    assert not store.exists(ACTIVE)
    # Without the right to reach the pods, and with the wrong key, what was activated is taken back.
    server.denied = {("get", "pods/portforward")}
    with pytest.raises(RolloutFailed, match="cannot reach the pod llm-1"):
        rolled_out()
    server.denied = set()
    monkeypatch.setenv("YUQING_LLM__API_KEY", "another")
    get_settings.cache_clear()
    with pytest.raises(RolloutFailed, match="refuse the API key"):
        rolled_out()
    assert not store.exists(ACTIVE)


def test_a_forwarded_port_carries_many_connections_and_large_answers(server: ApiServer, cluster: Cluster) -> None:
    import httpx

    large = [{"id": str(number), "root": "x" * 1000} for number in range(3000)]
    model = ModelServer(lambda: large)
    item = server.put("pods", pod("llm-1", "llm"))
    server.ports["llm-1"] = model.port
    headers = {"Authorization": "Bearer key-of-the-tests"}
    with reach(cluster, item, 8001) as url:
        for _ in range(3):
            assert httpx.get(f"{url}/v1/models", headers=headers, trust_env=False).json()["data"] == large
        server.ports["llm-1"] = 9  # the process in the pod has gone
        with pytest.raises(httpx.HTTPError):
            httpx.get(f"{url}/v1/models", headers=headers, trust_env=False)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url, trust_env=False)
    model.http.shutdown()


@pytest.mark.parametrize(
    ("answers", "problem"),
    [
        ([], "1: no answer"),
        ([{"id": "1", "error": "the answer was cut"}], "1: the answer was cut"),
        ([{"id": "1", "sentiment": "negative", "verdicts": []}], "1: no verdict for 星河汽车"),
        ([{"id": "1", "sentiment": "positive", "verdicts": [{"company": "星河汽车"}]}], "0 of 1 sentiments are right"),
        ([{"id": "1", "sentiment": "negative", "verdicts": [{"company": "星河汽车"}]}], ""),
    ],
)
def test_a_canarys_judgement(answers: list[dict[str, Any]], problem: str) -> None:
    agreement, found = judge([QUESTION], answers, 0.6)
    assert found.startswith(problem) and bool(found) == bool(problem)
    assert agreement == (0.0 if problem else 1.0)
