"""Cursors of lists: where the last page ended. Opaque to clients, checked when they come back."""

import base64
import binascii
import json
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Self

from sqlalchemy import ColumnElement, and_, or_
from sqlalchemy.orm import InstrumentedAttribute

from yuqing.errors import YuqingError

_DOC_ID = re.compile(r"[0-9a-f]{32}")


class BadCursor(YuqingError):
    """A cursor that we did not make."""


def _not_ours() -> BadCursor:
    return BadCursor("the cursor is not one of this list's", cure="start again without a cursor")


@dataclass(frozen=True)
class Cursor:
    """The sort key of a page's last row; `rank` is the risk level (-1: not judged) or, by relevance, the place.

    None as rank: a list by time alone.
    """

    time: datetime
    doc_id: str
    rank: int | None = None

    def encode(self) -> str:
        """Base64url of JSON."""
        raw = json.dumps([self.time.isoformat(), self.doc_id] + ([] if self.rank is None else [self.rank]))
        return base64.urlsafe_b64encode(raw.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> Self:
        """Raises BadCursor."""
        try:
            time, doc_id, *rank = json.loads(
                base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
            )
            moment = datetime.fromisoformat(time)
            if moment.tzinfo is None or not _DOC_ID.fullmatch(doc_id):
                raise ValueError
            if rank and (len(rank) > 1 or type(rank[0]) is not int or not -1 <= rank[0] < 2**31):
                raise ValueError
        except (ValueError, TypeError, binascii.Error, RecursionError):
            raise _not_ours() from None
        return cls(moment, doc_id, rank[0] if rank else None)

    def of_sort(self, ranked: bool) -> Self:
        """This cursor, for a list with or without a rank. Raises BadCursor."""
        if (self.rank is not None) != ranked:
            raise _not_ours()
        return self


def after(
    cursor: Cursor, time: ColumnElement[datetime] | InstrumentedAttribute[datetime], doc_id: InstrumentedAttribute[str]
) -> ColumnElement[bool]:
    """The rows behind the cursor in the order (time DESC, doc_id), so written that the index is walked from there."""
    return and_(time <= cursor.time, or_(time < cursor.time, doc_id > cursor.doc_id))
