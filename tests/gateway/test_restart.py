"""PostgreSQL restarts under load: 503 with Retry-After meanwhile, then all is well by itself, and nothing is done twice or lost."""

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from tests.gateway import rows
from tests.gateway.conftest import running
from tests.gateway.test_keys import bearer, is_problem
from yuqing.database import session
from yuqing.embedded import services as embedded
from yuqing.embedded.supervisor import Supervisor
from yuqing.settings import Settings, load_settings

pytestmark = pytest.mark.service

READERS, WRITERS = 4, 2


@pytest.fixture
def postgres(tmp_path: Path, settings: Settings) -> Iterator[tuple[Supervisor, str]]:
    """A PostgreSQL of the test's own, which it may stop; yields what runs it, and its address."""
    port = 32_500 + os.getpid() % 5_000
    own = load_settings(data_dir=tmp_path / "own", embedded={"postgres_port": port, "start_timeout_s": 180})
    own.state.mkdir()
    planned = embedded.plan(own, ["database"])
    supervisor = Supervisor(planned.services, tmp_path / "logs", 20, None)
    supervisor.start()
    try:
        supervisor.wait_until_ready()
        yield supervisor, planned.addresses["database"]["url"]
    finally:
        supervisor.stop()


def test_a_restart_under_load(postgres: tuple[Supervisor, str], settings: Settings) -> None:
    supervisor, url = postgres
    own = load_settings(database={"url": url})
    pool = session.engine(own)
    with session.transaction(pool) as connection:
        key = rows.add_key(connection, "公关部")
        rows.add_press(connection, b"sound")
    pool.dispose()
    stop, answers, made = threading.Event(), list[httpx.Response](), list[str]()
    gateway = {"dependency_timeout_s": 60, "requests_per_minute": 10**6, "burst": 10**6}
    with running(database={"url": url}, gateway=gateway) as address:

        def client() -> httpx.Client:
            return httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60)

        def read() -> None:
            with client() as own_client:
                while not stop.is_set():
                    answers.append(own_client.get("/v1/documents"))
                    time.sleep(0.01)

        def write(number: int) -> None:
            """A company after the other, each sent until it is made."""
            with client() as own_client:
                count = 0
                while not stop.is_set():
                    name = f"公司{number}号之{count}"
                    answer = own_client.post(
                        "/v1/companies", json={"name": name}, headers={"Idempotency-Key": f"{number}-{count}"}
                    )
                    answers.append(answer)
                    if answer.status_code == 201:
                        made.append(name)
                        count += 1
                    time.sleep(0.02)

        threads = [threading.Thread(target=read) for _ in range(READERS)]
        threads += [threading.Thread(target=write, args=(number,)) for number in range(WRITERS)]
        for thread in threads:
            thread.start()
        try:
            _until(lambda: len(made) >= 2, "nothing was made before the restart")
            supervisor.stop()
            _until(lambda: sum(answer.status_code == 503 for answer in answers[-20:]) > 5, "nobody was refused")
            before = len(made)
            supervisor.start()
            supervisor.wait_until_ready()
            _until(lambda: len(made) >= before + 2, "the gateway did not recover")
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        with client() as after:
            assert after.get("/v1/documents").status_code == 200
            names = [company["name"] for company in after.get("/v1/companies").json()]
    refused = [answer for answer in answers if answer.status_code not in (200, 201)]
    for answer in refused:
        # 409: the first try was cut off, and is given up after a while.
        is_problem(answer, 503, "database-away") if answer.status_code == 503 else is_problem(answer, 409, "under-way")
        assert int(answer.headers["retry-after"]) > 0
    assert set(made) <= set(names), "what was answered with 201 is there"
    assert len(names) == len(set(names))
    with session.transaction(session.engine(own)) as connection:
        jobs = connection.execute(text("SELECT count(*) FROM procrastinate_jobs WHERE status = 'failed'")).scalar_one()
    assert jobs == 0


def _until(holds: object, what: str) -> None:
    deadline = time.monotonic() + 90
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
