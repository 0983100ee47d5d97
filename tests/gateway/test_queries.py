"""The number of statements does not grow with the number of rows."""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import psycopg
import pytest
import structlog
from sqlalchemy import Engine

from gateway.queries import families, trends
from gateway.queries.companies import list_companies
from gateway.queries.documents import list_documents
from gateway.queries.pipeline import pipeline_metrics
from gateway.queries.reading import read_document
from gateway.queries.selection import DocumentFilter
from gateway.queries.terms import parse_terms
from gateway.queries.verdicts import VerdictFilter, list_verdicts
from tests.gateway.test_scopes import ROUTES, ask, clients, objects  # noqa: F401 - fixtures
from yuqing.database.session import async_engine
from yuqing.settings import Settings

pytestmark = pytest.mark.service

# A document with all that is known of it takes the most.
STATEMENTS = 8 + (BESIDE := 3)  # the key's, and those of the gateway's own queues meanwhile


def test_statements_a_request(
    settings: Settings, database: Engine, press: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with database.connect() as connection:
        team = connection.exec_driver_sql("SELECT id FROM teams").scalar_one()

    async def count() -> dict[str, int]:
        pool = async_engine(settings)
        statements: list[object] = []
        execute = psycopg.AsyncCursor.execute

        async def counted(self: psycopg.AsyncCursor[Any], query: Any, *given: Any, **more: Any) -> Any:
            statements.append(query)
            return await execute(self, query, *given, **more)

        monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)
        numbers = {}
        async with pool.connect() as connection:
            end = datetime.now(UTC)
            month = DocumentFilter(since=end - timedelta(days=30), until=end)
            wanted = DocumentFilter(sentiment="negative", risk=1, terms=parse_terms("召回"), collapse=True)
            for name, query in {
                "list": list_documents(connection, team, DocumentFilter(), limit=100),
                "filtered": list_documents(connection, team, wanted, limit=100),
                "companies": list_companies(connection, team),
                "document": read_document(connection, team, press["recall"]),
                "missing": read_document(connection, team, "0" * 32),
                "collapsed": list_documents(connection, team, DocumentFilter(collapse=True), limit=100),
                "verdicts": list_verdicts(connection, team, 1, VerdictFilter(), limit=100),
                "volume": trends.series(connection, team, month, "day", ZoneInfo("UTC"), by="company"),
                "voices": trends.share_of_voice(connection, team, month, {}),
                "sources": trends.top_sources(connection, team, month, {}, by="site", limit=10),
                "keywords": trends.top_keywords(connection, team, month, limit=10),
                "families": families.top_families(connection, team, month, {"caijing": 2.0}, limit=10),
                "spread": families.spread(connection, team, press["recall"], {}, limit=10),
                "metrics": pipeline_metrics(connection),
            }.items():
                statements.clear()
                assert await query is not None or name == "missing"
                numbers[name] = len(statements)
        await pool.dispose()
        return numbers

    assert asyncio.run(count()) == {
        "list": 1,
        "filtered": 3,
        "companies": 1,
        "document": 6,
        "missing": 1,
        "collapsed": 2,
        "verdicts": 1,
        "volume": 2,
        "voices": 1,
        "sources": 1,
        "keywords": 1,
        "families": 2,
        "spread": 1,
        "metrics": 6,
    }


def test_statements_of_every_route(
    clients: dict[str, httpx.Client],  # noqa: F811
    objects: dict[str, object],  # noqa: F811
    press: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    statements: list[object] = []
    execute = psycopg.AsyncCursor.execute

    async def counted(self: psycopg.AsyncCursor[Any], query: Any, *given: Any, **more: Any) -> Any:
        if "request_id" in structlog.contextvars.get_contextvars():  # not those of the gateway's own tasks
            statements.append(query)
        return await execute(self, query, *given, **more)

    def count(limit: int) -> dict[str, int]:
        numbers = {}
        for name, route in ROUTES.items():
            if route.method == "GET":
                limited = replace(route, path=f"{route.path}{'&' if '?' in route.path else '?'}limit={limit}")
                statements.clear()
                assert ask(clients["admin"], limited, objects, "admin").status_code < 500, name
                numbers[name] = len(statements)
        return numbers

    monkeypatch.setattr(psycopg.AsyncCursor, "execute", counted)  # the gateway runs in a thread of this process
    few, many = count(1), count(100)
    assert len(press) >= 3 * BESIDE
    grown = {name: (few[name], many[name]) for name in few if many[name] > few[name] + BESIDE}
    assert not grown, "the number of statements grows with the rows"
    assert max(many.values()) <= STATEMENTS, many


def test_what_is_empty_is_told_as_zero_and_what_is_put_off_as_later(settings: Settings, database: Engine) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, status, scheduled_at) VALUES "
            "('analyze', 'analyze', 'todo', NULL), ('analyze', 'analyze', 'todo', now() + interval '1 minute'), "
            "('analyze', 'analyze', 'todo', now() + interval '5 hours'), "
            "('transcribe', 'transcribe', 'todo', now() + interval '5 hours')"
        )
        connection.exec_driver_sql("INSERT INTO ledger VALUES ('tested', 'raw/a/1', 'done', '{}', NULL, now(), now())")

    async def told() -> dict[str, dict[tuple[str, ...], float]]:
        pool = async_engine(settings)
        async with pool.connect() as connection:
            found = await pipeline_metrics(connection)
        await pool.dispose()
        return {
            metric.name: {tuple(sample.labels.values()): sample.value for sample in metric.samples} for metric in found
        }

    found = asyncio.run(told())
    for queue in ("transcribe", "analyze"):
        assert {(queue, "todo"), (queue, "doing"), (queue, "failed")} <= found["yuqing_jobs"].keys()
    assert found["yuqing_jobs"]["transcribe", "failed"] == 0
    assert (found["yuqing_jobs"]["analyze", "todo"], found["yuqing_jobs"]["analyze", "later"]) == (2, 1)
    assert (found["yuqing_jobs"]["transcribe", "todo"], found["yuqing_jobs"]["transcribe", "later"]) == (0, 1)
    assert ("transcribe",) not in found["yuqing_oldest_job_seconds"]
    batches = found["yuqing_ledger_batches"]
    assert (batches["tested", "done"], batches["tested", "failed"]) == (1, 0)
