"""/operations/queues: what waits, runs and has failed."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.responses import Response

from gateway.api.jobs import JobPath, change_job
from gateway.auth import Caller
from gateway.pages.operations import Operator, OwnForm, done
from gateway.pages.rendering import remember_preferences, render
from gateway.problems import Problem, not_found
from gateway.queries import jobs
from gateway.queries.jobs import JobStatus
from gateway.resources import gateway_of

router = APIRouter(prefix="/operations/queues", include_in_schema=False, dependencies=[Depends(remember_preferences)])

JOBS = 50
# Those that a person may want to see; what succeeded is not kept.
SHOWN: tuple[JobStatus, ...] = ("failed", "todo", "doing", "cancelled")


async def _page(request: Request, caller: Caller, problem: Problem | None = None) -> Response:
    gateway = gateway_of(request)
    given = request.query_params
    status: JobStatus | None = next((each for each in SHOWN if each == given.get("status")), None)
    before = int(given["before"]) if given.get("before", "").isdecimal() and len(given["before"]) < 19 else None
    async with gateway.reading.connect() as connection:
        queues = await jobs.queue_states(connection, gateway.settings.jobs.stalled_after_s)
        known = {queue.name for queue in queues.queues}
        queue = given.get("queue") if given.get("queue") in known else None
        page = await jobs.list_jobs(connection, queue=queue, status=status, before=before, limit=JOBS)
    return render(
        request,
        "operations_queues.html",
        status=problem.status if problem else 200,
        caller=caller,
        tab="queues",
        queues=queues,
        page=page,
        queue=queue,
        status_is=status,
        statuses=SHOWN,
        before=before,
        problem=problem,
        changed=given.get("done"),
    )


@router.get("")
async def queues(request: Request, caller: Operator) -> Response:
    """The queues, and the jobs of one of them or of one status."""
    return await _page(request, caller)


@router.get("/{job_id}")
async def job(request: Request, job_id: JobPath, caller: Operator) -> Response:
    """One job with its events."""
    async with gateway_of(request).reading.connect() as connection:
        found = await jobs.read_job(connection, job_id)
    if found is None:
        raise not_found(f"job {job_id}")
    return render(request, "operations_job.html", caller=caller, tab="queues", job=found)


@router.post("/{job_id}/{change}", dependencies=[OwnForm])
async def change(
    request: Request,
    job_id: JobPath,
    change: str,
    caller: Operator,
    back: Annotated[str, Query(max_length=300)] = "",
) -> Response:
    """Put a failed job back, or take a waiting one out."""
    if change not in ("retry", "cancellation"):
        raise not_found(f"what is to be done with job {job_id}")
    doing = change_job(gateway_of(request), caller, job_id, retry=change == "retry")
    then = f"/operations/queues?done={change}" + (f"&status={back}" if back in SHOWN else "")
    return await done(doing, then, lambda problem: _page(request, caller, problem))
