"""Trends: what a team's coverage was over time, and who had how much of it. Everything comes from `coverage`."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from sqlalchemy import ColumnElement, Integer, Select, String, cast, func, null, select
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.media_weights import ORDINARY
from gateway.queries.selection import DocumentFilter, fits
from yuqing.contracts import SENTIMENTS
from yuqing.database.models import Company, Coverage

Interval = Literal["hour", "day", "week"]
GroupBy = Literal["company", "site", "category"]
SourceBy = Literal["site", "source"]

LEVELS = range(5)


@dataclass(frozen=True)
class Tally:
    """Documents of a stretch of coverage, and the verdicts shown on them; a document may have several.

    Shares are of the verdicts, None where there is none; `risk` counts verdicts by level 0 to 4.
    """

    documents: int
    positive: int
    neutral: int
    negative: int
    risk: tuple[int, ...]

    @property
    def verdicts(self) -> int:
        """All of them."""
        return self.positive + self.neutral + self.negative


@dataclass(frozen=True)
class Point:
    """One hour, day or week, from `time` on."""

    time: datetime
    tally: Tally


@dataclass(frozen=True)
class Series:
    """A point for each interval, also the empty ones. `key` is what was grouped by: a company's id, a site, a category."""

    key: str | None
    name: str | None
    total: Tally
    points: tuple[Point, ...]


@dataclass(frozen=True)
class Voice:
    """A company's part of the coverage. `reach` is the sum of the media's weights, document by document."""

    company_id: int
    company: str
    share: float
    reach: float
    reach_share: float
    tally: Tally


@dataclass(frozen=True)
class Source:
    """A medium: `name` is a site, or what the pages name as their source."""

    name: str
    weight: float | None
    share: float
    tally: Tally


@dataclass(frozen=True)
class Keyword:
    """A keyword of the analyses: in how many documents, how many with a negative verdict, how many the period before."""

    keyword: str
    documents: int
    negative: int
    before: int


def _counts(sentiment: Any = Coverage.sentiment, level: Any = Coverage.risk_level) -> list[ColumnElement[Any]]:
    """The columns of a Tally: verdicts by sentiment, verdicts by risk level."""
    sentiments = [func.count().filter(sentiment == value) for value in SENTIMENTS]
    return [*sentiments, *(func.count().filter(level == value) for value in LEVELS)]


def _documents(wanted: DocumentFilter, grouped_by_company: bool) -> ColumnElement[int]:
    # Of one company each document has one row; to count distinct ones costs a sort.
    alone = wanted.company_id is not None or grouped_by_company
    return func.count() if alone else func.count(Coverage.doc_id.distinct())


def _tally(documents: int, counts: Any) -> Tally:
    positive, neutral, negative, *risk = counts
    return Tally(documents, positive, neutral, negative, tuple(risk))


def _sum(tallies: list[Tally]) -> Tally:
    # Intervals and sites have no document in common.
    return Tally(
        sum(tally.documents for tally in tallies),
        sum(tally.positive for tally in tallies),
        sum(tally.neutral for tally in tallies),
        sum(tally.negative for tally in tallies),
        tuple(sum(tally.risk[level] for tally in tallies) for level in LEVELS),
    )


EMPTY = Tally(0, 0, 0, 0, (0,) * len(LEVELS))


def starts(interval: Interval, since: datetime, until: datetime, zone: ZoneInfo) -> Iterator[datetime]:
    """The beginnings of all intervals that the period touches, in the zone; weeks begin on Monday.

    Days are days of the calendar there, 23 or 25 hours long when the clocks change.
    """
    local = since.astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if interval != "hour":
        local = local.replace(hour=0)
    if interval == "week":
        local -= timedelta(days=local.weekday())
    step = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}[interval]
    until = until.astimezone(UTC)  # two times of one zone are compared by the clock, which may go back
    while local < until:
        yield local
        if interval == "hour":  # an hour of the clock may not exist, or be there twice
            local = (local.astimezone(UTC) + step).astimezone(zone)
        else:
            local += step


async def series(
    connection: AsyncConnection,
    team_id: int,
    wanted: DocumentFilter,
    interval: Interval,
    zone: ZoneInfo,
    *,
    by: GroupBy | None = None,
    groups: int = 10,
) -> tuple[Series, ...]:
    """Coverage by interval; with `by` the `groups` with the most documents, the largest first. One statement (two by company).

    `wanted` must have `since` and `until`.
    """
    assert wanted.since is not None
    assert wanted.until is not None
    bucket = func.date_trunc(interval, Coverage.time, zone.key)
    groups_of: dict[GroupBy | None, list[ColumnElement[Any]]] = {
        None: [],
        "company": [cast(Coverage.company_id, String)],
        "site": [cast(Coverage.site, String)],
        "category": [cast(Coverage.category, String)],
    }
    group = groups_of[by]
    if wanted.company_id is None and by is None:
        statement = _by_document(team_id, wanted, interval, zone)
    else:
        statement = (
            select(bucket, *(group or [null()]), _documents(wanted, by == "company"), *_counts())
            .where(*fits(Coverage, team_id, wanted))
            .group_by(bucket, *group)
        )
    # By seconds: times in different zones are never equal in an hour that the clock shows twice.
    found: dict[str | None, dict[float, Tally]] = {}
    for time, key, documents, *rest in await connection.execute(statement):
        found.setdefault(key, {})[time.timestamp()] = _tally(documents, rest)
    if by is None:
        found.setdefault(None, {})
    totals = {key: _sum(list(points.values())) for key, points in found.items()}
    largest = sorted(totals, key=lambda key: (-totals[key].documents, key or ""))[:groups]
    names = await _names(connection, [int(key) for key in largest if key]) if by == "company" else {}
    times = [(time, time.timestamp()) for time in starts(interval, wanted.since, wanted.until, zone)]
    return tuple(
        Series(
            key,
            names.get(key),
            totals[key],
            tuple(Point(time, found[key].get(second, EMPTY)) for time, second in times),
        )
        for key in largest
    )


def _by_document(team_id: int, wanted: DocumentFilter, interval: Interval, zone: ZoneInfo) -> Select[Any]:
    """A team's coverage by interval. A document counts where its rows begin in the order of their index: nothing is sorted."""
    order = (Coverage.time.desc(), Coverage.doc_id)
    begins = func.lag(Coverage.doc_id).over(order_by=order).is_distinct_from(Coverage.doc_id).label("begins")
    rows = (
        select(Coverage.time, Coverage.sentiment, Coverage.risk_level, begins)
        .where(*fits(Coverage, team_id, wanted))
        .subquery()
    )
    bucket = func.date_trunc(interval, rows.c.time, zone.key)
    counts = _counts(rows.c.sentiment, rows.c.risk_level)
    return select(bucket, null(), func.count().filter(rows.c.begins), *counts).group_by(bucket)


async def _names(connection: AsyncConnection, company_ids: list[int]) -> dict[str | None, str]:
    if not company_ids:
        return {}
    rows = await connection.execute(select(Company.id, Company.name).where(Company.id.in_(company_ids)))
    return {str(company_id): name for company_id, name in rows}


async def share_of_voice(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, weights: Mapping[str, float]
) -> tuple[Voice, ...]:
    """The team's companies by their share of all mentions in the period, the loudest first. One statement."""
    counts = [column.label(f"count_{number}") for number, column in enumerate(_counts())]
    by_site = (
        select(Coverage.company_id, Coverage.site, func.count().label("documents"), *counts)
        .where(*fits(Coverage, team_id, wanted))
        .group_by(Coverage.company_id, Coverage.site)
        .subquery()
    )
    columns = (by_site.c[column.name] for column in counts)
    statement = select(by_site.c.company_id, Company.name, by_site.c.site, by_site.c.documents, *columns).join(
        Company, Company.id == by_site.c.company_id
    )
    tallies: dict[tuple[int, str], list[Tally]] = {}
    reach: dict[int, float] = {}
    for company_id, company, site, documents, *rest in await connection.execute(statement):
        tallies.setdefault((company_id, company), []).append(_tally(documents, rest))
        reach[company_id] = reach.get(company_id, 0) + documents * weights.get(site, ORDINARY)
    totals = {company: _sum(parts) for company, parts in tallies.items()}
    mentions, reached = sum(total.documents for total in totals.values()), sum(reach.values())
    voices = [
        Voice(
            company_id,
            company,
            total.documents / mentions,
            round(reach[company_id], 3),
            reach[company_id] / reached,
            total,
        )
        for (company_id, company), total in totals.items()
    ]
    return tuple(sorted(voices, key=lambda voice: (-voice.tally.documents, voice.company_id)))


async def top_sources(
    connection: AsyncConnection,
    team_id: int,
    wanted: DocumentFilter,
    weights: Mapping[str, float],
    *,
    by: SourceBy,
    limit: int,
) -> tuple[Source, ...]:
    """The media with the most documents. One statement."""
    name = Coverage.site if by == "site" else func.coalesce(Coverage.source, Coverage.site)
    documents = _documents(wanted, False)
    statement = (
        select(name, documents.label("documents"), func.sum(documents).over(), *_counts())
        .where(*fits(Coverage, team_id, wanted))
        .group_by(name)
        .order_by(documents.desc(), name)
        .limit(limit)
    )
    rows = await connection.execute(statement)
    return tuple(
        Source(
            medium,
            weights.get(medium, ORDINARY) if by == "site" else None,
            number / int(everything),
            _tally(number, rest),
        )
        for medium, number, everything, *rest in rows
    )


async def top_keywords(
    connection: AsyncConnection, team_id: int, wanted: DocumentFilter, *, limit: int
) -> tuple[Keyword, ...]:
    """The keywords of the most documents, with their number in the period of the same length before. One statement."""
    assert wanted.since is not None
    assert wanted.until is not None
    earlier = DocumentFilter(
        company_id=wanted.company_id,
        site=wanted.site,
        category=wanted.category,
        since=wanted.since - (wanted.until - wanted.since),
        until=wanted.since,
    )

    words = _counted_words(team_id, wanted)
    top = words.order_by(func.count().desc(), words.selected_columns.keyword).limit(limit).cte("top")
    before = _counted_words(team_id, earlier, select(top.c.keyword)).subquery("before")
    statement = (
        select(top.c.keyword, top.c.documents, top.c.negative, func.coalesce(before.c.documents, 0))
        .outerjoin(before, before.c.keyword == top.c.keyword)
        .order_by(top.c.documents.desc(), top.c.keyword)
    )
    return tuple(Keyword(*row) for row in await connection.execute(statement))


def _counted_words(team_id: int, period: DocumentFilter, among: Select[Any] | None = None) -> Select[Any]:
    negative = func.coalesce(Coverage.sentiment, "") == "negative"
    covered = select(Coverage.keywords, cast(negative, Integer).label("negative")).where(
        *fits(Coverage, team_id, period)
    )
    if period.company_id is None:  # of one company each document has one row
        covered = (
            select(func.min(Coverage.keywords).label("keywords"), func.max(cast(negative, Integer)).label("negative"))
            .where(*fits(Coverage, team_id, period))
            .group_by(Coverage.time, Coverage.doc_id)
        )
    rows = covered.subquery()
    words = select(func.unnest(rows.c.keywords).label("keyword"), rows.c.negative).subquery()
    counted = select(
        words.c.keyword, func.count().label("documents"), func.sum(words.c.negative).label("negative")
    ).group_by(words.c.keyword)
    return counted if among is None else counted.where(words.c.keyword.in_(among))
