"""/v1/usage: what the analysis of the team's companies has cost. For operators."""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.filters import CompanyId
from gateway.problems import not_found
from gateway.queries.companies import company_exists
from gateway.queries.usage import Usage
from gateway.queries.usage import usage as usage_of
from gateway.resources import Gateway, gateway_of

router = APIRouter(prefix="/v1", tags=["operations"], responses=PROBLEMS)

MAXIMUM_DAYS = 366


async def team_usage(gateway: Gateway, caller: Caller, days: int, company_id: int | None = None) -> Usage:
    """The last so many UTC days of the caller's team, today among them. Problem 404 for another team's company."""
    since = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days - 1)
    async with gateway.reading.connect() as connection:
        if company_id is not None and not await company_exists(connection, caller.team_id, company_id):
            raise not_found(f"company {company_id}")
        return await usage_of(connection, caller.team_id, since, gateway.settings.llm.daily_tokens, company_id)


@router.get("/usage", operation_id="read_usage", summary="Tokens by company and day")
async def usage(
    request: Request,
    caller: Annotated[Caller, Depends(key_with("operator"))],
    company: CompanyId = None,
    days: Annotated[int, Query(ge=1, le=MAXIMUM_DAYS, description="UTC days, today among them")] = 30,
) -> Usage:
    """`today` is the whole installation's, beside the day's budget (`YUQING_LLM__DAILY_TOKENS`)."""
    return await team_usage(gateway_of(request), caller, days, company)
