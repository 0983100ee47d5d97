"""`yuqing serve` as a process."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from tests.gateway.test_keys import bearer
from yuqing.objects import ObjectStore

pytestmark = pytest.mark.service


def start(environment: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "yuqing", "serve", *arguments]
    return subprocess.Popen(command, env={**os.environ, **environment}, stderr=subprocess.PIPE, text=True)


def test_serve_answers_and_finishes_requests_before_it_ends(
    environment: dict[str, str], key: str, store: ObjectStore
) -> None:
    store.ensure_bucket()
    process = start(environment, "--port", "0")
    assert process.stderr
    try:
        line = next(line for line in process.stderr if "listening" in line)
        address = json.loads(line)["url"].rstrip("/")
        log: list[str] = []
        drain = threading.Thread(target=lambda: log.extend(process.stderr or ()))
        drain.start()
        with httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client:
            assert client.get("/v1/companies").json() == []
            client.get("/v1/search", params={"q": "机密项目"})
            client.get("/", params={"key": key})
            client.get("/v1/nothing", params={"key": key})
            client.post("/sign-in", data={"key": key, "csrf": "x"})
            # A key where none belongs: in the address, in a header, in a body that is refused, in a name.
            for path in (f"/v1/documents/{key}", f"/v1/transcriptions/{key}/content", f"/{key}", f"/static/{key}.js"):
                assert client.get(path, headers={"X-Request-ID": key}).status_code in (404, 422)
            client.get("/v1/companies", headers={"Authorization": f"Basic {key}"})
            client.get("/v1/companies", headers={"Authorization": f"Bearer {key}x"})
            client.post("/v1/analyze", json={"title": key, "companies": [key, key]})
            client.post("/v1/companies", json={"name": key}, headers={"Idempotency-Key": key})
            client.post("/v1/audio/transcriptions", files={"file": (f"{key}.mp3", b"no sound")})
            assert "yq_" not in client.get("/metrics").text

        uploads: list[httpx.Response] = []

        def upload() -> None:
            """Nobody transcribes it; it would be waited for until the test's end."""
            form = {"file": ("a.mp3", b"ID3 sound")}
            uploads.append(
                httpx.post(
                    f"{address}/v1/audio/transcriptions", files=form, headers=bearer(key), trust_env=False, timeout=60
                )
            )

        waiting = threading.Thread(target=upload)
        waiting.start()
        with httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client:
            deadline = time.monotonic() + 60
            while not client.get("/v1/transcriptions").json()["items"]:
                assert time.monotonic() < deadline
                time.sleep(0.1)

        def body() -> object:
            yield b'{"name": '
            process.send_signal(signal.SIGTERM)  # in the middle of a request
            yield '"星河汽车"}'.encode()

        headers = {**bearer(key), "Content-Type": "application/json"}
        answer = httpx.post(f"{address}/v1/companies", content=body(), headers=headers, trust_env=False, timeout=60)  # type: ignore[arg-type]
        assert answer.status_code == 201
        assert process.wait(60) in (0, -signal.SIGTERM)
        waiting.join(60)
        assert [upload.status_code for upload in uploads] == [202]
        drain.join()
        answered = [json.loads(line) for line in log if '"answered"' in line]
        assert "/v1/search" in {line["path"] for line in answered}
        # Neither keys nor what is searched for reach the log.
        assert key not in "".join(log)
        assert key[12:30] not in "".join(log)
        assert "机密" not in "".join(log)
        assert "Traceback" not in "".join(log)
    finally:
        process.kill()
        process.wait()


def test_a_taken_port_and_a_missing_database_are_told(environment: dict[str, str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = start(environment, "--port", str(taken.getsockname()[1]))
        _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "cannot listen on 127.0.0.1" in error
    assert "Traceback" not in error
    without = {name: value for name, value in environment.items() if "DATABASE" not in name}
    process = start(without)
    _, error = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "PostgreSQL is not configured" in error
    assert "yuqing up" in error
