"""Every hour: what is kept for a while only is deleted (events, batches, repeated requests), counts are folded together."""

import asyncio
from datetime import timedelta

from sqlalchemy import delete, func
from sqlalchemy.exc import SQLAlchemyError

from gateway.idempotency import KEPT
from gateway.queries.companies import fold_counts
from gateway.resources import Gateway
from yuqing.database.models import AnalysisBatch, Event, IdempotentRequest
from yuqing.telemetry import get_logger

log = get_logger("gateway")

EVERY_S = 3600.0


async def forget_once(gateway: Gateway) -> int:
    """Delete what is too old; returns how many rows."""
    events = timedelta(days=gateway.settings.gateway.events_days)
    analyses = timedelta(days=gateway.settings.gateway.analyses_days)
    count = 0
    async with gateway.database.begin() as connection:
        for table, age in ((Event, events), (IdempotentRequest, KEPT), (AnalysisBatch, analyses)):
            done = await connection.execute(delete(table).where(table.created_at < func.now() - age))
            count += done.rowcount
        await fold_counts(connection)
    return count


async def forget(gateway: Gateway) -> None:
    """Every hour until cancelled; a database that is away is tried again the next time."""
    while True:
        try:
            await forget_once(gateway)
        except (SQLAlchemyError, OSError) as error:
            log.warning("old events could not be deleted", reason=str(error).splitlines()[0])
        await asyncio.sleep(EVERY_S)
