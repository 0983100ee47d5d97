"""/access: the team's keys, and the log of what was changed. For administrators."""

from datetime import UTC, datetime
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response
from pydantic import ValidationError

from gateway.api.keys import KeyPath, KeyToMake, MadeKey, make_key, revoke_key, rotate_key
from gateway.auth import SCOPES, Caller, demand
from gateway.idempotency import NO_STORE
from gateway.pages.operations import OwnForm, readable
from gateway.pages.rendering import remember_preferences, render
from gateway.pages.sign_in import signed_in
from gateway.problems import Problem, reason_of
from gateway.queries import audit, keys
from gateway.queries.keys import ListedKey
from gateway.resources import gateway_of

router = APIRouter(prefix="/access", include_in_schema=False, dependencies=[Depends(remember_preferences)])

LINES = 30
# Days until a new key expires that the form offers; 0: never.
LIVES = (30, 90, 365, 0)


async def administrator(caller: Annotated[Caller, Depends(signed_in)]) -> Caller:
    """A dependency: the caller of the session, an administrator. Problem 403."""
    demand(caller, "admin")
    return caller


Administrator = Annotated[Caller, Depends(administrator)]


def state_of(key: ListedKey, moment: datetime) -> str:
    """valid, expired or revoked."""
    if key.revoked_at is not None:
        return "revoked"
    return "expired" if key.expires_at is not None and key.expires_at <= moment else "valid"


async def _page(
    request: Request,
    caller: Caller,
    *,
    made: MadeKey | None = None,
    problem: Problem | None = None,
    name: str = "",
    scope: str = "viewer",
) -> Response:
    given = request.query_params
    before = int(given["before"]) if given.get("before", "").isdecimal() and len(given["before"]) < 19 else None
    async with gateway_of(request).reading.connect() as connection:
        found = await keys.list_keys(connection, caller.team_id)
        lines = await audit.entries(connection, caller.team_id, audit.AuditFilter(before=before), LINES)
    moment = datetime.now(UTC)
    states = {key.id: state_of(key, moment) for key in found}
    everything = given.get("keys") == "all"
    response = render(
        request,
        "access.html",
        status=problem.status if problem else 200,
        caller=caller,
        keys=[key for key in found if everything or states[key.id] == "valid"],
        states=states,
        ended=sum(state != "valid" for state in states.values()),
        everything=everything,
        lines=lines,
        before=before,
        made=made,
        problem=problem,
        name=name,
        scope=scope,
        scopes=SCOPES,
        lives=LIVES,
        revoked=given.get("done") == "revoked",
        readable=readable,
    )
    if made is not None:
        response.headers["Cache-Control"] = NO_STORE
    return response


@router.get("")
async def show(request: Request, caller: Administrator) -> Response:
    """Keys, and who changed what."""
    return await _page(request, caller)


@router.post("/keys", dependencies=[OwnForm])
async def make(
    request: Request,
    caller: Administrator,
    name: Annotated[str, Form(max_length=1000)] = "",
    scope: Annotated[str, Form(max_length=20)] = "viewer",
    days: Annotated[int, Form(ge=0, le=3650)] = 0,
) -> Response:
    """Make a key; this page shows it, once."""
    try:
        wanted = KeyToMake.model_validate({"name": name, "scope": scope, "days": days or None})
    except ValidationError as error:
        reason = reason_of(error.errors()[0])
        problem = Problem(422, "validation", f"name: {reason}")
        return await _page(request, caller, problem=problem, name=name, scope=scope)
    return await _page(request, caller, made=await make_key(gateway_of(request), caller, wanted))


@router.post("/keys/{key_id}/rotation", dependencies=[OwnForm])
async def rotate(request: Request, key_id: KeyPath, caller: Administrator) -> Response:
    """A new key in the old one's place, which works for another day."""
    try:
        made = await rotate_key(gateway_of(request), caller, key_id, 24)
    except Problem as problem:
        if problem.status not in (404, 409):
            raise
        return await _page(request, caller, problem=problem)
    return await _page(request, caller, made=made)


@router.post("/keys/{key_id}/revocation", dependencies=[OwnForm])
async def revoke(
    request: Request, key_id: KeyPath, caller: Administrator, keys: Annotated[str, Query(max_length=3)] = ""
) -> Response:
    """At once, with its sessions: whoever revokes his own key is signed out."""
    await revoke_key(gateway_of(request), caller, key_id)
    return RedirectResponse(f"/access?done=revoked{'&keys=all' if keys == 'all' else ''}", status_code=303)
