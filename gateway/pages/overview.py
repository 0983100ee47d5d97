"""/: the watchlist as it stands, and the latest documents; /live: what is new as it comes."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response
from pydantic import BeforeValidator

from gateway.api.events import live_events
from gateway.auth import Caller
from gateway.pages.period import CHOICES, Days, Silence, chosen, silence_since
from gateway.pages.rendering import remember_preferences, render
from gateway.pages.sign_in import signed_in
from gateway.queries import attention
from gateway.queries.attention import Day, Headline, Order, Standing
from gateway.queries.documents import DocumentPage, list_documents
from gateway.queries.selection import DocumentFilter
from gateway.resources import Gateway, gateway_of

router = APIRouter(include_in_schema=False, dependencies=[Depends(remember_preferences)])

SignedIn = Annotated[Caller, Depends(signed_in)]

USUAL_DAYS = 7
OFFERED = CHOICES[:3]
# The longest period and what is normal before it.
OLDEST = max(OFFERED) + attention.NORMAL_DAYS - 1
# More rows than a screen holds; a link shows the rest.
SHOWN_ROWS = 40
LATEST = 12
FIRST = 6
# What came long ago changes only by late arrivals and corrections; the latest day is always read anew.
_REMEMBERED_S = 300.0
_REMEMBERED = 64  # teams and hours


@dataclass(frozen=True)
class _Remembered:
    made: float
    days: attention.Days


async def days_of_team(gateway: Gateway, team_id: int) -> attention.Days:
    """The days that any choice of period needs: those before the latest from memory, if they were read a moment ago."""
    end = attention.end_of_hour(datetime.now(UTC))
    key = ("days", team_id, end)
    known: _Remembered | None = gateway.remembered.get(key)
    async with gateway.reading.connect() as connection:
        if known is None or time.monotonic() - known.made > _REMEMBERED_S:
            known = _Remembered(time.monotonic(), await attention.days_of(connection, team_id, end, 1, OLDEST))
            for old in list(gateway.remembered)[: max(0, len(gateway.remembered) + 1 - _REMEMBERED)]:
                del gateway.remembered[old]
            gateway.remembered[key] = known
        latest = await attention.days_of(connection, team_id, end, 0, 0)
    merged: dict[int, Mapping[int, Day]] = dict(known.days)
    for company_id, days in latest.items():
        merged[company_id] = {**merged.get(company_id, {}), **days}
    return merged


async def _rows(gateway: Gateway, team_id: int, period: int, order: Order) -> list[Standing]:
    """Without companies that are switched off: nothing new can come of them."""
    since = attention.end_of_hour(datetime.now(UTC)) - timedelta(days=period)

    async def companies() -> tuple[list[tuple[int, str, bool]], dict[int, Headline]]:
        async with gateway.reading.connect() as connection:
            known = await attention.companies_of(connection, team_id)
            return known, await attention.worst_headlines(connection, team_id, since)

    days, (known, worst) = await asyncio.gather(days_of_team(gateway, team_id), companies())
    rows = [
        attention.standing(company, days.get(company[0], {}), period, worst.get(company[0]))
        for company in known
        if company[2]
    ]
    return attention.ordered(rows, order)


async def silences(request: Request, team_id: int, companies: Sequence[int], period: int) -> dict[int, Silence]:
    """Where the documents of these companies end; without those that have none."""
    gateway = gateway_of(request)
    if not companies:
        return {}
    early = attention.end_of_hour(datetime.now(UTC)) - timedelta(days=period + attention.LEAST_HISTORY)
    async with gateway.reading.connect() as connection:
        reach = await attention.reach_of(connection, team_id, companies)
    return {
        company: silence_since(request, newest, is_young=oldest >= early) for company, (oldest, newest) in reach.items()
    }


async def _documents(gateway: Gateway, team_id: int, period: int) -> tuple[DocumentPage, DocumentPage]:
    """The latest, and the riskiest of the period."""
    risky = DocumentFilter(
        sentiment="negative", risk=1, since=datetime.now(UTC) - timedelta(days=period), collapse=True, sort="risk"
    )
    async with gateway.reading.connect() as connection:
        latest = await list_documents(connection, team_id, DocumentFilter(), limit=LATEST)
        return latest, await list_documents(connection, team_id, risky, limit=FIRST)


async def _page(
    request: Request,
    caller: Caller,
    *,
    days: int | None = None,
    order: Order = "attention",
    everything: bool = False,
) -> Response:
    gateway = gateway_of(request)
    period = chosen(request, days, None, None, USUAL_DAYS).days or USUAL_DAYS
    # Side by side: the first look of an hour, which counts two months, takes half as long.
    rows, (latest, first) = await asyncio.gather(
        _rows(gateway, caller.team_id, period, order), _documents(gateway, caller.team_id, period)
    )
    shown = rows if everything else rows[:SHOWN_ROWS]
    documents = sum(row.documents for row in rows)
    silence = silence_since(request, latest.items[0].time) if latest.items and not documents else None
    return render(
        request,
        "overview.html",
        caller=caller,
        rows=shown,
        total=len(rows),
        documents=documents,
        negative=sum(row.negative for row in rows),
        silence=silence if silence and silence.days >= period else None,
        silences=await silences(
            request, caller.team_id, [row.company_id for row in shown if row.normal is None], period
        ),
        unusual=[row for row in rows if row.unusual],
        latest=latest.items,
        first=first.items,
        days=period,
        choices=OFFERED,
        order=order,
    )


@router.get("/")
async def overview(
    request: Request,
    caller: SignedIn,
    days: Days = None,
    order: Annotated[Order, BeforeValidator(lambda value: value or "attention"), Query()] = "attention",
    all: Annotated[bool, Query()] = False,  # noqa: A002 - the name of the query parameter
) -> Response:
    """The companies in the order of what needs attention, beside the latest documents."""
    # The longest of the choices within what was asked for: the page has words for these only.
    period = max(choice for choice in OFFERED if choice <= (days or USUAL_DAYS))
    return await _page(request, caller, days=period, order=order, everything=all)


@router.get("/live")
async def live(
    request: Request,
    caller: SignedIn,
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> Response:
    """Server-sent events of the team's new documents and verdicts, for the session."""
    return await live_events(request, caller, None, last_event_id, 3600)
