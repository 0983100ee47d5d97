"""/operations/adapters: which adapter the language model serves."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Form, Request
from fastapi.responses import Response
from pydantic import TypeAdapter, ValidationError

from gateway.api.adapters import Reason, adapters_of, change_adapter, tag_of
from gateway.auth import Caller
from gateway.pages.operations import Operator, OwnForm, done
from gateway.pages.rendering import remember_preferences, render
from gateway.problems import Problem
from gateway.queries.adapters import Adapters
from gateway.resources import gateway_of

router = APIRouter(prefix="/operations/adapters", include_in_schema=False, dependencies=[Depends(remember_preferences)])

_REASON: TypeAdapter[str] = TypeAdapter(Reason)


async def _page(request: Request, caller: Caller, problem: Problem | None = None, reason: str = "") -> Response:
    found, tag = Adapters(None, ()), ""
    try:
        found, seen = await adapters_of(gateway_of(request))
        tag = tag_of(seen)
    except Problem as broken:  # active.json cannot be read
        if broken.status != 409:
            raise
        problem = problem or broken
    return render(
        request,
        "operations_adapters.html",
        status=problem.status if problem else 200,
        caller=caller,
        tab="adapters",
        found=found,
        tag=tag,
        reason=reason,
        problem=problem,
        changed=request.query_params.get("done") == "1",
    )


@router.get("")
async def listed(request: Request, caller: Operator) -> Response:
    """What is active, what there is, and how well each did."""
    return await _page(request, caller)


@router.post("", dependencies=[OwnForm])
async def change(
    request: Request,
    caller: Operator,
    what: Annotated[Literal["activate", "rollback"], Form()],
    tag: Annotated[str, Form(max_length=100)] = "",
    adapter: Annotated[str, Form(max_length=64)] = "",
    reason: Annotated[str, Form(max_length=1000)] = "",
    force: Annotated[bool, Form()] = False,
) -> Response:
    """Activate one, or go back to the one before; the form names the state that it was made from."""

    async def changing() -> None:
        try:
            why = _REASON.validate_python(reason)
        except ValidationError:
            raise Problem(422, "validation", "the reason is missing or too long", "say in a sentence why") from None
        await change_adapter(
            gateway_of(request),
            caller,
            why,
            tag,
            adapter=adapter or None,
            force=force,
            roll_back=what == "rollback",
        )

    return await done(
        changing(), "/operations/adapters?done=1", lambda problem: _page(request, caller, problem, reason)
    )
