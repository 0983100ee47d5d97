"""A company beside some of the team's others: day by day, and its share of what is said of all of them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from zoneinfo import ZoneInfo

from sqlalchemy import Date, cast, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.database.models import Company, Coverage


@dataclass(frozen=True)
class Rival:
    """A company in the period; `share` is its part of the documents of all that are compared; `days` has each day's."""

    company_id: int
    company: str
    documents: int
    positive: int
    neutral: int
    negative: int
    share: float
    days: tuple[int, ...]

    @property
    def judged(self) -> int:
        """Documents that the model has judged."""
        return self.positive + self.neutral + self.negative


async def compare(
    connection: AsyncConnection,
    team_id: int,
    companies: Sequence[int],
    since: datetime,
    until: datetime,
    days: Sequence[date],
    zone: ZoneInfo,
) -> tuple[Rival, ...]:
    """The team's companies of these ids in the order given; `days` are those of the zone's calendar. Two statements."""
    names = {
        row.id: row.name
        for row in await connection.execute(
            select(Company.id, Company.name).where(Company.team_id == team_id, Company.id.in_(companies))
        )
    }
    day = cast(func.timezone(zone.key, Coverage.time), Date)
    statement = (
        select(
            Coverage.company_id,
            day,
            func.count(),
            func.count().filter(Coverage.sentiment == "positive"),
            func.count().filter(Coverage.sentiment == "neutral"),
            func.count().filter(Coverage.sentiment == "negative"),
        )
        .where(
            Coverage.team_id == team_id,
            Coverage.company_id.in_(list(names)),
            Coverage.time >= since,
            Coverage.time < until,
        )
        .group_by(Coverage.company_id, day)
    )
    found: dict[int, dict[date, tuple[int, int, int, int]]] = {}
    for company_id, when, *counts in await connection.execute(statement):
        found.setdefault(company_id, {})[when] = (counts[0], counts[1], counts[2], counts[3])
    sums = {
        company_id: tuple(sum(counts[column] for counts in found.get(company_id, {}).values()) for column in range(4))
        for company_id in names
    }
    total = sum(counts[0] for counts in sums.values())
    return tuple(
        Rival(
            company_id,
            names[company_id],
            documents=sums[company_id][0],
            positive=sums[company_id][1],
            neutral=sums[company_id][2],
            negative=sums[company_id][3],
            share=sums[company_id][0] / total if total else 0.0,
            days=tuple(found.get(company_id, {}).get(each, (0,))[0] for each in days),
        )
        for company_id in companies
        if company_id in names
    )
