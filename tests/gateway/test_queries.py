"""The number of statements does not grow with the number of rows."""

import asyncio

import pytest
from sqlalchemy import Engine, event

from gateway.queries.companies import list_companies
from gateway.queries.documents import list_documents
from gateway.queries.reading import read_document
from gateway.queries.selection import DocumentFilter
from gateway.queries.terms import parse_terms
from yuqing.database.session import async_engine
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def test_statements_a_request(settings: Settings, database: Engine, press: dict[str, str]) -> None:
    with database.connect() as connection:
        team = connection.exec_driver_sql("SELECT id FROM teams").scalar_one()

    async def count() -> dict[str, int]:
        pool = async_engine(settings)
        statements: list[str] = []
        event.listen(pool.sync_engine, "before_cursor_execute", lambda *given: statements.append(given[2]))
        numbers = {}
        async with pool.connect() as connection:
            wanted = DocumentFilter(sentiment="negative", risk=1, terms=parse_terms("召回"), collapse=True)
            for name, query in {
                "list": list_documents(connection, team, DocumentFilter(), limit=100),
                "filtered": list_documents(connection, team, wanted, limit=100),
                "companies": list_companies(connection, team),
                "document": read_document(connection, team, press["recall"]),
                "missing": read_document(connection, team, "0" * 32),
            }.items():
                statements.clear()
                assert await query is not None or name == "missing"
                numbers[name] = len(statements)
        await pool.dispose()
        return numbers

    assert asyncio.run(count()) == {"list": 3, "filtered": 4, "companies": 1, "document": 6, "missing": 1}
