"""/operations/usage: what the analysis of the team's companies has cost."""

import time
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.api.usage import team_usage
from gateway.pages.operations import Operator
from gateway.pages.rendering import remember_preferences, render
from gateway.queries.usage import UsageLine
from gateway.resources import gateway_of

router = APIRouter(prefix="/operations/usage", include_in_schema=False, dependencies=[Depends(remember_preferences)])

CHOICES = (7, 30, 90)
# Every verdict of the period is counted, which takes seconds for a million; nobody watches tokens by the second.
REMEMBERED_S, REMEMBERED = 60.0, 64


@dataclass
class CompanyUsage:
    """A company's sums over the period, and its tokens by day, the first day first."""

    company_id: int
    company: str
    verdicts: int = 0
    by_triage: int = 0
    inherited: int = 0
    tokens: int = 0
    days: list[int] = field(default_factory=list)


def _companies(lines: tuple[UsageLine, ...], days: list[date]) -> list[CompanyUsage]:
    found: dict[int, CompanyUsage] = {}
    places = {day: place for place, day in enumerate(days)}
    for line in lines:
        company = found.setdefault(line.company_id, CompanyUsage(line.company_id, line.company, days=[0] * len(days)))
        company.verdicts += line.verdicts
        company.by_triage += line.by_triage
        company.inherited += line.inherited
        company.tokens += line.tokens
        if line.day in places:  # it may be past midnight by now
            company.days[places[line.day]] += line.tokens
    return sorted(found.values(), key=lambda company: (-company.tokens, company.company))


@router.get("")
async def usage(request: Request, caller: Operator, days: Annotated[int, Query(ge=1, le=366)] = 7) -> Response:
    """Tokens by company and day, beside the day's budget."""
    days = days if days in CHOICES else CHOICES[0]
    gateway, key = gateway_of(request), ("usage", caller.team_id, days)
    read_at, found = gateway.remembered.get(key, (0.0, None))
    if found is None or time.monotonic() - read_at > REMEMBERED_S:
        found = await team_usage(gateway, caller, days)
        for old in list(gateway.remembered)[: max(0, len(gateway.remembered) + 1 - REMEMBERED)]:
            del gateway.remembered[old]
        gateway.remembered[key] = (time.monotonic(), found)
    today = datetime.now(UTC).date()
    dates = [today - timedelta(days=ago) for ago in range(days - 1, -1, -1)]
    by_day: defaultdict[date, int] = defaultdict(int)
    for line in found.items:
        by_day[line.day] += line.tokens
    return render(
        request,
        "operations_usage.html",
        caller=caller,
        tab="usage",
        usage=found,
        companies=_companies(found.items, dates),
        days=days,
        by_day=[(each, by_day[each]) for each in dates],
        choices=CHOICES,
    )
