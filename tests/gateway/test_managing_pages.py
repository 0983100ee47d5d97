"""The pages of operations, companies and keys over HTTP: who gets what, forged forms, hostile texts, refusals that are told."""

import html
import re
from collections.abc import Iterator

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway.auth import SCOPES
from tests.gateway import operations, rows
from tests.gateway.test_pages import field, sign_in
from yuqing.objects import ObjectStore

pytestmark = pytest.mark.service

BATCH = "/operations/quarantine/cleaning/2026-11-20/01JD4S8V9M3F1Q2R5T6W7X8Y9Z"
PAGES = {
    "/companies": "viewer",
    "/companies/new": "analyst",
    "/companies/{company}/edit": "analyst",
    "/operations": "operator",
    "/operations?state=failed": "operator",
    "/operations/runs": "operator",
    "/operations/runs/{run}": "operator",
    "/operations/queues": "operator",
    "/operations/queues/{job}": "operator",
    "/operations/quarantine": "operator",
    BATCH: "operator",
    "/operations/adapters": "operator",
    "/operations/usage?days=7": "operator",
    "/access": "admin",
}
# What a form sends, and the scope that it takes; the answers are those of a form that can be read.
FORMS = {
    "/companies/new": ("analyst", {"name": "远"}, 422),
    "/companies/preview": ("analyst", {"name": "林知远"}, 200),
    "/companies/{company}/edit": ("analyst", {"name": "星河汽车", "tag": "old"}, 412),
    "/operations/crawls": ("operator", {"site": "no-such-site"}, 422),
    "/operations/queues/{job}/retry": ("operator", {}, 409),
    "/operations/quarantine/replays": ("operator", {}, 422),
    "/operations/adapters": ("operator", {"what": "activate", "adapter": "x"}, 422),
    "/access/keys": ("admin", {"name": " "}, 422),
    "/access/keys/999999/revocation": ("admin", {}, 404),
}


@pytest.fixture
def browsers(address: str, database: Engine, press: dict[str, str]) -> Iterator[dict[str, httpx.Client]]:
    """A signed-in browser of each scope, and of another team's administrator."""
    with database.begin() as connection:
        keys: dict[str, str] = {scope: rows.add_key(connection, "公关部", scope) for scope in SCOPES}
        keys["stranger"] = rows.add_key(connection, "竞争对手", "admin")
    opened = {}
    for name, key in keys.items():
        opened[name] = httpx.Client(base_url=address, trust_env=False, timeout=60, headers={"Accept": "text/html"})
        assert sign_in(opened[name], key).status_code == 303
    yield opened
    for client in opened.values():
        client.close()


@pytest.fixture
def objects(database: Engine, store: ObjectStore) -> dict[str, object]:
    """What the addresses name."""
    operations.add_quarantine(store)
    operations.add_adapters(store)
    with database.begin() as connection:
        runs, jobs = operations.add_runs(connection), operations.add_jobs(connection)
        company = connection.execute(text("SELECT id FROM companies WHERE name = '星河汽车'")).scalar_one()
    return {"company": company, "run": runs["caixin"], "job": jobs["todo"]}


def test_each_scope_sees_exactly_its_pages(browsers: dict[str, httpx.Client], objects: dict[str, object]) -> None:
    for path, least in PAGES.items():
        for scope in SCOPES:
            answer = browsers[scope].get(path.format(**objects))
            expected = 200 if SCOPES.index(scope) >= SCOPES.index(least) else 403
            assert answer.status_code == expected, (path, scope, answer.text)
    assert browsers["stranger"].get(f"/companies/{objects['company']}/edit").status_code == 404
    assert "星河汽车" not in browsers["stranger"].get("/companies").text
    shown = {scope: browsers[scope].get("/companies").text for scope in SCOPES}
    assert [scope for scope in SCOPES if 'href="/operations"' in shown[scope]] == ["operator", "admin"]
    assert [scope for scope in SCOPES if 'href="/access"' in shown[scope]] == ["admin"]
    assert [scope for scope in SCOPES if 'href="/companies/new"' in shown[scope]] == ["analyst", "operator", "admin"]


def test_forms_need_their_scope_and_a_page_of_ours(
    browsers: dict[str, httpx.Client], objects: dict[str, object], database: Engine
) -> None:
    for path, (least, form, expected) in FORMS.items():
        for scope in SCOPES:
            client = browsers[scope]
            csrf = field(client.get("/companies"))
            answer = client.post(path.format(**objects), data={**form, "csrf": csrf})
            if SCOPES.index(scope) < SCOPES.index(least):
                assert answer.status_code == 403, (path, scope)
            else:
                assert answer.status_code == expected, (path, scope, answer.text)
        assert browsers["admin"].post(path.format(**objects), data={**form, "csrf": "x.y"}).status_code == 403, path
    stranger = browsers["stranger"]
    form = {"name": "星河汽车", "tag": "*", "csrf": field(stranger.get("/companies"))}
    assert stranger.post(f"/companies/{objects['company']}/edit", data=form).status_code == 404
    with database.connect() as connection:
        ours = connection.execute(text("SELECT max(id) FROM api_keys WHERE team_id = 1")).scalar_one()
        assert stranger.post(f"/access/keys/{ours}/revocation", data=form).status_code == 404
        assert stranger.post(f"/access/keys/{ours}/rotation", data=form).status_code == 404
        revoked = "SELECT count(*) FROM api_keys WHERE revoked_at IS NOT NULL"
        assert connection.execute(text(revoked)).scalar_one() == 0


def test_an_edit_of_what_somebody_else_changed_is_refused_and_kept(
    browsers: dict[str, httpx.Client], objects: dict[str, object], database: Engine
) -> None:
    client, path = browsers["analyst"], f"/companies/{objects['company']}/edit"
    page = client.get(path)
    form = {name: field(page, name) for name in ("csrf", "tag", "name")} | {"enabled": "on"}
    first = client.post(path, data={**form, "aliases": "星河，Galaxy Auto，星河S7", "query": "星河汽车 AND 召回"})
    assert first.status_code == 303, first.text
    assert "星河S7" in client.get(first.headers["location"]).text
    late = client.post(path, data={**form, "aliases": "晚了"})
    assert late.status_code == 412
    assert "晚了" in late.text
    wrong = client.post(path, data={**form, "query": "星河 AND ("})
    assert wrong.status_code == 422
    assert 'id="query-error"' in wrong.text
    preview = client.post("/companies/preview", data={**form, "query": "星河 AND )"})
    assert "<mark>)</mark>" in preview.text
    with database.connect() as connection:
        found = connection.execute(text("SELECT aliases, query, enabled FROM companies WHERE name = '星河汽车'")).one()
    assert tuple(found) == (["星河", "Galaxy Auto", "星河S7"], "星河汽车 AND 召回", True)


def test_a_key_is_shown_once_rotated_and_revoked(browsers: dict[str, httpx.Client], address: str) -> None:
    client = browsers["admin"]
    csrf = field(client.get("/access"))
    made = client.post("/access/keys", data={"csrf": csrf, "name": "日报脚本", "scope": "viewer", "days": "30"})
    found = re.search(r'class="new-key" readonly value="(yq_[^"]+)"', made.text)
    assert found and made.headers["cache-control"] == "no-store"
    key = found[1]
    assert key not in client.get("/access").text

    def status() -> int:
        return httpx.get(
            f"{address}/v1/keys/current", headers={"Authorization": f"Bearer {key}"}, trust_env=False
        ).status_code

    assert status() == 200
    number = max(int(each) for each in re.findall(r"/access/keys/(\d+)/revocation", client.get("/access").text))
    rotated = client.post(f"/access/keys/{number}/rotation", data={"csrf": csrf})
    assert key not in rotated.text and 'class="new-key"' in rotated.text and status() == 200
    assert client.post(f"/access/keys/{number}/rotation", data={"csrf": csrf}).status_code == 409
    assert client.post(f"/access/keys/{number}/revocation", data={"csrf": csrf}).status_code == 303
    assert status() == 401
    assert key[:10] not in re.sub(r"(?s)<section aria-labelledby=\"log-title\".*", "", client.get("/access").text)
    assert key[:10] in client.get("/access?keys=all").text


def test_hostile_texts_stay_text(
    browsers: dict[str, httpx.Client], store: ObjectStore, database: Engine, objects: dict[str, object]
) -> None:
    script = "<script>alert(1)</script>\"'><img src=x onerror=alert(1)>"
    operations.add_quarantine(store, [{"reason": script, "record": {"url": "javascript:alert(1)", script: [script]}}])
    store.put("adapters/evil/card.json", b'{"sha256": "' + b"a" * 64 + b'", "metrics": {"<script>": {"<b>": 1}}}')
    with database.begin() as connection:
        run = operations.add_run(
            connection,
            "evil",
            0.01,
            flags=[{"kind": script, "message": script}],
            errors=[{"url": "javascript:alert(1)", "reason": script}, script, {"url": script}],
            error_count=3,
            by_status={},
        )
        connection.execute(
            text("UPDATE procrastinate_jobs SET args = jsonb_build_object(CAST(:x AS text), CAST(:x AS text))"),
            {"x": script},
        )
    client = browsers["admin"]
    csrf = field(client.get("/companies"))
    client.post("/companies/new", data={"csrf": csrf, "name": "<b>公司</b>", "aliases": "<script>"})
    client.post("/access/keys", data={"csrf": csrf, "name": script})
    for path in (
        *PAGES,
        f"/operations/runs/{run}",
        "/operations/runs?site=%3Cscript%3E",
        "/operations/queues?queue=%3Cb%3E",
    ):
        page = client.get(path.format(**objects)).text
        assert "<script>alert" not in page and "<img" not in page and "<b>公司" not in page, path
        assert 'href="javascript' not in page, path
    assert html.escape("<b>公司</b>", quote=False) in client.get("/companies").text
