"""Statements as the driver takes them, put together once for each shape of a request and kept as text.

To build a SELECT, to find it again in SQLAlchemy's cache and to wrap its rows takes longer than the database takes to answer.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import psycopg
from sqlalchemy import Executable
from sqlalchemy.dialects.postgresql.psycopg import dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

_DIALECT = dialect()  # type: ignore[no-untyped-call]


@dataclass(frozen=True)
class Compiled:
    """A statement's text, with the values that are the same each time; those of `bindparam` are given when it runs."""

    text: str
    constants: Mapping[str, Any]


def compiled(statement: Executable) -> Compiled:
    """The statement as text. It may hold no list of a length that differs from time to time: use `= ANY(array)`."""
    made = statement.compile(dialect=_DIALECT)  # type: ignore[attr-defined]
    return Compiled(str(made), {name: value for name, value in made.params.items() if value is not None})


async def run(connection: AsyncConnection, statement: Compiled, values: Mapping[str, Any]) -> list[tuple[Any, ...]]:
    """All rows, by the connection of SQLAlchemy's pool but past SQLAlchemy. Raises its DBAPIError."""
    driver: Any = (await connection.get_raw_connection()).driver_connection
    try:
        cursor = await driver.execute(statement.text, {**statement.constants, **values}, binary=True)
        return list(await cursor.fetchall())
    except psycopg.Error as error:
        if driver.closed:
            await connection.exec_driver_sql("SELECT 1")  # SQLAlchemy meets the broken connection, and renews its pool
        raise DBAPIError.instance(
            statement.text, dict(values), error, psycopg.Error, hide_parameters=True, dialect=_DIALECT
        ) from error
