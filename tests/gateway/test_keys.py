"""Keys and scopes: who gets in, and what each scope may."""

import json
from datetime import timedelta

import httpx
import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from gateway.auth import SCOPES, digest, new_key
from tests.gateway import rows
from yuqing.settings import Settings

pytestmark = pytest.mark.service

READS = (
    "/v1/companies",
    "/v1/documents",
    "/v1/search?q=召回",
    f"/v1/documents/{'0' * 32}",
    f"/v1/media/{'0' * 64}/content",
)


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def is_problem(answer: httpx.Response, status: int, slug: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert body["type"] == f"urn:yuqing:problem:{slug}"
    assert body["status"] == status
    assert body["request_id"] == answer.headers["x-request-id"]


def test_nothing_without_a_valid_key(anonymous: httpx.Client) -> None:
    for path in READS:
        answer = anonymous.get(path)
        is_problem(answer, 401, "key-missing")
        assert answer.headers["www-authenticate"].startswith("Bearer")
    for key in ("yq_short", "yq_" + "A" * 43, "nonsense", "yq_" + "é" * 43, "x" * 5000):
        answer = anonymous.get("/v1/companies", headers={"Authorization": f"Bearer {key}".encode()})
        is_problem(answer, 401, "key-not-valid")


def test_only_the_hash_of_a_key_is_stored(database: Engine, key: str) -> None:
    with database.connect() as connection:
        row = dict(connection.execute(text("SELECT * FROM api_keys")).mappings().one())
    assert row["sha256"] == digest(key)
    assert key.startswith(row["prefix"])
    assert key not in json.dumps(row, default=str)
    assert len({new_key() for _ in range(100)}) == 100


def test_expired_and_revoked_keys_are_refused_at_once(api: httpx.Client, database: Engine, key: str) -> None:
    with database.begin() as connection:
        short = rows.add_key(connection, "公关部", expires_in=timedelta(hours=1))
    assert api.get("/v1/companies", headers=bearer(short)).status_code == 200
    with database.begin() as connection:
        connection.execute(text("UPDATE api_keys SET expires_at = now() WHERE expires_at IS NOT NULL"))
    is_problem(api.get("/v1/companies", headers=bearer(short)), 401, "key-not-valid")
    assert api.get("/v1/companies").status_code == 200
    with database.begin() as connection:
        connection.execute(text("UPDATE api_keys SET revoked_at = now() WHERE sha256 = :hash"), {"hash": digest(key)})
    is_problem(api.get("/v1/companies"), 401, "key-not-valid")


def test_the_last_use_is_noted(api: httpx.Client, database: Engine) -> None:
    api.get("/v1/companies")
    with database.connect() as connection:
        assert connection.execute(text("SELECT last_used_at FROM api_keys")).scalar_one() is not None


def test_each_scope_gets_what_it_may(address: str, database: Engine) -> None:
    with database.begin() as connection:
        keys = {scope: rows.add_key(connection, "公关部", scope) for scope in SCOPES}
    for scope, key in keys.items():
        with httpx.Client(base_url=address, headers=bearer(key), trust_env=False) as client:
            assert client.get("/v1/documents").status_code == 200
            created = client.post("/v1/companies", json={"name": f"公司{scope}"})
            judged = client.post("/v1/analyze", json={"title": "标题"})
            if scope == "viewer":
                is_problem(created, 403, "scope")
                is_problem(judged, 403, "scope")
            else:
                assert created.status_code == 201
                is_problem(judged, 503, "not-configured")


def test_the_command_makes_the_first_key_and_revokes_it(address: str, settings: Settings) -> None:
    from gateway.cli import app

    runner = CliRunner()
    made = runner.invoke(app, ["create-key", "--team", "新团队", "--name", "甲", "--scope", "viewer", "--json"])
    assert made.exit_code == 0, made.output
    answer = json.loads(made.stdout.splitlines()[-1])
    assert answer["scope"] == "viewer"
    get = {"headers": bearer(answer["key"]), "trust_env": False}
    assert httpx.get(f"{address}/v1/companies", **get).json() == []
    plain = runner.invoke(app, ["create-key", "--team", "新团队", "--name", "乙", "--days", "30"])
    assert plain.stdout.splitlines()[-1].startswith("yq_")
    assert runner.invoke(app, ["revoke-key", answer["prefix"]]).exit_code == 0
    assert httpx.get(f"{address}/v1/companies", **get).status_code == 401
    assert runner.invoke(app, ["revoke-key", answer["prefix"]]).exit_code != 0
