"""/v1/trends: coverage over time, companies compared, sources, keywords, reprint families."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from gateway.api.answers import PROBLEMS
from gateway.api.documents import DocId
from gateway.auth import Caller, key_with
from gateway.filters import CategoryIs, CompanyId, Period, Since, SiteIs, Until, check_category, trend_period
from gateway.problems import bad_request, not_found
from gateway.queries import families, trends
from gateway.queries.companies import company_exists
from gateway.queries.families import Family, Spread
from gateway.queries.selection import DocumentFilter
from gateway.queries.trends import GroupBy, Interval, Keyword, Series, Source, SourceBy, Voice
from gateway.resources import gateway_of

router = APIRouter(prefix="/v1", tags=["trends"], responses=PROBLEMS)

Viewer = Annotated[Caller, Depends(key_with("viewer"))]
# A screen shows no more points; an hour by hour chart of six weeks has about as many.
MAXIMUM_POINTS = 1000
LENGTH = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}
# Unless the period is given: two days by the hour, a month by the day, half a year by the week.
USUAL_DAYS = {"hour": 2.0, "day": 30.0, "week": 182.0}
MAXIMUM_STEPS = 500

Top = Annotated[int, Query(ge=1, le=100, description="how many, the largest first")]


@dataclass(frozen=True)
class Trend:
    """`series` has one entry, or one for each company, site or category."""

    since: datetime
    until: datetime
    interval: Interval
    series: tuple[Series, ...]


@dataclass(frozen=True)
class Voices:
    """The companies that were mentioned in the period."""

    since: datetime
    until: datetime
    companies: tuple[Voice, ...]


@dataclass(frozen=True)
class Sources:
    """The media of the period."""

    since: datetime
    until: datetime
    sources: tuple[Source, ...]


@dataclass(frozen=True)
class Keywords:
    """The keywords of the period."""

    since: datetime
    until: datetime
    keywords: tuple[Keyword, ...]


@dataclass(frozen=True)
class Families:
    """The reprint families of the period."""

    since: datetime
    until: datetime
    families: tuple[Family, ...]


@dataclass(frozen=True)
class Wanted:
    """What all trends share: whose coverage, where, of which category, when."""

    company: int | None
    site: str | None
    category: str | None
    since: datetime | None
    until: datetime | None

    def within(self, period: Period) -> DocumentFilter:
        """The filter of this period."""
        return DocumentFilter(
            company_id=self.company, site=self.site, category=self.category, since=period.since, until=period.until
        )


async def wanted(
    company: CompanyId = None,
    site: SiteIs = None,
    category: CategoryIs = None,
    since: Since = None,
    until: Until = None,
) -> Wanted:
    """The parameters of every trend."""
    check_category(category)
    return Wanted(company, site, category, since, until)


WantedQuery = Annotated[Wanted, Depends(wanted)]


async def _filter(request: Request, caller: Caller, asked: Wanted, days: float = 30) -> DocumentFilter:
    period = trend_period(request, days, asked.since, asked.until)
    if asked.company is not None:
        async with gateway_of(request).reading.connect() as connection:
            if not await company_exists(connection, caller.team_id, asked.company):
                raise not_found(f"company {asked.company}")
    return asked.within(period)


@router.get("/trends/volume", operation_id="read_volume", summary="Documents, sentiment and risk by hour, day or week")
async def volume(
    request: Request,
    caller: Viewer,
    asked: WantedQuery,
    interval: Annotated[Interval, Query(description="days and weeks are those of the gateway's time zone")] = "day",
    by: Annotated[
        GroupBy | None, Query(description="a series for each of the largest companies, sites, categories")
    ] = None,
    top: Top = 10,
) -> Trend:
    """A point for each interval, also the empty ones. Of the last two days, 30 days or 26 weeks unless told."""
    found = await _filter(request, caller, asked, USUAL_DAYS[interval])
    assert found.since is not None
    assert found.until is not None
    if (found.until - found.since) / LENGTH[interval] > MAXIMUM_POINTS:
        raise bad_request("query.since", f"the period has more than {MAXIMUM_POINTS} points", "take a longer interval")
    gateway = gateway_of(request)
    async with gateway.reading.connect() as connection:
        series = await trends.series(connection, caller.team_id, found, interval, gateway.zone, by=by, groups=top)
    return Trend(found.since, found.until, interval, series)


@router.get("/trends/share-of-voice", operation_id="read_share_of_voice", summary="The team's companies compared")
async def voices(request: Request, caller: Viewer, asked: WantedQuery) -> Voices:
    """Share of all mentions in the period (the last 30 days unless told), by number and by the weight of the media."""
    found, gateway = await _filter(request, caller, asked), gateway_of(request)
    async with gateway.reading.connect() as connection:
        companies = await trends.share_of_voice(connection, caller.team_id, found, gateway.weights)
    assert found.since is not None
    assert found.until is not None
    return Voices(found.since, found.until, companies)


@router.get("/trends/sources", operation_id="read_sources", summary="The media with the most documents")
async def sources(
    request: Request,
    caller: Viewer,
    asked: WantedQuery,
    by: Annotated[SourceBy, Query(description="site, or the source that the pages name")] = "site",
    top: Top = 20,
) -> Sources:
    """Of the last 30 days unless told."""
    found, gateway = await _filter(request, caller, asked), gateway_of(request)
    async with gateway.reading.connect() as connection:
        media = await trends.top_sources(connection, caller.team_id, found, gateway.weights, by=by, limit=top)
    assert found.since is not None
    assert found.until is not None
    return Sources(found.since, found.until, media)


@router.get("/trends/keywords", operation_id="read_keywords", summary="What the documents are about")
async def keywords(request: Request, caller: Viewer, asked: WantedQuery, top: Top = 30) -> Keywords:
    """The analyses' keywords, with their number in the period of the same length before. The last 30 days unless told."""
    found = await _filter(request, caller, asked)
    async with gateway_of(request).reading.connect() as connection:
        words = await trends.top_keywords(connection, caller.team_id, found, limit=top)
    assert found.since is not None
    assert found.until is not None
    return Keywords(found.since, found.until, words)


@router.get("/trends/families", operation_id="list_families", summary="The texts that were reprinted most widely")
async def reprinted(request: Request, caller: Viewer, asked: WantedQuery, top: Top = 20) -> Families:
    """By reach: the sum of the weights of the sites that carry the text. The last 30 days unless told."""
    found, gateway = await _filter(request, caller, asked), gateway_of(request)
    async with gateway.reading.connect() as connection:
        widest = await families.top_families(connection, caller.team_id, found, gateway.weights, limit=top)
    assert found.since is not None
    assert found.until is not None
    return Families(found.since, found.until, widest)


@router.get("/documents/{doc_id}/spread", operation_id="read_spread", summary="How a text spread: its reprints in time")
async def spread(request: Request, doc_id: DocId, caller: Viewer) -> Spread:
    """The first 500 documents of its reprint family, from the first source on, with the reach up to each."""
    gateway = gateway_of(request)
    async with gateway.reading.connect() as connection:
        found = await families.spread(connection, caller.team_id, doc_id, gateway.weights, limit=MAXIMUM_STEPS)
    if found is None:
        raise not_found(f"document {doc_id}")
    return found
