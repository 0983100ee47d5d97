"""Every parameter of every page, given what nobody sends by accident: a page, or one that says what is wrong."""

from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pkgutil import iter_modules
from urllib.parse import quote

import httpx
import pytest
from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import Engine, text

from gateway import pages
from tests.gateway import operations, rows
from tests.gateway.conftest import running
from tests.gateway.test_pages import field, sign_in
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service

VALUES = (
    "01",
    "99999999999",
    "9" * 18,
    "²",
    "\x00",
    "0001-01-01",
    "a" * 10_000,
    "😀\u202e<script>",
)
# Parameters that pages look up themselves, or that every page has.
LOOKED_UP = {
    "/access": ("before", "keys", "done"),
    "/companies": ("saved", "lang", "theme"),
    "/operations": ("state", "started"),
    "/operations/adapters": ("done",),
    "/operations/quarantine": ("stage", "before", "recordings"),
    "/operations/queues": ("before", "status", "queue", "done"),
}


@pytest.fixture
def administrator(settings: Settings, press: dict[str, str], database: Engine) -> Iterator[httpx.Client]:
    """An administrator's browser."""
    with database.begin() as connection:
        key = rows.add_key(connection, "公关部", "admin")
    with (
        running(gateway={"dependency_timeout_s": 60, "requests_per_minute": 10**6, "burst": 10**6}) as address,
        httpx.Client(base_url=address, trust_env=False, timeout=60, headers={"Accept": "text/html"}) as client,
    ):
        assert sign_in(client, key).status_code == 303
        yield client


@pytest.fixture
def objects(database: Engine, store: ObjectStore, press: dict[str, str]) -> dict[str, object]:
    """What the addresses name."""
    operations.add_quarantine(store)
    with database.begin() as connection:
        runs, jobs = operations.add_runs(connection), operations.add_jobs(connection)
        company = connection.execute(text("SELECT id FROM companies WHERE name = '星河汽车'")).scalar_one()
        recording = connection.execute(text("SELECT sha256 FROM media")).scalar_one()
    batch = {"stage": "cleaning", "day": "2026-11-20", "batch": "01JD4S8V9M3F1Q2R5T6W7X8Y9Z"}
    named = {"company_id": company, "doc_id": press["recall"], "sha256": recording, "run_id": runs["caixin"]}
    return {**batch, **named, "job_id": jobs["todo"], "key_id": 999_999, "search_id": 1, "name": "x", "change": "retry"}


@dataclass(frozen=True)
class Target:
    """A page or a form's target, and the names of its parameters."""

    verb: str
    path: str
    places: list[str]
    queries: list[str]
    fields: list[str]


def targets() -> Iterator[Target]:
    """All of the pages, but for the stream and what ends the session."""
    # Described by an application of their own: the pages are not in the description of the API.
    described = FastAPI()
    for module in iter_modules(pages.__path__, "gateway.pages."):
        router = getattr(import_module(module.name), "router", None)
        for route in router.routes if isinstance(router, APIRouter) else ():
            assert isinstance(route, APIRoute)
            assert route.methods
            if route.path not in ("/live", "/sign-out"):
                described.add_api_route(route.path, route.endpoint, methods=[min(route.methods)])
    document = described.openapi()
    for path, verbs in document["paths"].items():
        for verb, operation in verbs.items():
            names = {
                place: [each["name"] for each in operation.get("parameters", ()) if each["in"] == place]
                for place in ("path", "query")
            }
            body = operation.get("requestBody", {}).get("content", {}).values()
            forms = [document["components"]["schemas"][each["schema"]["$ref"].rsplit("/", 1)[1]] for each in body]
            fields = [name for form in forms for name in form["properties"] if name != "csrf"]
            yield Target(verb.upper(), path, names["path"], names["query"], fields)


@pytest.mark.slow
def test_hostile_values_on_every_page(administrator: httpx.Client, objects: dict[str, object]) -> None:
    failed: list[tuple[str, str, str, int]] = []
    asked = 0

    def told(answer: httpx.Response, *what: str) -> None:
        nonlocal asked
        asked += 1
        if answer.status_code >= 500:
            failed.append((answer.request.method, what[0], f"{what[1]}={what[2][:20]!a}", answer.status_code))

    csrf = field(administrator.get("/companies"))
    known = list(targets())
    assert LOOKED_UP.keys() <= {target.path for target in known}
    for target in known:
        verb, address = target.verb, target.path.format(**objects)
        form = {"csrf": csrf} if verb == "POST" else None
        looked_up = LOOKED_UP.get(target.path, ()) if verb == "GET" else ()
        for value in VALUES:
            for name in (*target.queries, *looked_up):
                told(administrator.request(verb, address, params={name: value}, data=form), target.path, name, value)
            for name in target.places:
                path = target.path.format(**{**objects, name: quote(value[:900], safe="")})
                told(administrator.request(verb, path, data=form), target.path, name, value)
            for name in target.fields:
                told(administrator.post(address, data={"csrf": csrf, name: value}), target.path, name, value)
        header = "referer" if verb == "GET" else "origin"
        answer = administrator.request(verb, address, headers={header: "http://["}, data=form)
        told(answer, target.path, header, "http://[")
    # A parameter that is given twice, as a form that was changed by hand may.
    for pair in ("sentiment", "risk", "kind", "days", "from"):
        told(administrator.get(f"/search?{pair}=zzz&{pair}="), "/search", pair, "twice")
    assert not failed, "\n".join(map(str, failed))
    assert asked > 500
    assert administrator.get("/access").status_code == 200
