"""The watchlist of a team as it stands now: each company's volume against its own normal, tone, risk, worst headline.

Days are stretches of 24 hours back from the end of this hour, not days of a calendar, so that a morning is never measured
against whole days.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import sqrt
from typing import Any, Literal

from sqlalchemy import and_, func, select, true
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import aliased

from yuqing.database.models import Company, Coverage, Document

Order = Literal["attention", "volume", "negative", "name"]

SHOWN_DAYS = 30
# Four whole weeks: each weekday counts the same.
NORMAL_DAYS = 28
# With fewer days of history a mean says little.
LEAST_HISTORY = 7
# Documents come about as a Poisson process: beyond three standard deviations (the square root of the mean) is rare by chance.
UNUSUAL_DEVIATIONS = 3.0
LEAST_UNUSUAL = 5


@dataclass(frozen=True)
class Day:
    """Documents of a company in 24 hours, by the sentiment shown; `risk` is the highest level."""

    documents: int = 0
    positive: int = 0
    neutral: int = 0
    negative: int = 0
    risk: int = 0


# company -> days ago -> Day
Days = Mapping[int, Mapping[int, Day]]


@dataclass(frozen=True)
class Headline:
    """The negative document with the highest risk, the latest of those."""

    doc_id: str
    title: str
    site: str
    source: str | None
    time: datetime
    risk_level: int


@dataclass(frozen=True)
class Standing:
    """A company in the period. `history` has SHOWN_DAYS days, the oldest first.

    `normal` is what the company had on average in a period of this length over the 28 days before it; None with less than
    a week of history. `unusual`: the volume is more than three standard deviations above it.
    """

    company_id: int
    name: str
    enabled: bool
    history: tuple[Day, ...]
    documents: int
    positive: int
    neutral: int
    negative: int
    highest_risk: int
    normal: float | None
    unusual: bool
    worst: Headline | None

    @property
    def judged(self) -> int:
        """Documents that the model has judged."""
        return self.positive + self.neutral + self.negative


def end_of_hour(now: datetime) -> datetime:
    """The moment that days are counted back from."""
    return now.replace(minute=0, second=0, microsecond=0) + timedelta(hours=1)


async def days_of(
    connection: AsyncConnection, team_id: int, end: datetime, first: int, last: int, company_id: int | None = None
) -> Days:
    """The days from `first` to `last` days ago (0: the latest 24 hours) of the team's companies. One statement."""
    day = timedelta(days=1)
    begins = func.date_bin(day, Coverage.time, end).label("begins")
    statement = (
        select(
            Coverage.company_id,
            begins,
            func.count(),
            func.count().filter(Coverage.sentiment == "positive"),
            func.count().filter(Coverage.sentiment == "neutral"),
            func.count().filter(Coverage.sentiment == "negative"),
            func.coalesce(func.max(Coverage.risk_level), 0),
        )
        .where(
            Coverage.team_id == team_id,
            Coverage.time >= end - (last + 1) * day,
            Coverage.time < end - first * day,
        )
        .group_by(Coverage.company_id, begins)
    )
    if company_id is not None:
        statement = statement.where(Coverage.company_id == company_id)
    found: dict[int, dict[int, Day]] = {}
    for company, since, documents, positive, neutral, negative, risk in await connection.execute(statement):
        found.setdefault(company, {})[(end - since) // day - 1] = Day(documents, positive, neutral, negative, risk or 0)
    return found


async def worst_headlines(connection: AsyncConnection, team_id: int, since: datetime) -> dict[int, Headline]:
    """Company -> its worst negative document since then. One statement.

    Each company's part of an index is read by itself, and it holds all that decides; the rest is read of one row a company.
    """
    one = (
        select(Coverage.doc_id)
        .where(
            Coverage.company_id == Company.id,
            Coverage.team_id == team_id,
            Coverage.sentiment == "negative",
            Coverage.time >= since,
        )
        .order_by(Coverage.risk_level.desc().nulls_last(), Coverage.time.desc(), Coverage.doc_id)
        .limit(1)
        .lateral("worst")
    )
    shown = aliased(Coverage)
    statement = (
        select(Company.id, shown.doc_id, Document.title, shown.site, shown.source, shown.time, shown.risk_level)
        .select_from(Company)
        .join(one, true())
        .join(shown, and_(shown.doc_id == one.c.doc_id, shown.company_id == Company.id))
        .join(Document, Document.doc_id == one.c.doc_id)
        .where(Company.team_id == team_id)
    )
    return {
        row.id: Headline(row.doc_id, row.title, row.site, row.source, row.time, row.risk_level or 0)
        for row in await connection.execute(statement)
    }


async def reach_of(
    connection: AsyncConnection, team_id: int, companies: Sequence[int]
) -> dict[int, tuple[datetime, datetime]]:
    """Company -> the times of its oldest and its newest document; without those that have none. One statement.

    Each is the first row of the company's part of an index.
    """

    def end(order: Any, name: str) -> Any:
        own = (Coverage.company_id == Company.id, Coverage.team_id == team_id)
        return select(Coverage.time).where(*own).order_by(order).limit(1).lateral(name)

    oldest, newest = end(Coverage.time, "oldest"), end(Coverage.time.desc(), "newest")
    statement = (
        select(Company.id, oldest.c.time, newest.c.time)
        .select_from(Company)
        .join(oldest, true())
        .join(newest, true())
        .where(Company.team_id == team_id, Company.id.in_(companies))
    )
    return {company: (first, last) for company, first, last in await connection.execute(statement)}


async def companies_of(connection: AsyncConnection, team_id: int) -> list[tuple[int, str, bool]]:
    """(id, name, enabled) of the team's companies."""
    statement = select(Company.id, Company.name, Company.enabled).where(Company.team_id == team_id).order_by(Company.id)
    return [(row.id, row.name, row.enabled) for row in await connection.execute(statement)]


def normal_of(days: Mapping[int, Day], period: int) -> float | None:
    """The mean of `period` days over the 28 days before them; days before the company's first document do not count."""
    history = max((ago for ago in days if ago < period + NORMAL_DAYS), default=-1) + 1 - period
    if history < LEAST_HISTORY:
        return None
    before = sum(day.documents for ago, day in days.items() if period <= ago < period + history)
    return before / history * period


def is_unusual(documents: int, normal: float | None) -> bool:
    """Whether so many documents are hardly chance."""
    if normal is None or documents < LEAST_UNUSUAL:
        return False
    return documents > normal + UNUSUAL_DEVIATIONS * sqrt(max(normal, 1.0))


def standing(company: tuple[int, str, bool], days: Mapping[int, Day], period: int, worst: Headline | None) -> Standing:
    """One company's row from its days."""
    within = [day for ago, day in days.items() if ago < period]
    documents, normal = sum(day.documents for day in within), normal_of(days, period)
    return Standing(
        *company,
        history=tuple(days.get(ago, Day()) for ago in reversed(range(SHOWN_DAYS))),
        documents=documents,
        positive=sum(day.positive for day in within),
        neutral=sum(day.neutral for day in within),
        negative=sum(day.negative for day in within),
        highest_risk=max((day.risk for day in within), default=0),
        normal=normal,
        unusual=is_unusual(documents, normal),
        worst=worst,
    )


def ordered(rows: list[Standing], order: Order) -> list[Standing]:
    """Attention: what is unusual or risky first, then by negative documents and volume."""
    if order == "name":
        return sorted(rows, key=lambda row: row.name)
    if order == "volume":
        return sorted(rows, key=lambda row: (-row.documents, row.name))
    if order == "negative":
        return sorted(rows, key=lambda row: (-row.negative, -row.documents, row.name))
    return sorted(rows, key=lambda row: (-row.highest_risk, not row.unusual, -row.negative, -row.documents, row.name))
