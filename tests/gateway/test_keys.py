"""Keys and scopes: who gets in, and what each scope may."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from gateway.auth import digest, new_key
from tests.gateway import rows
from tests.gateway.conftest import running
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


@pytest.fixture
def admin(address: str, database: Engine, key: str) -> Iterator[httpx.Client]:
    """A client of the team's administrator."""
    with database.begin() as connection:
        made = rows.add_key(connection, "公关部", "admin")
    with httpx.Client(base_url=address, headers=bearer(made), trust_env=False, timeout=60) as client:
        yield client


def status(client: httpx.Client, key: str) -> int:
    return client.get("/v1/keys/current", headers=bearer(key)).status_code


def test_keys_are_made_listed_rotated_and_revoked(admin: httpx.Client, key: str) -> None:
    made = admin.post("/v1/keys", json={"name": "日报", "days": 30})
    assert made.status_code == 201, made.text
    assert made.headers["cache-control"] == "no-store"
    first = made.json()
    own = admin.get("/v1/keys/current", headers=bearer(first["key"])).json()
    assert own == {
        "id": first["id"],
        "prefix": first["key"][:10],
        "name": "日报",
        "team": "公关部",
        "scope": "viewer",
    }
    listed = {item["prefix"]: item for item in admin.get("/v1/keys").json()}
    assert len(listed) == 3
    assert all("sha256" not in item and "key" not in item for item in listed.values())
    assert listed[own["prefix"]]["last_used_at"] is not None
    assert [item["id"] for item in admin.get("/v1/keys", params={"prefix": own["prefix"]}).json()] == [first["id"]]
    assert admin.get("/v1/keys", params={"prefix": "yq_%"}).status_code == 422
    # The old key works beside the new one for a while, or not at all.
    second = admin.post(f"/v1/keys/{first['id']}/rotation", json={"hours": 1}).json()
    assert (second["name"], second["scope"]) == ("日报", "viewer")
    assert status(admin, first["key"]) == status(admin, second["key"]) == 200
    is_problem(admin.post(f"/v1/keys/{first['id']}/rotation", json={}), 409, "key-rotated")
    assert datetime.fromisoformat(second["expires_at"]) - datetime.fromisoformat(second["created_at"]) > timedelta(
        days=29
    )
    third = admin.post(f"/v1/keys/{second['id']}/rotation", json={"hours": 0}).json()
    assert (status(admin, second["key"]), status(admin, third["key"])) == (401, 200)
    is_problem(admin.post(f"/v1/keys/{second['id']}/rotation", json={}), 404, "not-found")
    assert admin.delete(f"/v1/keys/{third['id']}").status_code == 204
    assert admin.delete(f"/v1/keys/{third['id']}").status_code == 204
    assert status(admin, third["key"]) == 401
    assert admin.get(f"/v1/keys/{third['id']}").json()["revoked_at"] is not None
    # Nothing of it can be used to find a key again.
    log = admin.get("/v1/audit-log", params={"limit": 100})
    actions = [item["action"] for item in log.json()["items"] if item["subject"] != "key:1"]
    assert actions[:4] == ["key.revoke", "key.rotate", "key.rotate", "key.create"]
    for item in (first, second, third):
        assert item["key"] not in log.text


def test_the_audit_log_in_pages(admin: httpx.Client) -> None:
    for number in range(5):
        admin.post("/v1/companies", json={"name": f"公司{number}"})
    everything = admin.get("/v1/audit-log", params={"action": "company.create"}).json()
    assert [item["detail"]["name"] for item in everything["items"]] == [f"公司{number}" for number in range(4, -1, -1)]
    seen, before = [], None
    while True:
        page = admin.get("/v1/audit-log", params={"limit": 2} | ({"before": before} if before else {})).json()
        seen += [item["id"] for item in page["items"]]
        before = page["next_before"]
        if before is None:
            break
    assert seen == sorted(set(seen), reverse=True)
    assert set(seen) >= {item["id"] for item in everything["items"]}
    assert admin.get("/v1/audit-log", params={"until": "2000-01-01"}).json()["items"] == []
    is_problem(admin.get("/v1/audit-log", params={"action": "key\x00"}), 422, "validation")


def test_limits_hold_over_several_gateways(admin: httpx.Client, database: Engine) -> None:
    """Two gateways over one database, many requests at once: together no more than the key's burst."""
    with (
        running(gateway={"dependency_timeout_s": 60, "burst": 5}) as one,
        running(gateway={"dependency_timeout_s": 60, "burst": 5}) as other,
    ):
        made = admin.post("/v1/keys", json={"name": "慢", "requests_per_minute": 1}).json()

        def request(number: int) -> httpx.Response:
            url = f"{(one, other)[number % 2]}/v1/keys/current"
            return httpx.get(url, headers=bearer(made["key"]), trust_env=False, timeout=60)

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(request, range(24)))
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(answers) - len(refused) == 5
        is_problem(refused[0], 429, "rate-limit")
        # One request a minute: the next may come when the first of the burst is a minute ago.
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        # What was waited for is given: a minute passes.
        with database.begin() as connection:
            connection.execute(text("UPDATE rate_limits SET spent_until = spent_until - interval '1 minute'"))
        assert [request(0).status_code, request(1).status_code] == [200, 429]
        # Another key is not concerned, and neither are pages.
        assert admin.get("/v1/keys/current").status_code == 200


def test_a_key_is_known_for_a_moment_and_charged_for_what_it_asks(admin: httpx.Client, database: Engine) -> None:
    """Many requests of one key ask the database a few times; the limit is exact, and revoking ends what was known."""

    def asked() -> datetime | None:
        with database.connect() as connection:
            return connection.execute(
                text("SELECT max(spent_until) FROM rate_limits WHERE key_id = :id"), key
            ).scalar_one()

    quick = {"dependency_timeout_s": 60, "burst": 64, "key_cache_s": 60}
    with (
        running(gateway=quick) as one,
        running(gateway=quick) as other,
        running(gateway={"key_cache_s": 0}) as strict,
        httpx.Client(trust_env=False, timeout=60) as client,
    ):
        made = admin.post("/v1/keys", json={"name": "快", "requests_per_minute": 1}).json()
        key = {"id": made["id"]}

        def request(base: str) -> int:
            return client.get(f"{base}/v1/keys/current", headers=bearer(made["key"])).status_code

        assert request(one) == 200
        first = asked()
        assert first is not None
        assert first - datetime.now(UTC) < timedelta(minutes=1)  # one request, and one was taken
        times = set()
        for _ in range(20):
            assert request(one) == 200
            times.add(asked())
        assert len(times) < 12
        # Nobody gets more than the burst, over both; what one holds and does not use is lost to it alone.
        answers = [request((one, other)[number % 2]) for number in range(54)]
        assert 64 - 21 - 8 <= answers.count(200) <= 64 - 21
        assert answers[-1] == 429
        with database.begin() as connection:
            connection.execute(text("DELETE FROM rate_limits"))
        before = asked()
        while asked() == before:  # up to a request that takes some for the next ones, too
            assert request(one) == 200
        with database.begin() as connection:
            connection.execute(text("UPDATE api_keys SET revoked_at = now() WHERE id = :id"), key)
        assert (request(one), request(strict)) == (200, 401)
        with database.begin() as connection:
            connection.execute(text("UPDATE api_keys SET revoked_at = NULL WHERE id = :id"), key)
        assert client.delete(f"{one}/v1/keys/{made['id']}", headers=admin.headers).status_code == 204
        assert request(one) == 401


def test_a_repeated_request_gets_the_first_answer(admin: httpx.Client, database: Engine) -> None:
    once = {"Idempotency-Key": "a3f1"}
    first = admin.post("/v1/companies", json={"name": "远山食品"}, headers=once)
    again = admin.post("/v1/companies", json={"name": "远山食品"}, headers=once)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert again.headers["idempotent-replayed"] == "true"
    assert "idempotent-replayed" not in first.headers
    is_problem(admin.post("/v1/companies", json={"name": "别的"}, headers=once), 422, "validation")
    # Without it the second is refused; what was refused may be tried again under the same name.
    refused = {"Idempotency-Key": "b"}
    is_problem(admin.post("/v1/companies", json={"name": "远山食品"}, headers=refused), 409, "company-exists")
    is_problem(admin.post("/v1/companies", json={"name": "远山食品"}, headers=refused), 409, "company-exists")
    with database.begin() as connection:
        connection.execute(text("DELETE FROM companies"))
    assert admin.post("/v1/companies", json={"name": "远山食品"}, headers=refused).status_code == 201
    for bad in ("", "x" * 201, "a b"):
        answer = admin.post("/v1/companies", json={"name": "甲乙"}, headers={"Idempotency-Key": bad})
        is_problem(answer, 422, "validation")
    # Another key's names are its own; many at once are done once.
    with ThreadPoolExecutor(6) as pool:
        made = list(
            pool.map(
                lambda _: admin.post("/v1/keys", json={"name": "一次"}, headers={"Idempotency-Key": "k"}), range(6)
            )
        )
    assert sorted(answer.status_code for answer in made) == [201] + [409] * 5
    assert len([item for item in admin.get("/v1/keys").json() if item["name"] == "一次"]) == 1
    # The new key is nowhere but in the first answer.
    (first,) = (answer for answer in made if answer.status_code == 201)
    again = admin.post("/v1/keys", json={"name": "一次"}, headers={"Idempotency-Key": "k"})
    is_problem(again, 409, "answer-not-kept")
    assert again.headers["location"] == first.headers["location"]
    rotation = f"{first.headers['location']}/rotation"
    assert admin.post(rotation, json={}, headers={"Idempotency-Key": "r"}).status_code == 201
    is_problem(admin.post(rotation, json={}, headers={"Idempotency-Key": "r"}), 409, "answer-not-kept")
    with database.connect() as connection:
        kept = connection.execute(text("SELECT body FROM idempotent_requests WHERE name IN ('k', 'r')")).scalars().all()
    assert kept == [None, None]
