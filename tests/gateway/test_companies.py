"""The watchlist: counts, creation and what follows it."""

import json
import time

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway.watching import watch_company
from tests.gateway import rows
from tests.gateway.test_keys import is_problem
from yuqing import watchlist
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def test_watchlist_counts(api: httpx.Client, press: dict[str, str]) -> None:
    companies = api.get("/v1/companies").json()
    counts = {
        company["name"]: tuple(
            company[name] for name in ("documents", "positive", "neutral", "negative", "highest_risk")
        )
        for company in companies
    }
    assert counts == {
        "星河汽车": (3, 0, 0, 3, 3),
        "云岭通信": (2, 0, 1, 1, 4),
        "澜山银行": (4, 1, 3, 0, 0),
        "北辰航空": (2, 0, 0, 0, 0),
        "青禾乳业": (2, 0, 2, 0, 0),
    }
    assert [company["name"] for company in companies][:2] == ["星河汽车", "云岭通信"]
    one = api.get(f"/v1/companies/{companies[0]['id']}").json()
    assert one == companies[0]


def test_verdicts_of_a_company(api: httpx.Client, press: dict[str, str]) -> None:
    bank = next(company["id"] for company in api.get("/v1/companies").json() if company["name"] == "澜山银行")
    page = api.get(f"/v1/companies/{bank}/verdicts").json()
    assert {item["doc_id"] for item in page["items"]} == {
        press[name] for name in ("recall", "reprint 0", "reprint 1", "bank")
    }
    positive = api.get(f"/v1/companies/{bank}/verdicts", params={"sentiment": "positive"}).json()["items"]
    assert [item["doc_id"] for item in positive] == [press["bank"]]
    assert positive[0]["verdict"]["evidence"][0]["quote"].startswith("报告显示")
    assert api.get(f"/v1/companies/{bank}/verdicts", params={"risk": 1}).json()["items"] == []
    seen, cursor = [], ""
    while cursor is not None:
        part = api.get(f"/v1/companies/{bank}/verdicts", params={"limit": 3, "cursor": cursor}).json()
        seen += [item["doc_id"] for item in part["items"]]
        cursor = part["next_cursor"]
    assert seen == [item["doc_id"] for item in page["items"]]


def test_a_new_company_is_published_and_matched(
    api: httpx.Client, press: dict[str, str], database: Engine, store: ObjectStore
) -> None:
    answer = api.post(
        "/v1/companies", json={"name": "林知远", "aliases": ["知远 ", "知远"], "exclude_words": ["林知远镇"]}
    )
    assert answer.status_code == 201, answer.text
    created = answer.json()
    assert created["aliases"] == ["知远"]
    assert answer.headers["location"] == f"/v1/companies/{created['id']}"
    deadline = time.monotonic() + 60
    while api.get(f"/v1/companies/{created['id']}").json()["documents"] < 3:
        assert time.monotonic() < deadline, "the new company was not matched"
        time.sleep(0.1)
    assert "林知远" in [company.name for company in watchlist.load(store)]
    documents = api.get("/v1/documents", params={"company": created["id"]}).json()["items"]
    assert {item["doc_id"] for item in documents} == {press[name] for name in ("recall", "reprint 0", "reprint 1")}
    with database.connect() as connection:
        jobs = (
            connection.execute(text("SELECT args FROM procrastinate_jobs WHERE task_name = 'analyze'")).scalars().all()
        )
        entry = connection.execute(
            text("SELECT actor, subject, detail FROM audit_log WHERE action = 'company.create'")
        ).one()
    assert {job["doc_id"] for job in jobs} == {item["doc_id"] for item in documents}
    assert entry.actor.startswith("key:yq_")
    assert entry.subject == f"company:{created['id']}"
    assert entry.detail["name"] == "林知远"


def test_a_query_decides_what_is_matched(
    settings: Settings, database: Engine, key: str, api: httpx.Client, store: ObjectStore
) -> None:
    with database.begin() as connection:
        for title, body in (
            ("苹果发布新手机", "库克说苹果卖得好。"),
            ("苹果丰收", "果农卖苹果。"),
            ("代码600519.SH涨停", "没有名字的一篇。"),
        ):
            rows.add_story(connection, rows.Story(title, body))
    query = "(苹果 AND 手机 NOT 果农) OR 600???.SH"
    created = api.post("/v1/companies", json={"name": "苹果", "query": query})
    assert created.status_code == 201, created.text
    assert created.json()["query"] == query
    watch_company(settings, created.json()["id"])
    with database.connect() as connection:
        found = connection.execute(
            text("SELECT title, spans FROM mentions JOIN documents USING (doc_id) ORDER BY title DESC")
        ).all()
    assert {title: [span["name"] for span in spans] for title, spans in found} == {
        "苹果发布新手机": ["苹果", "苹果"],
        "代码600519.SH涨停": ["600519.SH"],
    }


def test_matching_twice_changes_nothing(
    settings: Settings, database: Engine, key: str, press: dict[str, str], store: ObjectStore
) -> None:
    def state() -> str:
        with database.connect() as connection:
            found = connection.execute(text("SELECT doc_id, company_id, spans, relevance FROM mentions ORDER BY 1, 2"))
            jobs = connection.execute(
                text("SELECT args FROM procrastinate_jobs WHERE task_name = 'analyze' ORDER BY id")
            )
            return json.dumps([list(map(list, found)), list(jobs.scalars())])

    with database.begin() as connection:
        company = rows.add_company(connection, "公关部", "周以宁")
    assert watch_company(settings, company) == 1
    once = state()
    assert watch_company(settings, company) == 1
    assert state() == once


def test_a_longer_name_of_another_company_hides_the_new_one(
    settings: Settings, database: Engine, key: str, store: ObjectStore
) -> None:
    with database.begin() as connection:
        rows.add_company(connection, "公关部", "苹果园地铁站")
        rows.add_story(connection, rows.Story("苹果园地铁站启用", "苹果园地铁站今天启用。"))
        apple = rows.add_company(connection, "公关部", "苹果")
    assert watch_company(settings, apple) == 0


BAD = [
    ({}, "name"),
    ({"name": ""}, "name"),
    ({"name": "好"}, "name"),
    ({"name": "。。"}, "name"),
    ({"name": "字" * 61}, "name"),
    ({"name": "公司\u0000"}, "name"),
    ({"name": "公司\u202e"}, "name"),
    ({"name": 5}, "name"),
    ({"name": "公司", "aliases": "别名"}, "aliases"),
    ({"name": "公司", "aliases": ["a"]}, "aliases"),
    ({"name": "公司", "aliases": ["别名"] * 51}, "aliases"),
    ({"name": "苹果", "exclude_words": ["香蕉树"]}, "body"),
    ({"name": "苹果", "exclude_words": ["苹果"]}, "body"),
    ({"name": "公司", "query": "公司\u0000"}, "query"),
    ({"name": "公司", "team_id": 2}, "team_id"),
    ({"name": "公司", "query": "公司 AND (手机"}, "query"),
    ({"name": "公司", "query": ""}, "query"),
]


def test_bad_companies_are_refused(api: httpx.Client) -> None:
    for body, where in BAD:
        answer = api.post("/v1/companies", json=body)
        is_problem(answer, 422, "validation")
        assert where in answer.json()["errors"][0]["location"], answer.text
    for broken in (b"{", b"", b"[]", b"null", b'"x"', b"\xff\xfe", b'{"name": "\\ud800x"}', b"[" * 100_000):
        answer = api.post("/v1/companies", content=broken, headers={"Content-Type": "application/json"})
        assert answer.status_code in (400, 422), (broken[:20], answer.text)
        assert answer.headers["content-type"] == "application/problem+json"
    assert api.get("/v1/companies").json() == []


def test_a_name_twice_is_a_conflict(api: httpx.Client) -> None:
    assert api.post("/v1/companies", json={"name": "星河汽车"}).status_code == 201
    is_problem(api.post("/v1/companies", json={"name": " 星河汽车 "}), 409, "company-exists")
    assert len(api.get("/v1/companies").json()) == 1
