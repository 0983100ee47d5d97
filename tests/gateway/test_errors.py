"""What an integrator sees when something is wrong: always a problem document, never a traceback, never a key in a log."""

import time

import httpx
import psycopg
import pytest
from sqlalchemy import Engine

from tests.gateway import rows
from tests.gateway.conftest import running
from tests.gateway.test_keys import bearer, is_problem
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def test_request_ids_gzip_and_headers(api: httpx.Client, press: dict[str, str]) -> None:
    answer = api.get("/v1/documents", headers={"X-Request-ID": "abc-123", "Origin": "https://evil.example"})
    assert answer.headers["x-request-id"] == "abc-123"
    assert answer.headers["content-encoding"] == "gzip"
    assert "access-control-allow-origin" not in answer.headers
    other = api.get("/v1/documents", headers={"X-Request-ID": "a b"})
    assert other.headers["x-request-id"] != "a b"
    assert "access-control-allow-origin" not in api.options("/v1/documents", headers={"Origin": "https://a"}).headers


def test_unknown_addresses_and_methods(api: httpx.Client) -> None:
    is_problem(api.get("/v1/nothing"), 404, "not-found")
    is_problem(api.delete("/v1/documents"), 405, "method-not-allowed")
    is_problem(api.get("/v1/../v1/nothing"), 404, "not-found")
    is_problem(api.get("/static/../app.py"), 404, "not-found")
    is_problem(api.get("/static/%2e%2e/%2e%2e/app.py"), 404, "not-found")


def test_an_unknown_query_parameter_is_refused_with_the_nearest_known(api: httpx.Client) -> None:
    misspelt = api.get("/v1/documents", params={"compny": 3})
    is_problem(misspelt, 422, "validation")
    assert misspelt.json()["errors"][0]["location"] == "query.compny"
    assert misspelt.json()["cure"] == "did you mean company?"
    other = api.get("/v1/documents", params={"zzz" * 100: 1})
    is_problem(other, 422, "validation")
    assert "known are " in other.json()["cure"]
    assert len(other.json()["detail"]) < 200
    none = api.get("/v1/companies/999999", params={"full": 1})
    is_problem(none, 422, "validation")


@pytest.mark.parametrize(
    ("body", "status", "slug", "told"),
    [
        (b'{"name": "a"', 422, "validation", "not JSON at character 12"),
        (b"", 422, "validation", "required"),
        ('{"name": "滴滴"}'.encode("gb18030"), 400, "body-not-utf-8", "byte 10 is 0xb5"),
    ],
    ids=["broken", "none", "gb18030"],
)
def test_a_body_that_is_not_json_is_told_apart(
    api: httpx.Client, body: bytes, status: int, slug: str, told: str
) -> None:
    answer = api.post("/v1/companies", content=body, headers={"Content-Type": "application/json"})
    is_problem(answer, status, slug)
    assert told in answer.json()["detail"]


def test_bodies_have_a_limit(address: str, api: httpx.Client) -> None:
    large = b'{"name": "' + b"x" * 2_000_000 + b'"}'
    is_problem(api.post("/v1/companies", content=large), 413, "body-too-large")
    chunks = (large[start : start + 65536] for start in range(0, len(large), 65536))
    is_problem(
        api.post("/v1/companies", content=chunks, headers={"Content-Type": "application/json"}),
        413,
        "body-too-large",
    )


def test_metrics_tell_of_the_pipeline(api: httpx.Client, database: Engine) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql(
            "INSERT INTO ledger VALUES ('cleaning', 'raw/a/1', 'failed', '{}', 'x', now(), now()), "
            """('cleaning', 'raw/a/2', 'done', '{"cleaned": 9, "quarantined": 1}', NULL, now(), now())"""
        )
        connection.exec_driver_sql(
            "INSERT INTO crawl_runs VALUES ('r1', 'chenbao', now(), now(), '{}'), "
            """('r2', 'chenbao', now(), now() + interval '1 s', '{"flags": [{"kind": "low_yield", "message": "m"}]}')"""
        )
        connection.exec_driver_sql(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, status) VALUES ('analyze', 'analyze', 'todo')"
        )
    told = api.get("/metrics").text
    assert 'yuqing_ledger_batches{stage="cleaning",state="failed"} 1.0' in told
    assert 'yuqing_crawls_of_a_day{site="chenbao"} 2.0' in told
    assert 'yuqing_crawl_flags{kind="low_yield"} 1.0' in told
    assert "yuqing_cleaned_of_a_day 9.0" in told and "yuqing_quarantined_of_a_day 1.0" in told
    assert 'yuqing_jobs{queue="analyze",status="todo"} 1.0' in told
    assert 'yuqing_oldest_job_seconds{queue="analyze"}' in told
    assert "yuqing_gateway_requests_total" in told


def test_openapi_names_every_operation_once(api: httpx.Client) -> None:
    document = api.get("/v1/openapi.json").json()
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names) >= 12
    for operation in operations:
        if operation["tags"] != ["health"]:
            assert "application/problem+json" in operation["responses"]["422"]["content"]
    assert "ProblemDocument" in document["components"]["schemas"]


def test_the_database_goes_and_comes_back(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    name, root = database.url.database, database.url.set(drivername="postgresql", database="postgres")
    address = root.render_as_string(hide_password=False)
    database.dispose()
    with psycopg.connect(address, autocommit=True) as admin:
        admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')  # type: ignore[arg-type]
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name])
        try:
            for path in ("/v1/documents", "/v1/companies", f"/v1/documents/{press['recall']}"):
                answer = api.get(path)
                is_problem(answer, 503, "database-away")
                assert int(answer.headers["retry-after"]) > 0
                assert answer.json()["cure"]
                assert "Traceback" not in answer.text
            ready = api.get("/readyz")
            assert ready.status_code == 503
            assert ready.json()["away"][0] == "database"
            assert api.get("/livez").status_code == 200
            page = api.get("/", headers={"Accept": "text/html"})
            assert page.status_code == 303  # to the sign-in page, which needs no database
        finally:
            admin.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')  # type: ignore[arg-type]
    assert api.get("/v1/documents").status_code == 200
    assert "database" not in api.get("/readyz").json()["away"]
    # The gateway's own queue comes back too.
    company = api.post("/v1/companies", json={"name": "林知远"}).json()["id"]
    deadline = time.monotonic() + 60
    while api.get(f"/v1/companies/{company}").json()["documents"] < 3:
        assert time.monotonic() < deadline, "the queue did not recover"
        time.sleep(0.2)


def test_health_names_what_is_away(environment: dict[str, str], settings: Settings, database: Engine) -> None:
    gone = {"endpoint": "http://127.0.0.1:9", "access_key": "a", "secret_key": "b", "attempts": 1}
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部")
        rows.add_company(connection, "公关部", "云岭通信")
        sha256 = rows.add_media(connection, b"sound")
        rows.add_story(connection, rows.Story("云岭通信节目", "云岭通信。", media=sha256))
    with running(s3=gone, llm={"url": "http://127.0.0.1:9/v1"}) as address:
        ready = httpx.get(f"{address}/readyz", trust_env=False)
        assert ready.status_code == 200
        assert ready.json()["status"] == "degraded"
        assert ready.json()["away"] == ["object_store", "language_model"]
        assert ready.json()["dependencies"]["object_store"]["cure"]
        with httpx.Client(base_url=address, headers=bearer(key), trust_env=False, timeout=60) as client:
            is_problem(client.get(f"/v1/media/{sha256}/content"), 503, "object-store-away")
            assert client.get("/v1/documents").status_code == 200
            answer = client.post("/v1/analyze", json={"title": "标题", "text": "正文", "companies": ["公司"]})
            is_problem(answer, 503, "language-model-away")
            assert int(answer.headers["retry-after"]) > 0
            bad = [{}, {"title": " "}, {"title": "x", "companies": ["公司", "公司"]}, {"title": "x", "x": 1}]
            for body in [*bad, {"text": "x" * 100_001}, {"title": "x", "companies": ["公司"] * 21}]:
                is_problem(client.post("/v1/analyze", json=body), 422, "validation")


def test_metrics(api: httpx.Client, press: dict[str, str]) -> None:
    api.get(f"/v1/documents/{press['recall']}")
    text = api.get("/metrics").text
    assert 'yuqing_gateway_requests_total{method="GET",route="/v1/documents/{doc_id}",status="200"}' in text
    assert press["recall"] not in text
