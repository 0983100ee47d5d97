"""/v1/crawls, /v1/cleanings, /v1/tasks: starting a crawl or a clean now, and what became of it. For operators."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path as FilePath
from typing import Annotated, Literal, get_args

from fastapi import APIRouter, Depends, Path, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.api.answers import PROBLEMS
from gateway.api.sites import health_of_sites
from gateway.auth import Caller, key_with
from gateway.idempotency import IdempotentRoute
from gateway.problems import RETRY_AFTER_S, Problem, bad_request, not_found
from gateway.queries import audit
from gateway.resources import Gateway, gateway_of
from yuqing import starting
from yuqing.cluster.connection import Cluster, ClusterError
from yuqing.cluster.logs import logs
from yuqing.errors import YuqingError
from yuqing.starting import AlreadyRunning, Run, RunState, Stage

router = APIRouter(prefix="/v1", tags=["operations"], responses=PROBLEMS, route_class=IdempotentRoute)

Operator = Annotated[Caller, Depends(key_with("operator"))]
TaskName = Annotated[str, Path(pattern=r"^[a-z0-9][a-z0-9.-]{0,62}$")]
STAGES: tuple[Stage, ...] = get_args(Stage)
LOG_BYTES, LOG_LINES = 64 * 2**10, 300
_Site = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


class Crawl(BaseModel):
    """Which sites to crawl now."""

    model_config = ConfigDict(extra="forbid", json_schema_extra={"examples": [{"sites": ["people", "xinhuanet"]}]})

    sites: list[_Site] = Field([], max_length=500, description="by name; none: all")


class Cleaning(BaseModel):
    """The raw batches that are pending."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class Task:
    """A run of a stage: a Job of the cluster, or a process of this machine. Who started it stands in the audit log.

    `unknown`: a process whose gateway ended before it did.
    """

    stage: Stage
    name: str
    kind: Literal["job", "process"]
    state: RunState
    started_at: datetime | None


@dataclass(frozen=True)
class TaskDetail(Task):
    """A run with the end of what it wrote; None when that is gone."""

    log: str | None


def _task(run: Run) -> Task:
    return Task(run.stage, run.name, run.kind, run.state, run.started)


def _away(error: YuqingError) -> Problem:
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Problem(503, "cluster-away", error.message, error.cure, headers=headers)


async def start(
    gateway: Gateway,
    caller: Caller,
    stage: Stage,
    action: str,
    *,
    sites: Sequence[str] = (),
    options: Sequence[str] = (),
) -> list[Task]:
    """Start it, with a line in the audit log. Problem 409 when one of the stage runs, 503 when nothing can be started."""
    async with gateway.database.begin() as connection:
        try:
            started = await asyncio.to_thread(
                starting.start, gateway.settings, stage, sites, options=options, by=caller.actor
            )
        except AlreadyRunning as error:
            raise Problem(409, "runs-already", error.message, error.cure) from None
        except YuqingError as error:
            raise _away(error) from None
        detail = {"sites": list(sites), "options": list(options)}
        subject = ", ".join(f"{run.stage}:{run.name}" for run in started)
        await audit.note(connection, caller.team_id, caller.actor, action, subject, detail)
    return [_task(run) for run in started]


async def start_crawl(gateway: Gateway, caller: Caller, sites: Sequence[str]) -> list[Task]:
    """Crawl these sites, or all. Problem 409, 422 for a site that does not exist, 503."""
    known = {site.name for site in await health_of_sites(gateway)}
    if unknown := sorted(set(sites) - known):
        raise bad_request("body.sites", f"there is no site {unknown[0]!r}", "GET /v1/sites lists them")
    return await start(gateway, caller, "crawl", "crawl.start", sites=list(dict.fromkeys(sites)))


@router.post("/crawls", status_code=202, operation_id="start_crawl", summary="Crawl sites now")
async def crawl(request: Request, wanted: Crawl, caller: Operator) -> list[Task]:
    """As Jobs of the cluster, or as a process beside the gateway. Its report is there after the next clean."""
    return await start_crawl(gateway_of(request), caller, wanted.sites)


@router.post("/cleanings", status_code=202, operation_id="start_cleaning", summary="Clean what is pending now")
async def clean(request: Request, _wanted: Cleaning, caller: Operator) -> list[Task]:
    """As a Job of the cluster, or as a process beside the gateway."""
    return await start(gateway_of(request), caller, "clean", "clean.start")


async def _runs(gateway: Gateway, stages: Sequence[Stage]) -> list[Run]:
    try:
        found = await asyncio.gather(*(asyncio.to_thread(starting.runs, gateway.settings, stage) for stage in stages))
    except YuqingError as error:
        raise _away(error) from None
    beginning = datetime.min.replace(tzinfo=UTC)
    return sorted((run for each in found for run in each), key=lambda run: run.started or beginning, reverse=True)


async def list_tasks(gateway: Gateway) -> list[Task]:
    """Those that are known, newest first. Problem 503 when the cluster does not answer."""
    return [_task(run) for run in await _runs(gateway, STAGES)]


@router.get("/tasks", operation_id="list_tasks", summary="Crawls and cleans that run or ran, newest first")
async def listed(request: Request, _caller: Operator) -> list[Task]:
    """The Jobs that the cluster still keeps, or the latest processes that were started beside a gateway."""
    return await list_tasks(gateway_of(request))


async def read_task(gateway: Gateway, stage: Stage, name: str) -> TaskDetail:
    """A run with its log. Problem 404, 503."""
    run = next((run for run in await _runs(gateway, [stage]) if run.name == name), None)
    if run is None:
        raise not_found(f"task {stage} {name}")
    return TaskDetail(**vars(_task(run)), log=await asyncio.to_thread(_log, gateway, run))


@router.get("/tasks/{stage}/{name}", operation_id="read_task", summary="One of them, with its log")
async def one(request: Request, stage: Stage, name: TaskName, _caller: Operator) -> TaskDetail:
    """The end of what it wrote."""
    return await read_task(gateway_of(request), stage, name)


def _log(gateway: Gateway, run: Run) -> str | None:
    if run.kind == "job":
        return _log_of_job(gateway, run)
    try:
        with FilePath(run.detail).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LOG_BYTES))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return None


def _log_of_job(gateway: Gateway, run: Run) -> str | None:
    lines = logs(Cluster(gateway.settings), run.stage, tail=LOG_LINES)
    try:
        # A Job's pods bear its name and a suffix.
        own = [line for pod, line in lines if pod.rpartition("-")[0] == run.name]
    except ClusterError:  # its pods are gone
        return None
    return "\n".join(own)
