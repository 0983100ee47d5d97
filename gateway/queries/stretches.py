"""Stretches of time, from a moment back, in which the index of bigrams can be asked for words.

`search_in_time` (0008) adds to a document's bigrams a mark for its day and for the 8, 64 and 512 days around it, counted from
1970 in UTC. A word AND a mark is one question to the index, which leaps over the documents of other days. Each stretch is about
eight times as long as the one before, so that a rare word is found in a few questions, and none returns much more than is asked
for: a word of which a page needs 30 has at most some hundreds in the stretch where the page is filled.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, String, cast, literal
from sqlalchemy.dialects.postgresql import TSQUERY

from gateway.queries.terms import Terms

MARKS = "dwmy"  # of 1, 8, 64 and 512 days
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_BEGINNING = datetime.min.replace(tzinfo=UTC)
# Before it no document was written; days so far back would leave the calendar.
_FIRST_DAY = -25_567  # 1900


@dataclass(frozen=True)
class Stretch:
    """Times from `since` on that have one of the marks; without marks all times before `until`."""

    since: datetime
    marks: tuple[str, ...] = ()
    until: datetime | None = None

    def holds(self, terms: Terms, searchable: ColumnElement[Any]) -> ColumnElement[bool]:
        """Whether a document has the words and lies in here, but for `until`."""
        query = f"({terms.tsquery})"
        if self.marks:
            query += " & (" + " | ".join(f"'{mark}'" for mark in self.marks) + ")"
        return searchable.op("@@")(cast(literal(query, String), TSQUERY))


def marks_of(moment: datetime) -> tuple[str, ...]:
    """The marks of a document of this time."""
    day = (moment - _EPOCH) // timedelta(days=1)
    return tuple(f"@{mark}{day >> 3 * level}" for level, mark in enumerate(MARKS))


def stretches(moment: datetime) -> Iterator[Stretch]:
    """All time up to the end of the moment's day, the latest stretch first; they do not overlap."""
    last = (moment - _EPOCH) // timedelta(days=1)
    until = None
    for level in range(len(MARKS) - 1):
        if last < _FIRST_DAY:
            break
        unit, block = last >> 3 * level, last >> 3 * (level + 1)
        marks = [f"@{MARKS[level]}{number}" for number in range(unit, (block << 3) - 1, -1)]
        first = (block - 1) << 3 * (level + 1)
        until = _EPOCH + timedelta(days=first)
        yield Stretch(until, (*marks, f"@{MARKS[level + 1]}{block - 1}"))
        last = first - 1
    yield Stretch(_BEGINNING, (), until)
