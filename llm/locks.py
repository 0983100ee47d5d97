"""One worker at a time for a document, across processes: PostgreSQL's advisory locks, which end with their holder."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from weakref import WeakValueDictionary

from sqlalchemy import text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from yuqing.errors import YuqingError


class HeldElsewhere(YuqingError):
    """Another worker is at the document; its job goes back to the queue."""


class DocumentLocks:
    """Locks by document on one connection of their own. An asynchronous context manager.

    Members of a reprint group take the verdicts of their original, so that the original's lock keeps two workers from
    asking twice about any company of the group. A worker that is killed loses the connection and with it its locks.
    """

    def __init__(self, pool: AsyncEngine) -> None:
        self._pool = pool
        self._connection: AsyncConnection | None = None
        self._statement = asyncio.Lock()
        # The connection would be given the same lock twice, so our own jobs wait for each other here.
        self._ours: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def __aenter__(self) -> "DocumentLocks":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._forget()

    async def _forget(self) -> None:
        if self._connection is not None:
            connection, self._connection = self._connection, None
            await connection.invalidate()  # closed, not pooled: what it still holds must end
            await connection.close()

    async def _ask(self, function: str, doc_id: str) -> bool:
        async with self._statement:
            if self._connection is None:
                connection = await self._pool.connect()
                self._connection = await connection.execution_options(isolation_level="AUTOCOMMIT")
            try:
                answer = await self._connection.execute(
                    text(f"SELECT {function}(hashtextextended(:key, 0))"), {"key": f"yuqing.analysis.{doc_id}"}
                )
                return bool(answer.scalar_one())
            except OperationalError:
                await self._forget()
                raise

    @asynccontextmanager
    async def only_one(self, doc_id: str) -> AsyncIterator[None]:
        """Hold the document; waits for jobs of this process. Raises HeldElsewhere when another one has it, OperationalError."""
        ours = self._ours.setdefault(doc_id, asyncio.Lock())
        async with ours:
            if not await self._ask("pg_try_advisory_lock", doc_id):
                raise HeldElsewhere(f"another worker analyses the document {doc_id}", cure="its job waits for it")
            try:
                yield
            finally:
                await self._ask("pg_advisory_unlock", doc_id)
