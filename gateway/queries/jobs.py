"""The job queue as an operator sees it: queues, jobs, and what may be done with one. The tables are procrastinate's."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, get_args

from sqlalchemy import Row, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from yuqing.errors import YuqingError
from yuqing.jobs import ANALYZE, TRANSCRIBE

JobStatus = Literal["todo", "doing", "failed", "cancelled", "succeeded", "aborted"]
STATUSES: tuple[JobStatus, ...] = get_args(JobStatus)


class JobState(YuqingError):
    """What was asked for cannot be done with a job in this state."""


@dataclass(frozen=True)
class QueueState:
    """A queue's jobs: `oldest_s` is the age of the job that has waited longest; `stalled` ones have lost their worker."""

    name: str
    waiting: int
    running: int
    failed: int
    cancelled: int
    stalled: int
    oldest_s: float | None


@dataclass(frozen=True)
class Queues:
    """All queues; `workers` have shown a sign of life within the heartbeat's time."""

    queues: tuple[QueueState, ...]
    workers: int


@dataclass(frozen=True)
class JobEvent:
    """What happened to a job, in procrastinate's words, and when."""

    kind: str
    at: datetime


@dataclass(frozen=True)
class ListedJob:
    """A job; `arguments` name documents, recordings and companies by id."""

    id: int
    queue: str
    task: str
    status: JobStatus
    priority: int
    attempts: int
    arguments: dict[str, Any]
    deferred_at: datetime | None
    scheduled_at: datetime | None
    changed_at: datetime | None


@dataclass(frozen=True)
class JobPage:
    """Newest first; `next_before` is None on the last page."""

    items: tuple[ListedJob, ...]
    next_before: int | None


@dataclass(frozen=True)
class JobDetail(ListedJob):
    """A job with its events, the first one first."""

    events: tuple[JobEvent, ...]


_QUEUES = text("""
SELECT queue_name AS name, count(*) FILTER (WHERE status = 'todo') AS waiting,
    count(*) FILTER (WHERE status = 'doing') AS running, count(*) FILTER (WHERE status = 'failed') AS failed,
    count(*) FILTER (WHERE status IN ('cancelled', 'aborted')) AS cancelled,
    count(*) FILTER (WHERE status = 'doing' AND (w.id IS NULL OR w.last_heartbeat < now() - :stalled)) AS stalled,
    min(j.id) FILTER (WHERE status = 'todo') AS oldest
FROM procrastinate_jobs j LEFT JOIN procrastinate_workers w ON w.id = j.worker_id GROUP BY 1
""")
# The queues' first jobs, not all that wait: of those it is the oldest, but for ones that were put back for another try.
_AGES = text(
    "SELECT j.queue_name, EXTRACT(epoch FROM now() - min(e.at)) FROM procrastinate_jobs j "
    "JOIN procrastinate_events e ON e.job_id = j.id WHERE j.id = ANY(:jobs) GROUP BY 1"
)
_WORKERS = text("SELECT count(*) FROM procrastinate_workers WHERE last_heartbeat >= now() - :stalled")
_COLUMNS = """
j.id, j.queue_name, j.task_name, CAST(j.status AS text) AS status, j.priority, j.attempts, j.args, j.scheduled_at,
(SELECT min(e.at) FROM procrastinate_events e WHERE e.job_id = j.id) AS deferred_at,
(SELECT max(e.at) FROM procrastinate_events e WHERE e.job_id = j.id) AS changed_at
"""
_PAGE = text(
    f"SELECT {_COLUMNS} FROM procrastinate_jobs j WHERE j.id < :before "
    "AND (CAST(:queue AS text) IS NULL OR j.queue_name = :queue) "
    "AND (CAST(:status AS text) IS NULL OR CAST(j.status AS text) = :status) ORDER BY j.id DESC LIMIT :limit"
)
_ONE = text(f"SELECT {_COLUMNS} FROM procrastinate_jobs j WHERE j.id = :job")
_EVENTS = text("SELECT CAST(type AS text), at FROM procrastinate_events WHERE job_id = :job ORDER BY id")
_LOCKED = text("SELECT CAST(status AS text) FROM procrastinate_jobs WHERE id = :job FOR UPDATE")
_RETRY = text("SELECT procrastinate_retry_job_v2(:job, now(), NULL, NULL, NULL)")
_CANCEL = text("SELECT procrastinate_cancel_job_v1(:job, false, false)")

# Shown even when nothing waits in them.
KNOWN = (TRANSCRIBE, ANALYZE, "gateway", "gateway-analyses")


async def queue_states(connection: AsyncConnection, stalled_after_s: float) -> Queues:
    """Every queue by name, and how many workers are alive; three statements."""
    stalled = {"stalled": timedelta(seconds=stalled_after_s)}
    rows = (await connection.execute(_QUEUES, stalled)).all()
    oldest = [row.oldest for row in rows if row.oldest is not None]
    ages = {name: float(age) for name, age in await connection.execute(_AGES, {"jobs": oldest})}
    workers = (await connection.execute(_WORKERS, stalled)).scalar_one()
    found = {
        row.name: QueueState(
            row.name, row.waiting, row.running, row.failed, row.cancelled, row.stalled, ages.get(row.name)
        )
        for row in rows
    }
    idle = {name: QueueState(name, 0, 0, 0, 0, 0, None) for name in KNOWN}
    return Queues(tuple(sorted({**idle, **found}.values(), key=lambda queue: queue.name)), workers)


def _job(row: Row[Any]) -> ListedJob:
    return ListedJob(
        id=row.id,
        queue=row.queue_name,
        task=row.task_name,
        status=row.status,
        priority=row.priority,
        attempts=row.attempts,
        arguments=row.args,
        deferred_at=row.deferred_at,
        scheduled_at=row.scheduled_at,
        changed_at=row.changed_at,
    )


async def list_jobs(
    connection: AsyncConnection, *, queue: str | None, status: JobStatus | None, before: int | None, limit: int
) -> JobPage:
    """A page of the jobs (of a queue, in a status), newest first. Jobs that succeeded are not kept."""
    values = {"queue": queue, "status": status, "before": before or 2**62, "limit": limit + 1}
    jobs = [_job(row) for row in await connection.execute(_PAGE, values)]
    return JobPage(tuple(jobs[:limit]), jobs[limit - 1].id if len(jobs) > limit else None)


async def read_job(connection: AsyncConnection, job_id: int) -> JobDetail | None:
    """A job with its events."""
    row = (await connection.execute(_ONE, {"job": job_id})).first()
    if row is None:
        return None
    events = tuple(JobEvent(kind, at) for kind, at in await connection.execute(_EVENTS, {"job": job_id}))
    return JobDetail(**vars(_job(row)), events=events)


async def _status(connection: AsyncConnection, job_id: int) -> str | None:
    return (await connection.execute(_LOCKED, {"job": job_id})).scalar()


async def retry_job(connection: AsyncConnection, job_id: int) -> bool:
    """Put a failed job back into its queue; False when there is none. Raises JobState."""
    status = await _status(connection, job_id)
    if status is None:
        return False
    if status != "failed":
        raise JobState(f"job {job_id} is {status}; only a failed one can be tried again", cure="look at the job")
    try:
        async with connection.begin_nested():
            await connection.execute(_RETRY, {"job": job_id})
    except IntegrityError:
        raise JobState(f"the same work as job {job_id} waits in the queue already", cure="leave it as it is") from None
    return True


async def cancel_job(connection: AsyncConnection, job_id: int) -> bool:
    """Take a waiting job out of its queue; False when there is none. Raises JobState."""
    status = await _status(connection, job_id)
    if status is None:
        return False
    if status != "todo":
        raise JobState(f"job {job_id} is {status}; only a waiting one can be cancelled", cure="look at the job")
    await connection.execute(_CANCEL, {"job": job_id})
    return True
