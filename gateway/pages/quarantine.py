"""/operations/quarantine: what the stages could not use, with the reasons; and trying it again."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from gateway.api.quarantine import BatchName, Day, StageName, read_batch, replay_keys
from gateway.auth import Caller
from gateway.pages.operations import Operator, OwnForm, readable
from gateway.pages.rendering import remember_preferences, render
from gateway.problems import Problem
from gateway.queries import quarantine
from gateway.resources import gateway_of

router = APIRouter(
    prefix="/operations/quarantine", include_in_schema=False, dependencies=[Depends(remember_preferences)]
)

OBJECTS = 30
RECORDS = 20
# Of a page's source: enough to see what it is.
CHARACTERS = 1200


async def _page(request: Request, caller: Caller, problem: Problem | None = None) -> Response:
    given = request.query_params
    stage = given.get("stage", "") if given.get("stage", "").isidentifier() else ""
    before = given.get("before", "") if quarantine.parts_of(given.get("before", "")) else ""
    page = await asyncio.to_thread(
        quarantine.list_quarantine,
        gateway_of(request).store,
        stage=stage or None,
        before=before or None,
        limit=OBJECTS,
    )
    return render(
        request,
        "operations_quarantine.html",
        status=problem.status if problem else 200,
        caller=caller,
        tab="quarantine",
        page=page,
        stage=stage,
        before=before,
        problem=problem,
        recordings=given.get("recordings") if given.get("recordings", "").isdecimal() else None,
    )


@router.get("")
async def listed(request: Request, caller: Operator) -> Response:
    """The newest day first."""
    return await _page(request, caller)


@router.get("/{stage}/{day}/{batch}")
async def one(
    request: Request,
    stage: StageName,
    day: Day,
    batch: BatchName,
    caller: Operator,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1)] = 0,
) -> Response:
    """The records of a batch."""
    key = f"quarantine/{stage}/dt={day}/{batch}.jsonl.gz"
    found = await read_batch(gateway_of(request), key, offset, RECORDS, CHARACTERS)
    return render(
        request,
        "operations_batch.html",
        caller=caller,
        tab="quarantine",
        batch=found,
        offset=offset,
        readable=readable,
    )


@router.post("/replays", dependencies=[OwnForm])
async def replay(
    request: Request,
    caller: Operator,
    key: Annotated[list[str], Form(max_length=100)] = [],  # noqa: B006
) -> Response:
    """Try the chosen batches again; a clean that was started is shown as it goes."""
    try:
        if not key:
            raise Problem(422, "validation", "no batch was chosen", "tick at least one")
        replayed = await replay_keys(gateway_of(request), caller, key)
    except Problem as problem:
        if problem.status not in (404, 409, 422, 503):
            raise
        return await _page(request, caller, problem)
    if replayed.started:
        first = replayed.started[0]
        return RedirectResponse(f"/operations/tasks/{first.stage}/{first.name}", status_code=303)
    return RedirectResponse(f"/operations/quarantine?recordings={replayed.recordings}", status_code=303)
