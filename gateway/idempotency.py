"""`Idempotency-Key` on POST: whoever sends a request again, not knowing whether it arrived, gets the first answer.

Kept for a day by key and name. Answers that report an error are not kept: the request may be tried again. Of those marked
`Cache-Control: no-store` (a new API key, an analysis that is not stored) only that they were given is kept.
"""

import asyncio
import hashlib
import re
from collections.abc import Callable, Coroutine
from datetime import timedelta
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from sqlalchemy import ColumnElement, and_, delete, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert as upsert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from gateway.auth import caller_of
from gateway.problems import RETRY_AFTER_S, Problem, bad_request
from gateway.resources import Gateway, gateway_of
from yuqing.database.models import IdempotentRequest

HEADER = "Idempotency-Key"
KEPT = timedelta(days=1)
# A process that died leaves its request "under way"; the longest one, an analysis, is given up after a minute.
GIVEN_UP = timedelta(minutes=5)
# The answer waits so long for its mark to go; a database that is away takes longer.
REMOVED_WITHIN_S = 1.0
_NAME = re.compile(r"[\x21-\x7e]{1,200}")
_REPEATED = ("content-type", "location", "etag", "cache-control")
NO_STORE = "no-store"


_DESCRIBED = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "a name of your own choice; sent again within a day, the request gets the first answer",
    "schema": {"type": "string", "pattern": f"^{_NAME.pattern}$"},
}


class IdempotentRoute(APIRoute):
    """A route whose POST honours `Idempotency-Key`."""

    def __init__(
        self, path: str, endpoint: Callable[..., Any], *, openapi_extra: dict[str, Any] | None = None, **more: Any
    ) -> None:
        if "POST" in (more.get("methods") or ()):
            openapi_extra = {"parameters": [_DESCRIBED], **(openapi_extra or {})}
        super().__init__(path, endpoint, openapi_extra=openapi_extra, **more)

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """The route's handler, behind the look for an earlier answer."""
        handle = super().get_route_handler()

        async def handler(request: Request) -> Response:
            name = request.headers.get(HEADER)
            if request.method != "POST" or name is None:
                return await handle(request)
            if not _NAME.fullmatch(name):
                raise bad_request(f"header.{HEADER}", "has to be 1 to 200 visible ASCII characters")
            return await _once(request, name, handle)

        return handler


async def _once(request: Request, name: str, handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> Response:
    gateway, key_id = gateway_of(request), (await caller_of(request)).key_id
    body = await request.body()
    fingerprint = hashlib.sha256(f"{request.url.path}?{request.url.query}\n".encode() + body).hexdigest()
    earlier = await _begin(gateway, key_id, name, fingerprint)
    if earlier is not None:
        return earlier
    of_request = and_(IdempotentRequest.key_id == key_id, IdempotentRequest.name == name)
    answered = False
    try:
        response = await handle(request)
        answered = response.status_code < 400 and isinstance(getattr(response, "body", None), bytes)
    finally:
        if not answered:
            removal = asyncio.create_task(_remove(gateway, of_request))
            gateway.tasks.add(removal)
            removal.add_done_callback(gateway.tasks.discard)
            await asyncio.wait([removal], timeout=REMOVED_WITHIN_S)
    if answered:
        headers = {header: response.headers[header] for header in _REPEATED if header in response.headers}
        body_kept = None if headers.get("cache-control") == NO_STORE else bytes(response.body)
        kept = {"status": response.status_code, "headers": headers, "body": body_kept}
        async with gateway.database.begin() as connection:
            await connection.execute(update(IdempotentRequest).where(of_request).values(kept))
    return response


async def _remove(gateway: Gateway, of_request: ColumnElement[bool]) -> None:
    """Let the request be tried again; when the database is away, as soon as it is back."""
    deadline = asyncio.get_running_loop().time() + GIVEN_UP.total_seconds()
    while asyncio.get_running_loop().time() < deadline:
        try:
            async with gateway.database.begin() as connection:
                unanswered = delete(IdempotentRequest).where(of_request, IdempotentRequest.status.is_(None))
                await connection.execute(unanswered)
            return
        except (DBAPIError, PoolTimeout, OSError):
            await asyncio.sleep(1)


async def _begin(gateway: Gateway, key_id: int, name: str, fingerprint: str) -> Response | None:
    """None: it is ours to do. The earlier answer; Problem 409: under way, or its answer is not kept; 422: another body."""
    row = IdempotentRequest
    stale = or_(row.created_at < func.now() - KEPT, and_(row.status.is_(None), row.created_at < func.now() - GIVEN_UP))
    async with gateway.database.begin() as connection:
        await connection.execute(delete(row).where(row.key_id == key_id, stale))
        new = upsert(row).values(key_id=key_id, name=name, fingerprint=fingerprint).on_conflict_do_nothing()
        if (await connection.execute(new.returning(row.key_id))).first():
            return None
        columns = (row.fingerprint, row.status, row.headers, row.body)
        kept = (await connection.execute(select(*columns).where(row.key_id == key_id, row.name == name))).first()
    if kept is not None and kept.fingerprint != fingerprint:
        raise bad_request(f"header.{HEADER}", "was used for another request", "take a new one for each request")
    if kept is None or kept.status is None:
        raise Problem(
            409,
            "under-way",
            "the same request is under way",
            "ask again in a moment",
            headers={"Retry-After": str(RETRY_AFTER_S)},
        )
    if kept.body is None:
        made = kept.headers.get("location")
        raise Problem(
            409,
            "answer-not-kept",
            "the request was done; its answer is given once and not kept" + (f", it made {made}" if made else ""),
            (f"if the answer is lost, revoke {made} and" if made else "to do it once more,") + f" take a new {HEADER}",
            headers={"Location": made} if made else {},
        )
    return Response(kept.body, status_code=kept.status, headers={**kept.headers, "Idempotent-Replayed": "true"})
