"""/v1/queues and /v1/jobs: what waits, runs and has failed, and putting it back or taking it out. For operators."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.api.answers import PROBLEMS
from gateway.auth import Caller, key_with
from gateway.filters import Limit
from gateway.idempotency import IdempotentRoute
from gateway.problems import Problem, not_found
from gateway.queries import audit, jobs
from gateway.queries.jobs import JobDetail, JobPage, JobState, JobStatus, Queues
from gateway.resources import Gateway, gateway_of

router = APIRouter(prefix="/v1", tags=["operations"], responses=PROBLEMS, route_class=IdempotentRoute)

Operator = Annotated[Caller, Depends(key_with("operator"))]
JobPath = Annotated[int, Path(ge=1, le=2**62)]


@router.get("/queues", operation_id="list_queues", summary="The job queues and their workers")
async def queues(request: Request, _caller: Operator) -> Queues:
    """A stalled job has lost its worker; another worker puts it back by itself."""
    gateway = gateway_of(request)
    async with gateway.reading.connect() as connection:
        return await jobs.queue_states(connection, gateway.settings.jobs.stalled_after_s)


@router.get("/jobs", operation_id="list_jobs", summary="Jobs, newest first")
async def listed(
    request: Request,
    _caller: Operator,
    queue: Annotated[str | None, Query(max_length=128, pattern=r"^[^\x00]*$")] = None,
    status: JobStatus | None = None,
    before: Annotated[int | None, Query(ge=1, le=2**62, description="next_before of the page before")] = None,
    limit: Limit = None,
) -> JobPage:
    """Those that wait, run, have failed or were cancelled; what succeeded is not kept."""
    async with gateway_of(request).reading.connect() as connection:
        return await jobs.list_jobs(connection, queue=queue, status=status, before=before, limit=limit or 30)


async def _read(connection: AsyncConnection, job_id: int) -> JobDetail:
    found = await jobs.read_job(connection, job_id)
    if found is None:
        raise not_found(f"job {job_id}")
    return found


@router.get("/jobs/{job_id}", operation_id="read_job", summary="One job with its events")
async def one(request: Request, job_id: JobPath, _caller: Operator) -> JobDetail:
    """404 also when it has succeeded meanwhile."""
    async with gateway_of(request).reading.connect() as connection:
        return await _read(connection, job_id)


async def change_job(gateway: Gateway, caller: Caller, job_id: int, *, retry: bool) -> JobDetail:
    """Put a failed job back, or take a waiting one out; with its line in the audit log. Problem 404, 409."""
    change = jobs.retry_job if retry else jobs.cancel_job
    async with gateway.database.begin() as connection:
        try:
            if not await change(connection, job_id):
                raise not_found(f"job {job_id}")
        except JobState as error:
            raise Problem(409, "job-state", error.message, error.cure) from None
        found = await _read(connection, job_id)
        detail = {"queue": found.queue, "task": found.task}
        action = "job.retry" if retry else "job.cancel"
        await audit.note(connection, caller.team_id, caller.actor, action, f"job:{job_id}", detail)
    return found


@router.post("/jobs/{job_id}/retry", operation_id="retry_job", summary="Put a failed job back into its queue")
async def retry(request: Request, job_id: JobPath, caller: Operator) -> JobDetail:
    """It gets one more try. 409 unless it has failed, or when the same work waits already."""
    return await change_job(gateway_of(request), caller, job_id, retry=True)


@router.post(
    "/jobs/{job_id}/cancellation",
    operation_id="cancel_job",
    summary="Take a waiting job out of its queue",
)
async def cancel(request: Request, job_id: JobPath, caller: Operator) -> JobDetail:
    """409 when it runs already, or has ended."""
    return await change_job(gateway_of(request), caller, job_id, retry=False)
