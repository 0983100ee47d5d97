"""/v1/quarantine: what the stages could not use, and trying it again. For operators."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from pydantic import BaseModel, ConfigDict, Field

from gateway.api.answers import PROBLEMS
from gateway.api.tasks import Task, start
from gateway.auth import Caller, key_with
from gateway.filters import Limit
from gateway.idempotency import IdempotentRoute
from gateway.problems import Problem, bad_request, not_found
from gateway.queries import audit, quarantine
from gateway.queries.quarantine import CLEANED_AGAIN, HEARD_AGAIN, QuarantinedBatch, QuarantinePage
from gateway.resources import Gateway, gateway_of
from yuqing.jobs import TRANSCRIBE, Job, defer_again
from yuqing.objects import ObjectMissing

router = APIRouter(prefix="/v1", tags=["operations"], responses=PROBLEMS, route_class=IdempotentRoute)

Operator = Annotated[Caller, Depends(key_with("operator"))]
StageName = Annotated[str, Path(pattern=r"^[a-z0-9_]{1,32}$")]
Day = Annotated[str, Path(pattern=r"^\d{4}-\d\d-\d\d$")]
BatchName = Annotated[str, Path(pattern=r"^[\w.=+@~,() -]{1,200}$")]
# A replay of so many objects is one run of the cleaning.
MAXIMUM_KEYS = 100
RECORDS = 20


class Replay(BaseModel):
    """What is to be tried again: keys as the list has them."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "examples": [
                {"keys": ["quarantine/cleaning/dt=2026-11-20/01JD4S8V9M3F1Q2R5T6W7X8Y9Z.jsonl.gz"]},
            ]
        },
    )

    keys: list[Annotated[str, Field(max_length=300)]] = Field(min_length=1, max_length=MAXIMUM_KEYS)


@dataclass(frozen=True)
class Replayed:
    """What a replay began: a run of the cleaning (`started`), and recordings that wait for the speech worker again."""

    started: tuple[Task, ...]
    recordings: int


@router.get("/quarantine", operation_id="list_quarantine", summary="What the stages could not use, newest day first")
async def listed(
    request: Request,
    _caller: Operator,
    stage: Annotated[str | None, Query(pattern=r"^[a-z0-9_]{1,32}$")] = None,
    before: Annotated[str | None, Query(max_length=300, description="next_before of the page before")] = None,
    limit: Limit = None,
) -> QuarantinePage:
    """With the reasons and their numbers."""
    if before is not None and quarantine.parts_of(before) is None:
        raise bad_request("query.before", "is no key of quarantine", "start again without it")
    store = gateway_of(request).store
    return await asyncio.to_thread(quarantine.list_quarantine, store, stage=stage, before=before, limit=limit or 30)


async def read_batch(gateway: Gateway, key: str, offset: int, limit: int, characters: int) -> QuarantinedBatch:
    """Some records of an object. Problem 404."""
    if quarantine.parts_of(key) is None:
        raise not_found(key)
    found = await asyncio.to_thread(
        quarantine.read_quarantined, gateway.store, key, offset=offset, limit=limit, characters=characters
    )
    if found is None:
        raise not_found(key)
    return found


@router.get(
    "/quarantine/{stage}/{day}/{batch}", operation_id="read_quarantine", summary="The records of a quarantined batch"
)
async def one(
    request: Request,
    stage: StageName,
    day: Day,
    batch: BatchName,
    _caller: Operator,
    offset: Annotated[int, Query(ge=0, le=2**31 - 1, description="next_offset of the page before")] = 0,
    limit: Limit = None,
    characters: Annotated[
        int, Query(ge=0, le=1_000_000, description="of each text; `cut` names the longer ones")
    ] = 500,
) -> QuarantinedBatch:
    """As they were kept, with the reason."""
    key = f"quarantine/{stage}/dt={day}/{batch}.jsonl.gz"
    return await read_batch(gateway_of(request), key, offset, limit or RECORDS, characters)


async def replay_keys(gateway: Gateway, caller: Caller, keys: Sequence[str]) -> Replayed:
    """Clean or hear them again, with a line in the audit log. Problem 404, 409, 422."""
    stages = {}
    for key in dict.fromkeys(keys):
        parts = quarantine.parts_of(key)
        if parts is None:
            raise bad_request(
                "body.keys", f"{key[:100]!r} is no key of quarantine", "take keys from GET /v1/quarantine"
            )
        if not quarantine.is_replayable(key):
            known = ", ".join(sorted(CLEANED_AGAIN | HEARD_AGAIN))
            raise Problem(
                409, "not-replayable", f"what {parts[0]} refused cannot be tried again", f"replayable: {known}"
            )
        stages[key] = parts[0]
    exists = await asyncio.gather(*(asyncio.to_thread(gateway.store.exists, key) for key in stages))
    if missing := [key for key, found in zip(stages, exists, strict=True) if not found]:
        raise not_found(missing[0])
    recordings = await _recordings(gateway, [key for key, stage in stages.items() if stage in HEARD_AGAIN])
    cleaned = [key for key, stage in stages.items() if stage in CLEANED_AGAIN]
    options = [option for key in cleaned for option in ("--replay", key)]
    started = await start(gateway, caller, "clean", "quarantine.replay", options=options) if cleaned else []
    waiting = await _hear_again(gateway, caller, recordings) if recordings else 0
    return Replayed(tuple(started), waiting)


async def _recordings(gateway: Gateway, keys: Sequence[str]) -> dict[str, list[str]]:
    """The recordings (sha256) that each object names. Problem 404, 409."""
    found = {}
    for key in keys:
        try:
            found[key] = await asyncio.to_thread(quarantine.recordings_of, gateway.store, key)
        except ObjectMissing:  # transcribed just now
            raise not_found(key) from None
        except quarantine.BROKEN as error:
            raise Problem(
                409, "not-replayable", f"{key} cannot be read: {error}", "its recordings cannot be told"
            ) from None
    return found


async def _hear_again(gateway: Gateway, caller: Caller, recordings: Mapping[str, Sequence[str]]) -> int:
    """Recordings back into the queue; returns how many wait now that did not before.

    Their objects stay in quarantine until the speech worker has a transcript, so that nothing is lost when it fails again.
    """
    wanted = sorted({sha256 for each in recordings.values() for sha256 in each})
    jobs = [Job(TRANSCRIBE, TRANSCRIBE, {"media_sha256": sha256}, f"{TRANSCRIBE}:{sha256}") for sha256 in wanted]
    async with gateway.database.begin() as connection:
        waiting = await connection.run_sync(defer_again, jobs)
        detail = {"keys": list(recordings), "recordings": waiting}
        await audit.note(connection, caller.team_id, caller.actor, "quarantine.replay", "quarantine:asr", detail)
    return waiting


@router.post(
    "/quarantine/replays",
    status_code=202,
    operation_id="replay_quarantine",
    summary="Try quarantined batches again",
)
async def replay(request: Request, wanted: Replay, caller: Operator) -> Replayed:
    """Raw documents are cleaned with today's code, recordings wait for the speech worker; what stays unusable stays there."""
    return await replay_keys(gateway_of(request), caller, wanted.keys)
