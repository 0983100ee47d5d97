"""/v1/adapters: which LoRA adapter the language model's servers are told to serve. For operators."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.api.answers import EDITS, PROBLEMS
from gateway.auth import Caller, key_with
from gateway.etags import demand_tag, etag
from gateway.idempotency import IdempotentRoute
from gateway.problems import Problem
from gateway.queries import audit
from gateway.queries.adapters import Adapters, list_adapters
from gateway.resources import Gateway, gateway_of
from yuqing import adapters as kernel
from yuqing.adapters import ActiveConflict, AdapterError, Choice, Seen

router = APIRouter(prefix="/v1", tags=["operations"], responses=PROBLEMS, route_class=IdempotentRoute)

Operator = Annotated[Caller, Depends(key_with("operator"))]
Reason = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500, pattern=r"^[^\x00-\x08\x0b-\x1f]*$")
]


class Rollback(BaseModel):
    """Back to the adapter before."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"reason": "负面判断变差"}]})

    reason: Reason = Field(description="kept in the audit log")


class Activation(Rollback):
    """Which adapter is to be served."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"adapter": "inews-v2", "reason": "测试集 F1 提高 2 个点"}]}
    )

    adapter: str | None = Field(
        pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="by name; null: the bare base"
    )
    force: bool = Field(
        False,
        description="although its card holds no comparison with the active one, or a lost one; the reason says why",
    )


def tag_of(seen: Seen) -> str:
    """The entity tag of what is active."""
    return etag(seen.active.model_dump(mode="json") if seen.active else None)


def _problem(error: AdapterError) -> Problem:
    if isinstance(error, ActiveConflict):
        return Problem(412, "changed-meanwhile", error.message, "read the adapters again, then repeat the change")
    return Problem(409, "adapter", error.message, error.cure)


async def adapters_of(gateway: Gateway) -> tuple[Adapters, Seen]:
    """The adapters and what is active. Problem 409 when active.json is broken, 503."""
    try:
        return await asyncio.to_thread(list_adapters, gateway.store)
    except AdapterError as error:
        raise _problem(error) from None


def _check_compared(gateway: Gateway, adapter: str, active: Choice) -> None:
    card = kernel.read_card(gateway.store, adapter)
    try:
        kernel.check_compared(card, adapter, active)
    except AdapterError as error:
        cure = "compare them with `yuqing llm adapters compare` and push it again, or force it and say why"
        raise AdapterError(error.message, cure=cure) from None


async def change_adapter(
    gateway: Gateway,
    caller: Caller,
    reason: str,
    tag: str | None,
    *,
    adapter: str | None = None,
    force: bool = False,
    roll_back: bool = False,
) -> tuple[Adapters, Seen]:
    """Activate it, or go back to the one before, with a line in the audit log; `tag` as of If-Match. Problem 409, 412, 428.

    Without `force` only what a paired test has compared with the active one is activated.
    """
    async with gateway.database.begin() as connection:
        try:
            seen = await asyncio.to_thread(kernel.read_active, gateway.store)
            demand_tag(tag, tag_of(seen))
            if roll_back:
                new = await asyncio.to_thread(kernel.roll_back, gateway.store, by=caller.actor, seen=seen)
            else:
                if adapter and seen.active and not force:
                    await asyncio.to_thread(_check_compared, gateway, adapter, seen.active)
                by = f"{caller.actor} (forced: {reason})" if force else caller.actor
                new = await asyncio.to_thread(kernel.activate, gateway.store, adapter, by=by, seen=seen)
        except AdapterError as error:
            raise _problem(error) from None
        detail = {
            "adapter": new.adapter,
            "before": seen.active.adapter if seen.active else None,
            "reason": reason,
            "forced": force,
        }
        action = "adapter.rollback" if roll_back else "adapter.activate"
        await audit.note(connection, caller.team_id, caller.actor, action, f"adapter:{new.adapter or ''}", detail)
    return await adapters_of(gateway)


@router.get("/adapters", operation_id="list_adapters", summary="The adapters, and which one is active")
async def listed(request: Request, response: Response, _caller: Operator) -> Adapters:
    """`ETag` names what is active."""
    found, seen = await adapters_of(gateway_of(request))
    response.headers["ETag"] = tag_of(seen)
    return found


@router.put("/adapters/active", operation_id="activate_adapter", summary="Activate an adapter", responses=EDITS)
async def activate(request: Request, response: Response, wanted: Activation, caller: Operator) -> Adapters:
    """`If-Match` has to carry the list's ETag. `yuqing llm sync` beside each server applies it within seconds to minutes."""
    found, seen = await change_adapter(
        gateway_of(request),
        caller,
        wanted.reason,
        request.headers.get("if-match"),
        adapter=wanted.adapter,
        force=wanted.force,
    )
    response.headers["ETag"] = tag_of(seen)
    return found


@router.post(
    "/adapters/rollback", operation_id="roll_back_adapter", summary="Back to the adapter before", responses=EDITS
)
async def roll_back(request: Request, response: Response, wanted: Rollback, caller: Operator) -> Adapters:
    """`If-Match` has to carry the list's ETag. A second rollback goes forward again."""
    found, seen = await change_adapter(
        gateway_of(request), caller, wanted.reason, request.headers.get("if-match"), roll_back=True
    )
    response.headers["ETag"] = tag_of(seen)
    return found
