"""`yuqing up`, `status` and `down` with the real SeaweedFS and PostgreSQL."""

import fcntl
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest

from yuqing.embedded import services
from yuqing.errors import YuqingError
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, load_settings

pytestmark = pytest.mark.service

_PORTS = {"YUQING_EMBEDDED__POSTGRES_PORT": "26433", "YUQING_EMBEDDED__S3_PORT": "29333"}


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "state"
    services.down(load_settings(data_dir=tmp_path / "state"))


def _yuqing(
    folder: Path, *arguments: str, check: bool = True, variables: dict[str, str] = _PORTS
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "yuqing", *arguments],
        env=os.environ | variables | {"YUQING_DATA_DIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=180,
        check=check,
    )


def _up(folder: Path) -> None:
    _yuqing(folder, "up", "--detach", "--only", "database,s3")


def _settings(folder: Path) -> Settings:
    return load_settings(data_dir=folder)


def _addresses(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "services.json").read_text()))


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _name(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


def _is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def _wait_until_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while left := [pid for pid in pids if not _is_gone(pid)]:
        assert time.monotonic() < deadline, [(_name(pid), pid) for pid in left]
        time.sleep(0.2)


def test_up_status_down_and_the_data_survive(folder: Path) -> None:
    _up(folder)
    for name in ("services.json", "secrets.json"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    found = json.loads(_yuqing(folder, "status", "--json", check=False).stdout)
    assert found["services"]["database"]["state"] == "ok"
    assert found["services"]["s3"]["state"] == "ok"
    assert found["services"]["llm"]["state"] == "failed"
    assert "yuqing up" in found["services"]["llm"]["cure"]
    ObjectStore.from_settings(_settings(folder)).put("kept", b"1")
    with psycopg.connect(_addresses(folder)["database"]["url"], autocommit=True) as connection:
        connection.execute("INSERT INTO teams (name) VALUES ('舆情')")

    again = _yuqing(folder, "up", "--detach", check=False)
    assert again.returncode == 2
    assert "already running" in again.stderr

    supervisor = services.running_supervisor(_settings(folder))
    assert supervisor is not None
    children = _children(supervisor)
    assert len(children) == 2
    assert _yuqing(folder, "down").stdout == "stopped\n"
    _wait_until_gone([supervisor, *children])
    assert not (folder / "services.json").exists()
    assert _yuqing(folder, "down").stdout == "nothing was running\n"

    _up(folder)
    assert ObjectStore.from_settings(_settings(folder)).get("kept") == b"1"
    with psycopg.connect(_addresses(folder)["database"]["url"]) as connection:
        assert connection.execute("SELECT name FROM teams").fetchall() == [("舆情",)]


def test_killed_services_come_back_and_a_killed_supervisor_leaves_no_orphans(folder: Path) -> None:
    _up(folder)
    supervisor = services.running_supervisor(_settings(folder))
    assert supervisor is not None
    url = _addresses(folder)["database"]["url"]
    before = _children(supervisor)
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 120
    while True:
        assert time.monotonic() < deadline
        try:
            psycopg.connect(url, connect_timeout=2).close()
            ObjectStore.from_settings(_settings(folder)).put("after", b"1")
            break
        except Exception:  # noqa: BLE001 - whatever a service that is starting answers
            time.sleep(0.3)
    after = _children(supervisor)
    assert not set(before) & set(after)

    os.kill(supervisor, signal.SIGKILL)
    _wait_until_gone(after)
    assert services.running_supervisor(_settings(folder)) is None
    stale = _yuqing(folder, "status", check=False)
    assert stale.returncode == 1
    assert "Traceback" not in stale.stderr
    _up(folder)
    assert ObjectStore.from_settings(_settings(folder)).get("after") == b"1"


def test_what_a_killed_supervisor_noted_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _settings(tmp_path)
    for name, content in {
        "ready": list(services.NAMES),
        "services": {"s3": {"endpoint": "http://127.0.0.1:9"}},
    }.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(content))
    believed = []

    def planning(*_: object) -> None:
        believed.append(services.are_ready(settings))
        raise YuqingError("planned")

    monkeypatch.setattr(services, "plan", planning)
    with pytest.raises(YuqingError, match="planned"):
        services.up(settings)
    assert believed == [False]
    assert not (tmp_path / "services.json").exists()


def test_who_asks_for_the_holder_keeps_nobody_from_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def planning(*_: object) -> None:
        raise YuqingError("planned")

    monkeypatch.setattr(services, "plan", planning)
    with (tmp_path / "supervisor.lock").open("a+") as asking:
        fcntl.flock(asking, fcntl.LOCK_SH)
        asked = threading.Timer(0.2, fcntl.flock, (asking.fileno(), fcntl.LOCK_UN))
        asked.start()
        with pytest.raises(YuqingError, match="planned"):
            services.up(_settings(tmp_path))
        asked.join()


def test_taken_ports_are_replaced_by_free_ones(folder: Path) -> None:
    with socket.socket() as one, socket.socket() as other:
        for taken in (one, other):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = [str(taken.getsockname()[1]) for taken in (one, other)]
        variables = dict(zip(_PORTS, ports, strict=True))
        _yuqing(folder, "up", "--detach", "--only", "database,s3", variables=variables)
        addresses = _addresses(folder)
        assert f":{ports[0]}/" not in addresses["database"]["url"]
        assert not addresses["s3"]["endpoint"].endswith(f":{ports[1]}")


def test_an_external_service_replaces_the_embedded_one(tmp_path: Path) -> None:
    outside = load_settings(data_dir=tmp_path, database={"url": "postgresql://u:p@db/x"}, llm={"url": "http://llm/v1"})
    assert services.needed(outside) == ["s3"]


def test_an_unknown_service_is_refused(folder: Path) -> None:
    refused = _yuqing(folder, "up", "--only", "database,kafka", check=False)
    assert refused.returncode == 2
    assert "kafka" in refused.stderr
    assert "database, s3, llm" in refused.stderr
