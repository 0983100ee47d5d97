"""The job queue in a real PostgreSQL: in one transaction with the rows, and nothing lost with a killed worker."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence

import pytest
from sqlalchemy import Engine, text

from yuqing import jobs
from yuqing.database import session
from yuqing.jobs import Job, JobCounts
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def _defer(database: Engine, batch: Sequence[Job]) -> int:
    with session.transaction(database) as connection:
        return jobs.defer_in_transaction(connection, batch)


def _run(settings: Settings, handler: object, queues: Sequence[str] = ("q",)) -> JobCounts:
    async def work() -> JobCounts:
        app = jobs.job_app(settings)
        app.task(name="t", queue="q", retry=jobs.retry(settings))(handler)  # type: ignore[call-overload]
        async with app.open_async():
            return await jobs.run_pending(app, queues, settings, follow=False, concurrency=2)

    return asyncio.run(work())


def test_jobs_are_worked_once_and_the_worker_ends(settings: Settings, database: Engine) -> None:
    assert _defer(database, [Job("t", "q", {"n": n}) for n in range(5)]) == 5
    done: list[int] = []

    async def handler(n: int) -> None:
        done.append(n)

    assert _run(settings, handler) == JobCounts(5, 0)
    assert sorted(done) == list(range(5))
    assert _run(settings, handler) == JobCounts(0, 0)


def test_a_waiting_lock_is_not_added_twice(database: Engine) -> None:
    job = Job("t", "q", {"n": 1}, queueing_lock="t:1")
    assert _defer(database, [job, job]) == 1
    assert _defer(database, [job]) == 0


def test_a_waiting_job_gets_the_higher_priority(database: Engine) -> None:
    for priority, expected in ((1, 1), (10, 10), (5, 10)):
        _defer(database, [Job("t", "q", {}, "t:1", priority), Job("t", "q", {}, "t:2")])
        with session.transaction(database) as connection:
            found = dict(connection.execute(text("SELECT queueing_lock, priority FROM procrastinate_jobs")).all())  # type: ignore[arg-type]
        assert found == {"t:1": expected, "t:2": 0}


def test_a_job_appears_with_its_rows_or_not_at_all(database: Engine) -> None:
    with pytest.raises(ZeroDivisionError), session.transaction(database) as connection:
        jobs.defer_in_transaction(connection, [Job("t", "q", {})])
        raise ZeroDivisionError
    with session.transaction(database) as connection:
        assert connection.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one() == 0


def test_a_failing_job_is_tried_again_and_then_counted(settings: Settings, database: Engine) -> None:
    _defer(database, [Job("t", "q", {"n": 1}), Job("t", "q", {"n": 2})])
    tries: list[int] = []

    async def handler(n: int) -> None:
        tries.append(n)
        if n == 1:
            raise ValueError("never works")

    assert _run(settings, handler) == JobCounts(1, 1)
    assert sorted(tries) == [1] * settings.jobs.attempts + [2]


_WORKER = """
import asyncio
from yuqing import jobs
from yuqing.settings import get_settings

async def main():
    app = jobs.job_app(get_settings())
    @app.task(name="t", queue="q")
    async def handler(n):
        print("started", flush=True)
        await asyncio.sleep(600)
    async with app.open_async():
        await jobs.run_pending(app, ["q"], get_settings(), follow=False, concurrency=1)

asyncio.run(main())
"""


def test_the_job_of_a_killed_worker_is_put_back(
    settings: Settings, database: Engine, environment: dict[str, str]
) -> None:
    _defer(database, [Job("t", "q", {"n": 7})])
    child = subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE, env=os.environ | environment)
    assert child.stdout is not None
    assert child.stdout.readline() == b"started\n"
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    done: list[int] = []

    async def handler(n: int) -> None:
        done.append(n)

    assert _run(settings, handler) == JobCounts(1, 0)
    assert done == [7]


def test_sigterm_lets_the_job_under_way_finish(
    settings: Settings, database: Engine, environment: dict[str, str]
) -> None:
    _defer(database, [Job("t", "q", {"n": 1}), Job("t", "q", {"n": 2})])
    program = _WORKER.replace("asyncio.sleep(600)", "asyncio.sleep(1)")
    child = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=os.environ | environment)
    assert child.stdout is not None
    child.stdout.readline()
    started = time.monotonic()
    child.terminate()
    assert child.wait(30) == 0
    assert time.monotonic() - started < 20
    with session.transaction(database) as connection:
        left = connection.execute(text("SELECT status FROM procrastinate_jobs")).scalars().all()
    assert left == ["todo"]
