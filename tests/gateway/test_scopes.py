"""Every route: what each scope may, and that another team's object does not exist. A route that is not here fails."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute, iter_route_contexts
from sqlalchemy import Engine, text

from gateway.app import create_app
from gateway.auth import SCOPES, Scope
from tests.gateway import rows
from tests.gateway.test_keys import bearer, is_problem
from yuqing.settings import Settings

pytestmark = pytest.mark.service


@dataclass(frozen=True)
class Route:
    """A request that the scope may just make; {names} stand for objects of the team 公关部."""

    scope: Scope
    method: str
    path: str
    body: Any = None
    headers: tuple[tuple[str, str], ...] = ()
    owned: bool = False  # names an object that belongs to the team
    refused: int | None = None  # what whoever may make the request gets


ANY_STATE = (("If-Match", "*"),)
FORM = (("Content-Type", "multipart/form-data; boundary=b"),)
UPLOAD = '--b\r\nContent-Disposition: form-data; name="file"; filename="a.mp3"\r\n\r\nID3 sound\r\n--b--\r\n'
VERDICT = "/v1/documents/{document}/verdicts/{company}"
ROUTES: dict[str, Route] = {
    "list_companies": Route("viewer", "GET", "/v1/companies"),
    "read_company": Route("viewer", "GET", "/v1/companies/{company}", owned=True),
    "create_company": Route("analyst", "POST", "/v1/companies", {"name": "公司{scope}"}),
    "update_company": Route(
        "analyst", "PATCH", "/v1/companies/{company}", {"aliases": ["别名"]}, ANY_STATE, owned=True
    ),
    "export_companies": Route("viewer", "GET", "/v1/companies/export"),
    "import_companies": Route("analyst", "POST", "/v1/companies/import", "name\n星河汽车\n"),
    "preview_company": Route("analyst", "POST", "/v1/companies/preview", {"name": "林知远"}),
    "list_verdicts": Route("viewer", "GET", "/v1/companies/{company}/verdicts", owned=True),
    "list_documents": Route("viewer", "GET", "/v1/documents"),
    "search_documents": Route("viewer", "GET", "/v1/search?q=召回"),
    "export_documents": Route("analyst", "GET", "/v1/documents/export?format=jsonl"),
    "read_document": Route("viewer", "GET", "/v1/documents/{document}", owned=True),
    "read_analysis": Route("viewer", "GET", "/v1/documents/{document}/analysis", owned=True),
    "read_verdict": Route("viewer", "GET", VERDICT, owned=True),
    "read_verdict_history": Route("viewer", "GET", VERDICT + "/history", owned=True),
    "correct_verdict": Route(
        "analyst", "PATCH", VERDICT, {"sentiment": "neutral", "reason": "x"}, ANY_STATE, owned=True
    ),
    "withdraw_correction": Route("analyst", "POST", VERDICT + "/withdrawal", {"reason": "x"}, ANY_STATE, owned=True),
    "export_corrections": Route("analyst", "GET", "/v1/corrections"),
    "read_media": Route("viewer", "GET", "/v1/media/{recording}/content", owned=True),
    "create_transcription": Route("analyst", "POST", "/v1/audio/transcriptions?wait=0", UPLOAD, FORM),
    "list_transcriptions": Route("viewer", "GET", "/v1/transcriptions"),
    "read_transcription": Route("viewer", "GET", "/v1/transcriptions/{recording}", owned=True),
    "read_transcript": Route("viewer", "GET", "/v1/transcriptions/{recording}/content", owned=True),
    "analyze_text": Route("analyst", "POST", "/v1/analyze", {"title": "标题"}),
    "stream_events": Route("viewer", "GET", "/v1/events?company={company}&wait=0", owned=True),
    "read_volume": Route("viewer", "GET", "/v1/trends/volume?company={company}", owned=True),
    "read_share_of_voice": Route("viewer", "GET", "/v1/trends/share-of-voice?company={company}", owned=True),
    "read_sources": Route("viewer", "GET", "/v1/trends/sources?company={company}", owned=True),
    "read_keywords": Route("viewer", "GET", "/v1/trends/keywords?company={company}", owned=True),
    "list_families": Route("viewer", "GET", "/v1/trends/families?company={company}", owned=True),
    "read_spread": Route("viewer", "GET", "/v1/documents/{document}/spread", owned=True),
    "read_own_key": Route("viewer", "GET", "/v1/keys/current"),
    "list_keys": Route("admin", "GET", "/v1/keys"),
    "create_key": Route("admin", "POST", "/v1/keys", {"name": "脚本"}),
    "read_key": Route("admin", "GET", "/v1/keys/{key}", owned=True),
    "rotate_key": Route("admin", "POST", "/v1/keys/{key}/rotation", {}, owned=True),
    "revoke_key": Route("admin", "DELETE", "/v1/keys/{key}", owned=True),
    "list_audit_log": Route("admin", "GET", "/v1/audit-log"),
    "create_batch": Route("analyst", "POST", "/v1/analyze/batches", {"items": [{"title": "标题"}]}),
    "list_batches": Route("analyst", "GET", "/v1/analyze/batches"),
    "read_batch": Route("analyst", "GET", "/v1/analyze/batches/{batch}", owned=True),
    "read_batch_answers": Route("analyst", "GET", "/v1/analyze/batches/{batch}/answers", owned=True),
    "delete_batch": Route("analyst", "DELETE", "/v1/analyze/batches/{batch}", owned=True),
    "list_sites": Route("operator", "GET", "/v1/sites"),
    "read_site": Route("operator", "GET", "/v1/sites/people"),
    "list_crawl_runs": Route("operator", "GET", "/v1/crawl-runs"),
    "read_crawl_run": Route("operator", "GET", "/v1/crawl-runs/01JD4S8V9M3F1Q2R5T6W7X8Y9Z"),
    # What is asked for is refused, so that no command is started here; test_operations.py starts them.
    "start_crawl": Route("operator", "POST", "/v1/crawls", {"sites": ["no-such-site"]}, refused=422),
    "start_cleaning": Route("operator", "POST", "/v1/cleanings", {"all": True}, refused=422),
    "list_tasks": Route("operator", "GET", "/v1/tasks"),
    "read_task": Route("operator", "GET", "/v1/tasks/clean/1"),
    "list_queues": Route("operator", "GET", "/v1/queues"),
    "list_jobs": Route("operator", "GET", "/v1/jobs"),
    "read_job": Route("operator", "GET", "/v1/jobs/1"),
    "retry_job": Route("operator", "POST", "/v1/jobs/1/retry"),
    "cancel_job": Route("operator", "POST", "/v1/jobs/1/cancellation"),
    "list_quarantine": Route("operator", "GET", "/v1/quarantine"),
    "read_quarantine": Route("operator", "GET", "/v1/quarantine/cleaning/2026-11-20/01A"),
    "replay_quarantine": Route(
        "operator", "POST", "/v1/quarantine/replays", {"keys": ["quarantine/asr/dt=2026-11-20/01A.jsonl.gz"]}
    ),
    "list_adapters": Route("operator", "GET", "/v1/adapters"),
    "activate_adapter": Route(
        "operator", "PUT", "/v1/adapters/active", {"adapter": "unknown", "reason": "x"}, ANY_STATE
    ),
    "roll_back_adapter": Route("operator", "POST", "/v1/adapters/rollback", {"reason": "x"}, ANY_STATE),
    "read_usage": Route("operator", "GET", "/v1/usage?company={company}", owned=True),
}
OPEN = {"livez", "readyz", "metrics"}
# Pages that need no session.
OPEN_PAGES = {"/sign-in", "/sign-out"}


@pytest.fixture
def objects(api: httpx.Client, press: dict[str, str], database: Engine) -> dict[str, object]:
    """The objects of the team 公关部 that the routes name."""
    document = api.get(f"/v1/documents/{press['speech']}").json()
    with database.begin() as connection:
        rows.add_key(connection, "公关部", "viewer")
        key = connection.execute(text("SELECT max(id) FROM api_keys")).scalar_one()
    return {
        "company": document["verdicts"][0]["company_id"],
        "document": press["speech"],
        "recording": document["recordings"][0]["sha256"],
        "key": key,
        "batch": api.post("/v1/analyze/batches", json={"items": [{"doc_id": press["speech"]}]}).json()["id"],
    }


@pytest.fixture
def clients(address: str, database: Engine, key: str) -> Iterator[dict[str, httpx.Client]]:
    """A client with a key of each scope, and the administrator of another team."""
    with database.begin() as connection:
        keys: dict[str, str] = {scope: rows.add_key(connection, "公关部", scope) for scope in SCOPES}
        keys["stranger"] = rows.add_key(connection, "竞争对手", "admin")
        rows.add_company(connection, "竞争对手", "远山食品")
    opened = {
        name: httpx.Client(base_url=address, headers=bearer(made), trust_env=False, timeout=60)
        for name, made in keys.items()
    }
    yield opened
    for client in opened.values():
        client.close()


def ask(client: httpx.Client, route: Route, objects: dict[str, object], scope: str) -> httpx.Response:
    address = route.path.format(**objects)
    if isinstance(route.body, str):
        return client.request(route.method, address, content=route.body.encode(), headers=dict(route.headers))
    body = None
    if route.body is not None:
        body = {
            name: value.replace("{scope}", scope) if isinstance(value, str) else value
            for name, value in route.body.items()
        }
    return client.request(route.method, address, json=body, headers=dict(route.headers))


def test_every_route_is_here(api: httpx.Client) -> None:
    document = api.get("/v1/openapi.json").json()
    names = {operation["operationId"] for path in document["paths"].values() for operation in path.values()}
    assert names == set(ROUTES) | OPEN


def test_each_scope_gets_exactly_what_it_may(clients: dict[str, httpx.Client], objects: dict[str, object]) -> None:
    for name, route in ROUTES.items():
        for scope in SCOPES:
            answer = ask(clients[scope], route, objects, scope)
            if SCOPES.index(scope) < SCOPES.index(route.scope):
                is_problem(answer, 403, "scope")
            elif route.refused:
                assert answer.status_code == route.refused, (name, scope, answer.text)
            else:
                assert answer.status_code not in (401, 403, 405, 422, 428), (name, scope, answer.text)


def test_another_teams_object_does_not_exist(
    clients: dict[str, httpx.Client], objects: dict[str, object], database: Engine
) -> None:
    for name, route in ROUTES.items():
        if route.owned:
            answer = ask(clients["stranger"], route, objects, "admin")
            assert answer.status_code == 404, (name, answer.text)
            is_problem(answer, 404, "not-found")
            missing = {**objects, "company": 2**31 - 1, "key": 2**31 - 1, "document": "0" * 32, "recording": "0" * 64}
            missing["batch"] = 2**31 - 1
            unknown = ask(clients["stranger"], route, missing, "admin").json()
            # In the same words as what never existed.
            for field in ("type", "title", "status"):
                assert unknown[field] == answer.json()[field], name
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM corrections")).scalar_one() == 0
        assert connection.execute(text("SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL")).scalar_one() == 0


def test_without_a_key_there_is_nothing(anonymous: httpx.Client, objects: dict[str, object]) -> None:
    for route in ROUTES.values():
        is_problem(ask(anonymous, route, objects, "x"), 401, "key-missing")


def test_a_page_without_a_session_leads_to_the_sign_in(anonymous: httpx.Client, settings: Settings) -> None:
    contexts = iter_route_contexts(create_app(settings).routes)
    pages = {
        (method, context.path)
        for context in contexts
        if isinstance(context.original_route, APIRoute) and not context.include_in_schema
        for method in context.methods
    }
    assert len(pages) >= 5
    for method, path in pages:
        if path not in OPEN_PAGES:
            answer = anonymous.request(method, re.sub("{.*?}", "1", path), headers={"Accept": "text/html"})
            assert answer.status_code in (303, 401, 403, 422), (method, path, answer.status_code)
            if answer.status_code == 303:  # the others bounce, or miss what their form needs
                assert answer.headers["location"].startswith("/sign-in"), path
            assert "公关部" not in answer.text
