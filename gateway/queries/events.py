"""The outbox as one team sees it."""

import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Self

from sqlalchemy import BigInteger, String, cast, func, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.queries.selection import time_of
from yuqing.database.models import Company, Document, Event

_PLACE = re.compile(r"(\d{1,18})-(\d{1,18})")


@dataclass(frozen=True, order=True)
class Place:
    """A place in the stream: `transaction-id` of the last event read."""

    transaction: int
    event: int

    def __str__(self) -> str:
        return f"{self.transaction}-{self.event}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """None for what is not ours."""
        match = _PLACE.fullmatch(text.strip())
        return cls(int(match[1]), int(match[2])) if match else None


@dataclass(frozen=True)
class LiveEvent:
    """A new document about a company, or a new verdict on it; `detail` has the verdict's sentiment, risk_level, corrected."""

    place: Place
    kind: Literal["document", "verdict"]
    doc_id: str
    title: str
    site: str
    time: datetime
    company_id: int
    company: str
    detail: dict[str, Any]


# The oldest transaction that may still write events; those before it are complete.
_SETTLED = cast(cast(func.pg_snapshot_xmin(func.pg_current_snapshot()), String), BigInteger)


async def present(connection: AsyncConnection) -> Place:
    """The place from which on all is new."""
    return Place(int((await connection.execute(select(_SETTLED))).scalar_one()), 0)


async def events_after(
    connection: AsyncConnection, team_id: int, place: Place, *, company_id: int | None, limit: int
) -> tuple[tuple[LiveEvent, ...], Place]:
    """The team's next events, and the place from which to ask for those after them. Two statements.

    Those of a transaction wait until all earlier ones have ended, so that none is passed over. Fewer than `limit`: there
    are no more before the oldest open transaction, and nobody looks again through what other teams' events are there.
    """
    settled = await present(connection)  # first: the events before it are complete when the next statement looks
    statement = (
        select(
            Event.transaction,
            Event.id,
            Event.kind,
            Event.doc_id,
            Document.title,
            Document.site,
            time_of(Document),
            Company.id,
            Company.name,
            Event.payload,
        )
        .join(Company, Company.id == Event.company_id)
        .join(Document, Document.doc_id == Event.doc_id)
        .where(
            Company.team_id == team_id,
            Event.kind.in_(("document", "verdict")),
            tuple_(Event.transaction, Event.id) > tuple_(place.transaction, place.event),
            Event.transaction < settled.transaction,
        )
        .order_by(Event.transaction, Event.id)
        .limit(limit)
    )
    if company_id is not None:
        statement = statement.where(Event.company_id == company_id)
    rows = [tuple(row) for row in await connection.execute(statement)]
    found = tuple(LiveEvent(Place(*row[:2]), *row[2:]) for row in rows)
    return found, found[-1].place if len(found) == limit else max(place, settled)
