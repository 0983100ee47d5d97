"""/v1/events: new documents and verdicts as they come, as server-sent events (HTML Living Standard, section 9.2)."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from dataclasses import asdict
from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import Response, StreamingResponse
from sqlalchemy.exc import SQLAlchemyError

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, check_key_id, key_with
from gateway.filters import CompanyId
from gateway.problems import Problem, bad_request, not_found
from gateway.queries.companies import company_exists
from gateway.queries.events import LiveEvent, Place, events_after, present
from gateway.resources import Gateway, gateway_of

router = APIRouter(prefix="/v1", tags=["events"], responses=PROBLEMS)

BATCH = 200
# Proxies cut off what is silent for a minute; the key is looked at again at the same time.
HEARTBEAT_S = 15.0


def _message(event: LiveEvent) -> bytes:
    values = asdict(event)
    place = Place(**values.pop("place"))
    data = json.dumps({**values.pop("detail"), **values}, ensure_ascii=False, default=datetime.isoformat)
    return f"id: {place}\nevent: {event.kind}\ndata: {data}\n\n".encode()


async def _stream(
    gateway: Gateway, caller: Caller, place: Place, company: int | None, wait: float
) -> AsyncIterator[bytes]:
    """Events until the client goes, the key ends, the process is told to end, or `wait` seconds are over."""
    started = beat = time.monotonic()
    async with gateway.streams:
        yield f"retry: 2000\nid: {place}\n\n".encode()
        while not gateway.stopping.is_set():
            try:
                async with gateway.reading.connect() as connection:
                    found, place = await events_after(
                        connection, caller.team_id, place, company_id=company, limit=BATCH
                    )
                if time.monotonic() - beat > HEARTBEAT_S:
                    beat = time.monotonic()
                    if await check_key_id(gateway, caller.key_id) is None:
                        return
                    yield b": still here\n\n"
            except (SQLAlchemyError, OSError):
                return  # the client comes back with its Last-Event-ID, and is told then
            for event in found:
                yield _message(event)
            if len(found) == BATCH:
                continue
            if time.monotonic() - started >= wait:
                return
            await asyncio.sleep(gateway.settings.gateway.events_poll_s)


@router.get(
    "/events",
    operation_id="stream_events",
    summary="New documents and verdicts as they come",
    response_class=StreamingResponse,
    responses={
        200: {"description": "Server-sent events", "content": {"text/event-stream": {"schema": {"type": "string"}}}}
    },
)
async def stream(
    request: Request,
    caller: Annotated[Caller, Depends(key_with("viewer"))],
    company: CompanyId = None,
    last_event_id: Annotated[str | None, Header(max_length=40, description="the id of the last event read")] = None,
    wait: Annotated[float, Query(ge=0, le=86400, description="seconds after which the stream ends")] = 86400,
) -> Response:
    """`event` is `document` or `verdict`; `data` is JSON. With `Last-Event-ID` nothing since then is missed (for a week)."""
    return await live_events(request, caller, company, last_event_id, wait)


async def live_events(
    request: Request, caller: Caller, company: int | None, last_event_id: str | None, wait: float
) -> Response:
    """The stream for a caller; Problem 422, 404 or 503."""
    gateway = gateway_of(request)
    place = Place.parse(last_event_id) if last_event_id else None
    if last_event_id and place is None:
        raise bad_request("header.Last-Event-ID", "is no id of this stream", "leave it away to begin with what comes")
    if gateway.streams.locked():
        raise Problem(
            503,
            "streams-busy",
            "as many streams as may are open",
            "close one, or ask for the list of documents",
            headers={"Retry-After": "30"},
        )
    async with gateway.reading.connect() as connection:
        if company is not None and not await company_exists(connection, caller.team_id, company):
            raise not_found(f"company {company}")
        place = place or await present(connection)
    headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
    content = _stream(gateway, caller, place, company, wait)
    return StreamingResponse(content, media_type="text/event-stream", headers=headers)
