"""/v1/keys: the team's API keys, for its administrators; /v1/audit-log: who changed or took out what."""

from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.answers import PROBLEMS
from gateway.auth import SHOWN_CHARACTERS, Caller, Scope, digest, key_with, new_key
from gateway.filters import Limit, Since, Until, moment
from gateway.idempotency import NO_STORE, IdempotentRoute
from gateway.problems import Problem, not_found
from gateway.queries import audit, keys
from gateway.queries.keys import ListedKey, NewKey
from gateway.resources import Gateway, gateway_of
from yuqing.contracts import now

router = APIRouter(prefix="/v1", tags=["keys"], responses=PROBLEMS, route_class=IdempotentRoute)

Admin = Annotated[Caller, Depends(key_with("admin"))]
KeyPath = Annotated[int, Path(ge=1, le=2**31 - 1)]
# The longest useful life: a key that nobody has touched for ten years is forgotten, not needed.
MAXIMUM_DAYS = 3650


class KeyToMake(BaseModel):
    """A key for a person or a program of the team."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"name": "日报脚本", "scope": "viewer"}]})

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100, pattern=r"^[^\x00]*$")]
    scope: Scope = "viewer"
    days: int | None = Field(None, ge=1, le=MAXIMUM_DAYS, description="until it expires; none: never")
    requests_per_minute: int | None = Field(None, ge=1, le=100_000, description="none: the gateway's own limit")


class Rotation(BaseModel):
    """How a key is replaced by a new one."""

    model_config = ConfigDict(extra="forbid")

    hours: float = Field(
        24, ge=0, le=720, description="for so long the old key works beside the new one; 0: not at all"
    )


@dataclass(frozen=True)
class MadeKey(ListedKey):
    """A key just made; `key` is shown this once."""

    key: str


@dataclass(frozen=True)
class OwnKey:
    """The key of the request itself."""

    id: int
    prefix: str
    name: str
    team: str
    scope: Scope


@router.get("/keys/current", operation_id="read_own_key", summary="Whose key this is and what it may")
async def own(caller: Annotated[Caller, Depends(key_with("viewer"))]) -> OwnKey:
    """Also the cheapest way to see whether a key works."""
    return OwnKey(caller.key_id, caller.prefix, caller.name, caller.team, caller.scope)


@router.get("/keys", operation_id="list_keys", summary="The team's keys")
async def listed(
    request: Request,
    caller: Admin,
    prefix: Annotated[str | None, Query(max_length=SHOWN_CHARACTERS, pattern=r"^[A-Za-z0-9_-]*$")] = None,
) -> list[ListedKey]:
    """Newest first, with their last use to the minute; `prefix` finds the one whose first characters are known."""
    async with gateway_of(request).reading.connect() as connection:
        return list(await keys.list_keys(connection, caller.team_id, prefix=prefix))


async def _make(
    connection: AsyncConnection, caller: Caller, wanted: NewKey, key: str, *, replaces: int | None = None
) -> MadeKey:
    key_id = await keys.insert_key(connection, caller.team_id, wanted)
    action = "key.create" if replaces is None else "key.rotate"
    detail: dict[str, object] = {"name": wanted.name, "prefix": wanted.prefix, "scope": wanted.scope}
    if replaces is not None:
        detail["replaces"] = replaces
    await audit.note(connection, caller.team_id, caller.actor, action, f"key:{key_id}", detail)
    made = (await keys.list_keys(connection, caller.team_id, key_id=key_id))[0]
    return MadeKey(**asdict(made), key=key)


async def make_key(gateway: Gateway, caller: Caller, wanted: KeyToMake) -> MadeKey:
    """A key of the caller's team; only its SHA-256 is kept."""
    key = new_key()
    expires = now() + timedelta(days=wanted.days) if wanted.days else None
    new = NewKey(wanted.name, key[:SHOWN_CHARACTERS], digest(key), wanted.scope, expires, wanted.requests_per_minute)
    async with gateway.database.begin() as connection:
        return await _make(connection, caller, new, key)


@router.post("/keys", status_code=201, operation_id="create_key", summary="Make a key; it is shown this once")
async def create(request: Request, response: Response, wanted: KeyToMake, caller: Admin) -> MadeKey:
    """Only its SHA-256 is kept."""
    made = await make_key(gateway_of(request), caller, wanted)
    response.headers["Location"] = f"/v1/keys/{made.id}"
    response.headers["Cache-Control"] = NO_STORE
    return made


@router.get("/keys/{key_id}", operation_id="read_key", summary="One key")
async def one(request: Request, key_id: KeyPath, caller: Admin) -> ListedKey:
    """404 for another team's."""
    async with gateway_of(request).reading.connect() as connection:
        found = await keys.list_keys(connection, caller.team_id, key_id=key_id)
    if not found:
        raise not_found(f"key {key_id}")
    return found[0]


async def rotate_key(gateway: Gateway, caller: Caller, key_id: int, hours: float) -> MadeKey:
    """A new key in the old one's place, which works for so many hours beside it. Problem 404, 409."""
    async with gateway.database.begin() as connection:
        found = await keys.list_keys(connection, caller.team_id, key_id=key_id)
        grace = timedelta(hours=hours) if hours else None
        if not found or not await keys.end_key(connection, caller.team_id, key_id, after=grace):
            raise not_found(f"a valid key {key_id}")
        # Asked while the row is locked. What is left of the old key's life is no length of life for another key.
        if (successor := await keys.successor_of(connection, caller.team_id, key_id)) is not None:
            cure = f"rotate key {successor}, or make a new one"
            raise Problem(409, "key-rotated", f"key {key_id} was replaced by key {successor} already", cure)
        old, key = found[0], new_key()
        expires = now() + (old.expires_at - old.created_at) if old.expires_at else None
        new = NewKey(old.name, key[:SHOWN_CHARACTERS], digest(key), old.scope, expires, old.requests_per_minute)
        made = await _make(connection, caller, new, key, replaces=old.id)
    gateway.admission.forget()
    return made


@router.post(
    "/keys/{key_id}/rotation", status_code=201, operation_id="rotate_key", summary="Replace a key by a new one"
)
async def rotate(request: Request, response: Response, key_id: KeyPath, rotation: Rotation, caller: Admin) -> MadeKey:
    """Same name, scope, limit and length of life. 404 when the old one is not valid any more, 409 when it was replaced."""
    made = await rotate_key(gateway_of(request), caller, key_id, rotation.hours)
    response.headers["Location"] = f"/v1/keys/{made.id}"
    response.headers["Cache-Control"] = NO_STORE
    return made


async def revoke_key(gateway: Gateway, caller: Caller, key_id: int) -> None:
    """End a key at once; one that has ended stays so. Problem 404."""
    async with gateway.database.begin() as connection:
        found = await keys.list_keys(connection, caller.team_id, key_id=key_id)
        if not found:
            raise not_found(f"key {key_id}")
        if await keys.end_key(connection, caller.team_id, key_id):
            detail = {"name": found[0].name, "prefix": found[0].prefix}
            await audit.note(connection, caller.team_id, caller.actor, "key.revoke", f"key:{key_id}", detail)
    gateway.admission.forget()


@router.delete("/keys/{key_id}", status_code=204, operation_id="revoke_key", summary="Revoke a key")
async def revoke(request: Request, key_id: KeyPath, caller: Admin) -> None:
    """With the sessions that were opened with it, at once; other gateways of the same database learn of it within seconds."""
    await revoke_key(gateway_of(request), caller, key_id)


@router.get("/audit-log", operation_id="list_audit_log", summary="Who changed or took out what")
async def log(
    request: Request,
    caller: Admin,
    action: Annotated[
        str | None, Query(max_length=40, pattern=r"^[^\x00-\x1f\x7f]*$", description="as `key.create`")
    ] = None,
    since: Since = None,
    until: Until = None,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="next_before of the page before")] = None,
    limit: Limit = None,
) -> audit.AuditPage:
    """Newest first: companies, corrections, keys and exports of the team."""
    wanted = audit.AuditFilter(action, moment(request, "since", since), moment(request, "until", until), before)
    async with gateway_of(request).reading.connect() as connection:
        return await audit.entries(connection, caller.team_id, wanted, limit or 30)
