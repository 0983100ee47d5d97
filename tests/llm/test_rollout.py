"""Rolling out an adapter to the real server: what it serves is seen, its canary is answered."""

import json
from urllib.parse import urlsplit

import pytest

from llm.adapters import load_adapter
from tests.llm.conftest import Server
from tests.yuqing.cluster.api_server import ApiServer
from tests.yuqing.cluster.conftest import pod
from tests.yuqing.cluster.conftest import server as server  # a fixture
from yuqing.adapters import folder_of, read_active
from yuqing.cluster.connection import Cluster
from yuqing.cluster.rollout import roll_out
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, get_settings

pytestmark = pytest.mark.service


@pytest.mark.usefixtures("settings")
def test_the_shipped_adapter_is_rolled_out(
    server: ApiServer, llm_server: Server, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = load_adapter("inews-v2")
    store.put(folder_of(adapter.served_name) + "card.json", json.dumps({"sha256": adapter.digest}).encode())
    monkeypatch.setenv("YUQING_CLUSTER__KUBECONFIG", str(server.kubeconfig()))
    monkeypatch.setenv("YUQING_LLM__API_KEY", llm_server.environment["YUQING_LLM__API_KEY"])
    get_settings.cache_clear()
    settings: Settings = get_settings()
    server.put("pods", pod("llm-1", "llm"))
    server.ports["llm-1"] = urlsplit(llm_server.environment["YUQING_LLM__URL"]).port or 0
    told: list[str] = []
    outcome = roll_out(Cluster(settings), store, settings, adapter.served_name, by="lin", tell=told.append)
    assert outcome.pods == ("llm-1",)
    assert outcome.agreement >= settings.cluster.canary_agreement
    assert read_active(store).active == outcome.active
    assert told[-1].startswith("llm-1: canary passed")
