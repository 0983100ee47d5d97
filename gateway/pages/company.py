"""/companies/{company_id}: one company over a period: volume, tone, rivals, sources, keywords, reprints."""

import asyncio
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response
from pydantic import Field

from gateway.api.companies import CompanyPath
from gateway.filters import Period
from gateway.pages.formats import Formats
from gateway.pages.overview import SignedIn, days_of_team, silences
from gateway.pages.period import CHOICES, Chosen, Days, From, To, chosen
from gateway.pages.rendering import language_of, remember_preferences, render, zone_of
from gateway.pages.strings import translate
from gateway.problems import not_found
from gateway.queries import attention, families, rivals, trends
from gateway.queries.companies import rules_of
from gateway.queries.documents import list_documents
from gateway.queries.selection import DocumentFilter
from gateway.queries.trends import Interval, Series
from gateway.resources import Gateway, gateway_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])

USUAL_DAYS = 30
# As many lines as a chart and its patterns tell apart.
MOST_RIVALS = 5
USUAL_RIVALS = 3
# A chart of hours reads well up to two days, one of days up to half a year.
HOURS_UP_TO, DAYS_UP_TO = 2, 200

Show = Literal["risky", "negative", "latest"]
_SHOWN: dict[Show, dict[str, Any]] = {
    "risky": {"sort": "risk"},
    "negative": {"sentiment": "negative"},
    "latest": {},
}


def _interval(period: Period) -> Interval:
    days = (period.until - period.since).total_seconds() / 86400
    return "hour" if days <= HOURS_UP_TO else "day" if days <= DAYS_UP_TO else "week"


def _chart(request: Request, series: Series, interval: Interval, normal: float | None) -> dict[str, Any]:
    """What charts.js draws: a column a point, the negative part at its foot; days may be chosen by drawing over them."""
    language, zone = language_of(request), zone_of(request)
    formats = Formats(language, zone)
    times = [point.time.astimezone(zone) for point in series.points]
    tallies = [point.tally for point in series.points]
    parts = {
        "negative": [tally.negative for tally in tallies],
        "neutral": [tally.neutral for tally in tallies],
        "positive": [tally.positive for tally in tallies],
        "pending": [max(0, tally.documents - tally.verdicts) for tally in tallies],
    }
    shown = [name for name in parts if name != "pending" or any(parts[name])]
    tone = {"pending": "line"}
    chart: dict[str, Any] = {
        "kind": "columns",
        "labels": [f"{time:%H:%M}" if interval == "hour" else formats.day(time) for time in times],
        "series": [
            {"name": translate(language, name), "tone": tone.get(name, name), "values": parts[name]} for name in shown
        ],
    }
    if interval == "day":
        chart["days"] = [time.date().isoformat() for time in times]
    if normal is not None and interval == "day":
        chart |= {"normal": round(normal, 1), "normalName": translate(language, "company.normal")}
    return chart


async def _rivals(
    gateway: Gateway, team_id: int, company_id: int, wanted: list[int], period: Chosen
) -> tuple[rivals.Rival, ...]:
    others = [other for other in dict.fromkeys(wanted) if other != company_id]
    if not others:
        volumes = await days_of_team(gateway, team_id)
        most = sorted(volumes, key=lambda other: -sum(day.documents for day in volumes[other].values()))
        others = [other for other in most if other != company_id][:USUAL_RIVALS]
    async with gateway.reading.connect() as connection:
        return await rivals.compare(
            connection,
            team_id,
            [company_id, *others[:MOST_RIVALS]],
            period.period.since,
            period.period.until,
            period.calendar_days,
            period.zone,
        )


async def _normal(gateway: Gateway, team_id: int, company_id: int, days: int) -> tuple[float | None, int]:
    """The normal volume of so many days, and that of the latest ones."""
    end = attention.end_of_hour(datetime.now(UTC))
    async with gateway.reading.connect() as connection:
        found = await attention.days_of(connection, team_id, end, 0, days + attention.NORMAL_DAYS - 1, company_id)
    own = found.get(company_id, {})
    return attention.normal_of(own, days), sum(day.documents for ago, day in own.items() if ago < days)


@router.get("/companies/{company_id}")
async def company(
    request: Request,
    company_id: CompanyPath,
    caller: SignedIn,
    days: Days = None,
    first: From = None,
    last: To = None,
    show: Annotated[Show, Query()] = "risky",
    vs: Annotated[list[Annotated[int, Field(ge=1, le=2**31 - 1)]] | None, Query(max_length=20)] = None,
) -> Response:
    """Everything of one period; `vs` are the companies to compare with, the most talked-about ones unless told."""
    gateway, team_id = gateway_of(request), caller.team_id
    period = chosen(request, days, first, last, USUAL_DAYS)
    wanted = DocumentFilter(company_id=company_id, since=period.period.since, until=period.period.until)
    interval = _interval(period.period)
    async with gateway.reading.connect() as connection:
        rules = await rules_of(connection, team_id)
    if company_id not in rules:
        raise not_found(f"company {company_id}")

    async def first_half() -> tuple[Any, ...]:
        async with gateway.reading.connect() as connection:
            (series,) = await trends.series(connection, team_id, wanted, interval, period.zone)
            listed = DocumentFilter(**{**vars(wanted), "collapse": True, **_SHOWN[show]})
            return series, await list_documents(connection, team_id, listed, limit=12)

    async def second_half() -> tuple[Any, ...]:
        weights = gateway.weights
        async with gateway.reading.connect() as connection:
            return (
                await trends.top_sources(connection, team_id, wanted, weights, by="source", limit=8),
                await trends.top_keywords(connection, team_id, wanted, limit=16),
                await families.top_families(connection, team_id, wanted, weights, limit=5),
            )

    # The days of the chart begin at the reader's midnight, the latest of 24 hours do not: only the latter are measured
    # against the normal, like those of the overview. Between two dates the normal day alone is shown.
    length = period.days or 1
    (series, documents), (sources, keywords, copied), compared, (normal, latest) = await asyncio.gather(
        first_half(),
        second_half(),
        _rivals(gateway, team_id, company_id, vs or [], period),
        _normal(gateway, team_id, company_id, length),
    )
    own = next(rival for rival in compared if rival.company_id == company_id)
    per_day = normal / length if normal is not None else None
    silence = None
    if not series.total.documents or (period.days and normal is None):
        silence = (await silences(request, team_id, [company_id], length)).get(company_id)
    return render(
        request,
        "company.html",
        caller=caller,
        company=rules[company_id],
        company_id=company_id,
        others=sorted((rule.name, other) for other, rule in rules.items() if other != company_id),
        period=period,
        choices=CHOICES,
        interval=interval,
        series=series,
        highest_risk=max((level for level, count in enumerate(series.total.risk) if count), default=0),
        chart=_chart(request, series, interval, per_day),
        voices={
            "kind": "lines",
            "labels": [Formats(language_of(request), period.zone).day(day) for day in period.calendar_days],
            "series": [{"name": rival.company, "values": list(rival.days)} for rival in compared],
        },
        normal=normal if period.days else None,
        silence=silence,
        is_silent=silence is not None and not period.period.since <= silence.newest < period.period.until,
        latest=latest,
        unusual=period.days is not None and attention.is_unusual(latest, normal),
        own=own,
        compared=sorted(compared, key=lambda rival: -rival.documents),
        chosen_rivals={rival.company_id for rival in compared},
        most_rivals=MOST_RIVALS,
        too_many=len({other for other in vs or () if other in rules and other != company_id}) > MOST_RIVALS,
        show=show,
        documents=documents.items,
        sources=sources,
        keywords=keywords,
        families=copied,
        link=period.parameters,
    )
