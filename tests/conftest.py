"""Real services for the tests: SeaweedFS and PostgreSQL, started once a session, a bucket prefix and a database a test."""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import hypothesis
import psycopg
import pytest
from sqlalchemy import Engine

from yuqing.database import session
from yuqing.embedded import services as embedded
from yuqing.embedded.supervisor import Supervisor
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, load_settings

# A busy machine is no failure: tests assert results, never times.
hypothesis.settings.register_profile("yuqing", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("yuqing")

# What a thread says after its test has ended goes to streams that are closed by then.
logging.raiseExceptions = False

# A developer's own settings must not reach the tests.
for name in [name for name in os.environ if name.startswith("YUQING_") and name not in ("YUQING_CACHE_DIR",)]:
    del os.environ[name]


# What these folders' tests share for a session (vLLM, a Spark session, Whisper's weights) is started by one of the parallel
# processes alone; and what takes longest begins first.
SHARING = ("llm", "cleaning", "asr", "gateway", "crawler/browser")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Which tests `--dist loadgroup` keeps together: those of a folder that shares something costly, and else those of a file."""
    root = Path(__file__).parent

    def group(item: pytest.Item) -> str:
        file = item.path.relative_to(root).as_posix()
        return next((folder for folder in SHARING if file.startswith(folder + "/")), file)

    for item in items:
        item.add_marker(pytest.mark.xdist_group(group(item)))
    order = {folder: place for place, folder in enumerate(SHARING)}
    items.sort(key=lambda item: order.get(group(item), len(order)))


@dataclass(frozen=True)
class Services:
    """Where the session's services answer."""

    database_url: str
    s3: dict[str, str]


@pytest.fixture(scope="session")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    """PostgreSQL (migrated) and SeaweedFS on free ports, stopped at the end of the session."""
    folder = tmp_path_factory.mktemp("services")
    # Ports of this process's own: two sessions that start at the same time must not choose the same ones.
    port = 12_000 + os.getpid() % 10_000 * 2
    embedded_ports = {"postgres_port": port, "s3_port": port + 1, "start_timeout_s": 180}
    settings = load_settings(data_dir=folder, embedded=embedded_ports)
    planned = embedded.plan(settings, ["database", "s3"])
    supervisor = Supervisor(planned.services, folder / "logs", 20, None)
    supervisor.start()
    try:
        supervisor.wait_until_ready()
        yield Services(planned.addresses["database"]["url"], planned.addresses["s3"])
    finally:
        supervisor.stop()


@pytest.fixture
def database_url(services: Services) -> Iterator[str]:
    """A migrated database of the test's own."""
    name = f"test_{new_ulid().lower()}"
    root = services.database_url.rsplit("/", 1)[0] + "/postgres"
    with psycopg.connect(root, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}" TEMPLATE yuqing')  # type: ignore[arg-type]
    yield root.rsplit("/", 1)[0] + "/" + name
    with psycopg.connect(root, autocommit=True) as connection:
        connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')  # type: ignore[arg-type]


@pytest.fixture
def environment(
    services: Services, database_url: str, tmp_path: Path, request: pytest.FixtureRequest
) -> dict[str, str]:
    """`YUQING_*` variables that point a process at the test's own database and bucket prefix."""
    test = re.sub(r"[^a-z0-9]+", "-", request.node.name.lower())[:40]
    return {
        "YUQING_DATA_DIR": str(tmp_path / "state"),
        "YUQING_S3__ENDPOINT": services.s3["endpoint"],
        "YUQING_S3__ACCESS_KEY": services.s3["access_key"],
        "YUQING_S3__SECRET_KEY": services.s3["secret_key"],
        "YUQING_S3__PREFIX": f"{test}-{new_ulid().lower()}",
        "YUQING_DATABASE__URL": database_url,
        "YUQING_JOBS__HEARTBEAT_S": "0.5",
        "YUQING_CLEANING__ARCHIVE_CLASSES": "false",  # what a killed run leaves is its own
        "YUQING_JOBS__STALLED_AFTER_S": "2",
    }


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The same as settings of this process; `get_settings()` answers them too."""
    from yuqing.settings import get_settings

    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    get_settings.cache_clear()
    return get_settings()


@pytest.fixture
def store(settings: Settings) -> ObjectStore:
    """The test's own part of the bucket."""
    return ObjectStore.from_settings(settings)


@pytest.fixture
def database(settings: Settings) -> Iterator[Engine]:
    """A pool of connections to the test's own database."""
    pool = session.engine(settings)
    yield pool
    pool.dispose()
