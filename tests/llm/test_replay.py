"""A day analysed again, with the real database and the real server."""

import json
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Engine, text

from tests.llm.conftest import WEATHER, News, Server, identity, put_news, yuqing

pytestmark = pytest.mark.service

NEWS: tuple[News, ...] = (WEATHER, replace(WEATHER, name="again", group="weather"))


def _rows(pool: Engine, columns: str) -> list[Any]:
    with pool.connect() as connection:
        return [tuple(row) for row in connection.execute(text(f"SELECT {columns} FROM verdicts ORDER BY doc_id"))]


def test_a_replay_tells_what_would_change_and_writes_only_when_told(
    database: Engine, environment: dict[str, str], llm_server: Server
) -> None:
    put_news(database, NEWS)
    environment |= llm_server.environment
    # The day as triage answered it, then as the language model does, with an answer of yesterday that differs.
    assert json.loads(yuqing("analyze", "--json", environment=environment).stdout) == {
        "triaged": 1,
        "inherited": 1,
        "failed": 0,
    }
    with database.begin() as connection:
        connection.execute(text("UPDATE verdicts SET sentiment = 'negative', risk_level = 4"))
    before = _rows(database, "doc_id, engine, sentiment, inherited_from, created_at")
    again = ("analyze", "--replay", "2026-01-01")
    dry = yuqing(*again, "--json", environment=environment)
    assert dry.returncode == 0, dry.stderr
    found = json.loads(dry.stdout)
    assert (found["documents"], found["failed"], found["written"]) == (2, 0, 0)
    assert {(change["doc_id"], change["company"], change["field"]) for change in found["changes"]} == {
        (identity(item.name), "支付宝", field) for item in NEWS for field in ("sentiment", "risk_level")
    }
    assert {change["after"] for change in found["changes"]} == {"neutral", 0}
    assert _rows(database, "doc_id, engine, sentiment, inherited_from, created_at") == before

    environment |= {"YUQING_LLM__TRIAGE": "false"}
    written = yuqing(*again, "--adapter", "inews-v2", "--write", environment=environment)
    assert written.returncode == 0, written.stderr
    assert "2 documents with" in written.stdout
    assert "2 written, 0 failed" in written.stdout
    assert {row[0] for row in _rows(database, "engine")} == {"vllm"}
    inherited = {identity("again"): identity("weather"), identity("weather"): None}
    assert dict(_rows(database, "doc_id, inherited_from")) == inherited

    poor = yuqing(*again, environment=environment | {"YUQING_LLM__DAILY_TOKENS": "100"})
    assert poor.returncode == 2
    assert "the budget is 100" in poor.stderr

    other_day = yuqing("analyze", "--replay", "2025-12-31", "--json", environment=environment)
    assert json.loads(other_day.stdout)["documents"] == 0
    refused = yuqing(*again, "--adapter", "other", environment=environment)
    assert refused.returncode == 2
    assert "not other" in refused.stderr
    assert yuqing("analyze", "--write", environment=environment).returncode == 2
