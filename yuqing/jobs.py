"""The job queue: procrastinate, in the same PostgreSQL as the rows, so that a row and its job appear together."""

import asyncio
import json
import signal
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import procrastinate
import psycopg
from sqlalchemy import Connection, text

from yuqing.database.session import away
from yuqing.endpoints import database_url
from yuqing.settings import Settings
from yuqing.telemetry import get_logger

log = get_logger("jobs")

TRANSCRIBE = "transcribe"
ANALYZE = "analyze"
# Longer than the pauses between a job's tries, shorter than a job waits that somebody put off.
_SOON_S = 600.0


@dataclass(frozen=True)
class Job:
    """A job to defer. While one with the same queueing lock waits, another is not added."""

    task: str
    queue: str
    arguments: Mapping[str, Any]
    queueing_lock: str | None = None
    priority: int = 0


@dataclass(frozen=True)
class JobCounts:
    """How a worker's jobs ended; a job that is tried again counts when it ends."""

    succeeded: int
    failed: int


def job_app(settings: Settings) -> procrastinate.App:
    """The queue, not yet opened. Raises NotConfigured."""
    connector = procrastinate.PsycopgConnector(
        conninfo=database_url(settings), kwargs={"connect_timeout": settings.database.connect_timeout_s}
    )
    return procrastinate.App(connector=connector)


def retry(settings: Settings) -> procrastinate.RetryStrategy:
    """How every task is tried again: `settings.jobs.attempts` tries in all, with waits of 2, 4, 8... s between them."""
    # procrastinate's max_attempts counts the tries after the first.
    return procrastinate.RetryStrategy(max_attempts=settings.jobs.attempts - 1, exponential_wait=2)


def defer_in_transaction(connection: Connection, jobs: Iterable[Job]) -> int:
    """Add jobs inside the caller's transaction; returns how many were new.

    Jobs whose queueing lock already waits in the queue are left out; the one that waits gets the higher priority of the two.
    The rows are added one statement for all.
    """
    by_lock = {job.queueing_lock or f"#{number}": job for number, job in enumerate(jobs)}
    if not by_lock:
        return 0
    # Two transactions that add the same lock would otherwise meet in a unique violation, which ends a transaction.
    connection.execute(text("SELECT pg_advisory_xact_lock(hashtext('yuqing.jobs'))"))
    waiting = set(
        connection.execute(
            text("SELECT queueing_lock FROM procrastinate_jobs WHERE status = 'todo' AND queueing_lock = ANY(:locks)"),
            {"locks": list(by_lock)},
        ).scalars()
    )
    fresh = [job for lock, job in by_lock.items() if lock not in waiting]
    for priority in sorted({job.priority for lock, job in by_lock.items() if lock in waiting and job.priority > 0}):
        connection.execute(
            text(
                "UPDATE procrastinate_jobs SET priority = :priority "
                "WHERE status = 'todo' AND queueing_lock = ANY(:locks) AND priority < :priority"
            ),
            {"priority": priority, "locks": [lock for lock in waiting if by_lock[lock].priority == priority]},
        )
    rows = [
        {
            "queue_name": job.queue,
            "task_name": job.task,
            "priority": job.priority,
            "queueing_lock": job.queueing_lock,
            "args": dict(job.arguments),
        }
        for job in fresh
    ]
    connection.execute(
        text(
            "SELECT procrastinate_defer_jobs_v1(ARRAY(SELECT ROW(queue_name, task_name, priority, NULL, queueing_lock, "
            "args, NULL)::procrastinate_job_to_defer_v1 FROM jsonb_to_recordset(CAST(:rows AS jsonb)) "
            "AS row(queue_name text, task_name text, priority int, queueing_lock text, args jsonb)))"
        ),
        {"rows": json.dumps(rows, ensure_ascii=False)},
    )
    return len(fresh)


def defer_again(connection: Connection, jobs: Sequence[Job]) -> int:
    """Add jobs that were given up, in place of the failed ones, which would count as failed for ever; returns how many were new."""
    connection.execute(
        text("DELETE FROM procrastinate_jobs WHERE status = 'failed' AND queueing_lock = ANY(:locks)"),
        {"locks": [job.queueing_lock for job in jobs]},
    )
    return defer_in_transaction(connection, jobs)


async def put_back_stalled(app: procrastinate.App, settings: Settings) -> int:
    """Jobs of workers that stopped their heartbeat (killed, or cut off) are put back; returns how many."""
    stalled = await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=settings.jobs.stalled_after_s)
    count = 0
    for job in stalled:
        await app.job_manager.retry_job(job)
        log.warning("stalled job put back", job=job.id, task=job.task_name, arguments=job.task_kwargs)
        count += 1
    return count


async def _watch_stalled(app: procrastinate.App, settings: Settings) -> None:
    while True:
        await asyncio.sleep(settings.jobs.stalled_after_s)
        await put_back_stalled(app, settings)


async def _left(app: procrastinate.App, queues: Sequence[str]) -> int:
    """Jobs under way, or due within _SOON_S."""
    rows = await app.connector.execute_query_all_async(
        "SELECT count(*) AS jobs FROM procrastinate_jobs "
        "WHERE queue_name = ANY(%(queues)s) AND (status = 'doing' OR status = 'todo' AND "
        "(scheduled_at IS NULL OR scheduled_at < now() + make_interval(secs => %(soon)s)))",
        queues=list(queues),
        soon=_SOON_S,
    )
    return int(rows[0]["jobs"])


async def run_pending(
    app: procrastinate.App, queues: Sequence[str], settings: Settings, *, follow: bool, concurrency: int
) -> JobCounts:
    """Work the queues' jobs; without `follow` return when none is left, also none that waits for another try.

    A job that is due later than in _SOON_S seconds (one that waits for the next day's budget, say) is not waited for.

    SIGTERM and Ctrl-C let the jobs under way finish, then return. Jobs of killed workers are put back while it runs.
    Raises DatabaseAway when the database does not answer.
    """
    counts = {"succeeded": 0, "failed": 0}
    before = await _failed(app, queues)

    async def count(call_next: Any, _context: Any, _worker: Any) -> Any:
        result = await call_next()
        counts["succeeded"] += 1
        return result

    async def work() -> None:
        while True:
            await put_back_stalled(app, settings)
            await app.run_worker_async(
                queues=list(queues),
                wait=follow,
                concurrency=concurrency,
                install_signal_handlers=False,
                listen_notify=follow,
                delete_jobs="successful",
                update_heartbeat_interval=settings.jobs.heartbeat_s,
                stalled_worker_timeout=settings.jobs.stalled_after_s,
                fetch_job_polling_interval=1.0,
                worker_middleware=[count],
            )
            if follow or await _left(app, queues) == 0:
                return
            await asyncio.sleep(0.5)  # left: jobs of another worker, or waiting for their next try

    worker = asyncio.create_task(work())
    watch = asyncio.create_task(_watch_stalled(app, settings))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.cancel)
    try:
        with suppress(asyncio.CancelledError):
            await worker
    except procrastinate.exceptions.ConnectorException as error:
        if isinstance(error.__cause__, psycopg.OperationalError):
            raise away(error.__cause__) from error
        raise
    finally:
        watch.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)
    return JobCounts(counts["succeeded"], await _failed(app, queues) - before)


async def _failed(app: procrastinate.App, queues: Sequence[str]) -> int:
    rows = await app.connector.execute_query_all_async(
        "SELECT count(*) AS jobs FROM procrastinate_jobs WHERE queue_name = ANY(%(queues)s) AND status = 'failed'",
        queues=list(queues),
    )
    return int(rows[0]["jobs"])
