"""The full-text index, brought up to date beside a run's merges."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from sqlalchemy import Engine, text

from cleaning import publish
from yuqing.database import session

# The larger the index, the farther apart in it are the terms of a few documents: in steps of 500 a document took PostgreSQL 1.8 ms
# in an index of 3,000 documents, and 2.8 ms in one of up to 90,000. The list of what waits holds 6,000 (publish.merge).
_SHARE, _MOST = 0.1, 5000


class TextIndex:
    """Has the terms that wait put into the index by a thread of its own, each time `every` documents were merged, or a tenth of
    all that there are.

    Merges and cleaning go on meanwhile, so that little is left for one process alone when the last merge is done.
    """

    def __init__(self, pool: Engine, every: int) -> None:
        self._pool, self._every, self._waiting, self._all = pool, every, 0, 0
        self._thread = ThreadPoolExecutor(1, "index")
        self._last: Future[None] | None = None

    def __enter__(self) -> "TextIndex":
        with session.transaction(self._pool) as connection:
            estimate = text("SELECT reltuples FROM pg_class WHERE oid = CAST('documents' AS regclass)")
            self._all = max(0, int(connection.execute(estimate).scalar_one()))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown()
        if error is None and self._last is not None:
            self._last.result()

    def merged(self, documents: int) -> None:
        """So many more documents are in the tables. Raises what the last indexing raised."""
        self._waiting += documents
        self._all += documents
        enough = max(self._every, min(_MOST, _SHARE * self._all))
        if self._waiting < enough or (self._last is not None and not self._last.done()):
            return
        if self._last is not None:
            self._last.result()
        self._last, self._waiting = self._thread.submit(self._index), 0

    def _index(self) -> None:
        with session.transaction(self._pool) as connection:
            publish.index_texts(connection)
