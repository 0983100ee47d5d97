"""Every parameter and every body of every operation, given what nobody sends by accident: an answer that says so, or a good one."""

import json
import socket
from collections import defaultdict
from collections.abc import Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as some
from sqlalchemy import Engine

from gateway.queries.cursors import BadCursor, Cursor
from tests.gateway import rows
from tests.gateway.conftest import running
from tests.gateway.test_keys import bearer
from tests.gateway.test_schema import STARTS

pytestmark = pytest.mark.service

HTML = "<script>alert(1)</script><img src=x onerror=alert(1)>"
VALUES = (
    "",
    " ",
    "-1",
    "0",
    "9" * 30,
    "1e400",
    "NaN",
    "0001-01-01T00:00:00+23:59",
    "9999-12-31T23:59:59-23:59",
    "-292275055-05-16",
    "舆" * 1500,
    "a" * 10_000,
    "😀👩‍👩‍👧‍👦\u202e",
    "\x01\x1f\x7f",
    "%00",
    "\x00",
    HTML,
    "' OR 1=1 --",
    "%F0%28%8C%28",
    "(" * 150,
    "../../etc/passwd",
)
BODIES: tuple[bytes, ...] = (
    b"",
    b"{",
    b"null",
    b"[]",
    b'"x"',
    b"\xff\xfe{\x00}\x00",
    '{"name": "星河"}'.encode("gbk"),
    b'{"name": "\\ud800"}',
    b'{"name": "\\u0000\\u0001"}',
    b"[" * 100_000,
    b'{"a":' * 50_000,
    b'{"name": NaN, "days": 1e999, "hours": Infinity}',
    b'{"name": ' + b"9" * 5000 + b"}",
    json.dumps({"name": HTML, "title": HTML, "reason": HTML, "text": HTML}).encode(),
    json.dumps({"name": "舆" * 10_000, "title": "舆" * 10_000, "reason": "舆" * 10_000}).encode(),
    json.dumps({"name": "😀\x07"}).encode(),
)


def told(answer: httpx.Response, what: object) -> None:
    """No failure of ours; errors are problem documents."""
    assert answer.status_code < 500, (what, answer.text)
    if answer.status_code >= 400:
        assert answer.headers["content-type"] == "application/problem+json", what
        assert answer.json()["detail"], what
    elif answer.content:
        assert not answer.headers["content-type"].startswith("text/html"), what


@pytest.fixture
def patient(press: dict[str, str], database: Engine, objects: dict[str, Any]) -> Iterator[httpx.Client]:
    """An administrator's client without limits."""
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部", "admin")
    gateway = {"dependency_timeout_s": 60, "requests_per_minute": 10**6, "burst": 10**6}
    with (
        running(gateway=gateway, llm={"url": "http://127.0.0.1:9/v1"}) as address,
        httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client,
    ):
        yield client


@pytest.fixture
def objects(press: dict[str, str], api: httpx.Client, database: Engine) -> dict[str, Any]:
    """Values of the path's parameters."""
    document = api.get(f"/v1/documents/{press['speech']}").json()
    with database.begin() as connection:
        rows.add_key(connection, "公关部", "viewer")
        key = connection.exec_driver_sql("SELECT max(id) FROM api_keys").scalar_one()
    company = document["verdicts"][0]["company_id"]
    recording = document["recordings"][0]["sha256"]
    return {"company_id": company, "doc_id": press["speech"], "sha256": recording, "key_id": key}


@pytest.mark.slow
def test_hostile_values_everywhere(patient: httpx.Client, objects: dict[str, Any]) -> None:
    document = patient.get("/v1/openapi.json").json()
    asked = 0
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            name, address = operation["operationId"], path.format_map(defaultdict(lambda: "x", objects))
            always = {"wait": "0"} if name in ("stream_events", "create_transcription") else {}
            if verb == "get":
                for parameter in operation.get("parameters", ()):
                    for value in VALUES:
                        place, field = parameter["in"], parameter["name"]
                        if place == "query":
                            answer = patient.get(address, params={**always, field: value})
                        elif place == "path":
                            filled = path.replace(f"{{{field}}}", quote(value[:1000], safe=""))
                            answer = patient.get(filled.format_map(defaultdict(lambda: "x", objects)), params=always)
                        elif not value.isprintable() or value != value.strip():
                            continue  # httpx sends no such header
                        else:
                            answer = patient.get(address, params=always, headers={field: value.encode()[:900]})
                        told(answer, (name, field, value[:40]))
                        asked += 1
            for body in BODIES if verb in ("post", "patch", "put") and name not in STARTS else ():
                for kind in ("application/json", "text/csv", "multipart/form-data; boundary=x", "text/plain", ""):
                    headers = {"Content-Type": kind, "If-Match": "*"}
                    answer = patient.request(verb.upper(), address, params=always, content=body, headers=headers)
                    if name == "analyze_text" and answer.status_code == 503:
                        continue  # the language model is away
                    told(answer, (name, kind, body[:40]))
                    asked += 1
    assert asked > 1000
    assert patient.get("/v1/keys/current").status_code == 200


def test_limits_of_query_and_headers(patient: httpx.Client) -> None:
    long = patient.get("/v1/documents", params={"q": "x" * 17_000})
    assert (long.status_code, long.json()["type"]) == (414, "urn:yuqing:problem:query-too-long")
    large = patient.get("/v1/documents", headers={f"x-{number}": "y" * 4000 for number in range(9)})
    assert (large.status_code, large.json()["type"]) == (431, "urn:yuqing:problem:headers-too-large")
    for length in ("-1", "9" * 5000, "9" * 30, "x"):  # httpx sends no such header
        with socket.create_connection((patient.base_url.host, patient.base_url.port or 80), 60) as line:
            line.sendall(f"POST /v1/companies HTTP/1.1\r\nHost: x\r\nContent-Length: {length}\r\n\r\n".encode())
            assert line.recv(100).split()[1] in (b"400", b"413"), length


@given(some.text(max_size=220) | some.binary(max_size=90).map(lambda data: data.hex()))
def test_a_cursor_that_was_tampered_with_is_refused(cursor: str) -> None:
    with suppress(BadCursor):
        assert Cursor.decode(cursor).encode()


def test_every_change_of_a_cursor_is_refused_or_a_place(patient: httpx.Client) -> None:
    cursor = patient.get("/v1/documents", params={"limit": 1}).json()["next_cursor"]
    assert cursor
    for place in range(len(cursor)):
        for put in ("A", "_", "%", "😀", ""):
            changed = cursor[:place] + put + cursor[place + 1 :]
            answer = patient.get("/v1/documents", params={"cursor": changed})
            told(answer, changed)
            assert answer.status_code in (200, 422)
