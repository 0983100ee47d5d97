"""The full-text index, brought up to date beside a run's merges."""

from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

from sqlalchemy import Engine

from cleaning import publish
from yuqing.database import session


class TextIndex:
    """Has the terms that wait put into the index by a thread of its own, each time `every` documents were merged.

    Merges and cleaning go on meanwhile, so that little is left for one process alone when the last merge is done.
    """

    def __init__(self, pool: Engine, every: int) -> None:
        self._pool, self._every, self._waiting = pool, every, 0
        self._thread = ThreadPoolExecutor(1, "index")
        self._last: Future[None] | None = None

    def __enter__(self) -> "TextIndex":
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
        if self._waiting < self._every or (self._last is not None and not self._last.done()):
            return
        if self._last is not None:
            self._last.result()
        self._last, self._waiting = self._thread.submit(self._index), 0

    def _index(self) -> None:
        with session.transaction(self._pool) as connection:
            publish.index_texts(connection)
