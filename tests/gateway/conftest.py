"""The gateway as a process would run it: a real server on a free port, over real PostgreSQL and S3."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn
from sqlalchemy import Engine

from gateway.app import create_app
from gateway.listening import listen
from tests.gateway import rows
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, load_settings

RECORDING = Path(__file__).parents[2] / "examples" / "newsroom" / "recordings" / "morning-bulletin.mp3"


@contextmanager
def running(**changes: Any) -> Iterator[str]:
    """A gateway with the test's settings and these changes; yields its base address."""
    # A busy machine must not look like a dependency that is away.
    settings = load_settings(**{"gateway": {"dependency_timeout_s": 60}, **changes})
    listener = listen("127.0.0.1", 0)
    app = create_app(settings)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
    thread.start()
    while not server.started:
        assert thread.is_alive(), "the gateway did not start"
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        app.state.gateway.stopping.set()  # as `yuqing serve` does, so that open streams end
        server.should_exit = True
        thread.join(60)
    assert not thread.is_alive(), "the gateway did not stop"


@pytest.fixture
def address(settings: Settings, database: Engine) -> Iterator[str]:
    """The base address of a running gateway."""
    with running() as base:
        yield base


@pytest.fixture
def key(database: Engine) -> str:
    """An analyst's key of the team 公关部."""
    with database.begin() as connection:
        return rows.add_key(connection, "公关部")


@pytest.fixture
def press(database: Engine, key: str, store: ObjectStore) -> dict[str, str]:
    """The made-up press of the team 公关部, with its recording: name -> doc_id."""
    with database.begin() as connection:
        ids = rows.add_press(connection, RECORDING.read_bytes())
        s3_key, content_type = connection.exec_driver_sql("SELECT s3_key, content_type FROM media").one()
    store.put_file(s3_key, RECORDING, content_type=content_type)
    return ids


@pytest.fixture
def api(address: str, key: str) -> Iterator[httpx.Client]:
    """A client with the analyst's key."""
    with httpx.Client(
        base_url=address, headers={"Authorization": f"Bearer {key}"}, trust_env=False, timeout=60
    ) as client:
        yield client


@pytest.fixture
def anonymous(address: str) -> Iterator[httpx.Client]:
    """A client without a key."""
    with httpx.Client(base_url=address, trust_env=False, timeout=60) as client:
        yield client
