"""Companies are edited, switched off, previewed, and come and go as CSV."""

import csv
import io
import time
from collections.abc import Callable

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway.watching import watch_company
from tests.gateway.test_documents import company_id, found
from tests.gateway.test_keys import is_problem
from yuqing import watchlist
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def edit(api: httpx.Client, company: int, **change: object) -> httpx.Response:
    path = f"/v1/companies/{company}"
    return api.patch(path, json=change, headers={"If-Match": api.get(path).headers["etag"]})


def eventually(wanted: object, ask: Callable[[], object]) -> None:
    deadline = time.monotonic() + 60
    while (last := ask()) != wanted:
        assert time.monotonic() < deadline, last
        time.sleep(0.1)


def test_an_edited_company_is_matched_again(
    api: httpx.Client, press: dict[str, str], database: Engine, store: ObjectStore, settings: Settings
) -> None:
    bank = company_id(api, "澜山银行")
    etag = api.get(f"/v1/companies/{bank}").headers["etag"]
    answer = edit(api, bank, query="澜山银行 AND 三季报")
    assert answer.status_code == 200, answer.text
    assert answer.json()["aliases"] == ["澜山"]
    assert answer.headers["etag"] != etag
    # The recall names the bank and nothing of its report: it is let go, with its verdict.
    eventually({"bank"}, lambda: found(api, press, company=bank))
    published = {company.id: company.query for company in watchlist.load(store)}
    assert published[bank] == "澜山银行 AND 三季报"
    assert found(api, press, company=bank, sentiment="neutral") == set()
    edit(api, bank, query=None)
    eventually({"recall", "reprint 0", "reprint 1", "bank"}, lambda: found(api, press, company=bank))
    with database.connect() as connection:
        entries = connection.execute(
            text("SELECT detail FROM audit_log WHERE action = 'company.update' ORDER BY id")
        ).scalars()
        assert [set(detail) for detail in entries] == [{"query"}, {"query"}]
    watch_company(settings, bank)  # twice changes nothing
    assert len(found(api, press, company=bank)) == 4


def test_a_company_that_is_switched_off_keeps_its_documents(
    api: httpx.Client, press: dict[str, str], store: ObjectStore
) -> None:
    bank = company_id(api, "澜山银行")
    assert edit(api, bank, enabled=False).json()["enabled"] is False
    eventually(
        False, lambda: "澜山银行" in [company.name for company in watchlist.load(store)] or not watchlist.load(store)
    )
    assert len(found(api, press, company=bank)) == 4
    assert edit(api, bank, enabled=True).json()["enabled"] is True
    eventually(True, lambda: "澜山银行" in [company.name for company in watchlist.load(store)])


def test_bad_edits(api: httpx.Client, press: dict[str, str]) -> None:
    bank = company_id(api, "澜山银行")
    for change in (
        {"name": "x"},
        {"query": "澜山 AND ("},
        {"exclude_words": ["无关"]},
        {"aliases": ["澜山"] * 51},
        {"team_id": 2},
        {"enabled": "maybe"},
    ):
        is_problem(edit(api, bank, **change), 422, "validation")
    is_problem(edit(api, bank, name="星河汽车"), 409, "company-exists")
    is_problem(api.patch(f"/v1/companies/{bank}", json={"enabled": False}), 428, "if-match-missing")
    stale = {"If-Match": '"0"'}
    is_problem(api.patch(f"/v1/companies/{bank}", json={"enabled": False}, headers=stale), 412, "changed-meanwhile")
    assert api.get(f"/v1/companies/{bank}").json()["enabled"] is True


def test_a_preview_finds_what_the_company_would(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    seen = api.post("/v1/companies/preview", json={"name": "林知远", "aliases": ["质量负责人"]}).json()
    assert (seen["days"], seen["documents"], seen["is_complete"]) == (30, 3, True)
    assert {sample["doc_id"] for sample in seen["samples"]} == {press[n] for n in ("recall", "reprint 0", "reprint 1")}
    assert set(seen["samples"][0]["words"]) == {"质量负责人", "林知远"}
    query = {"name": "召回观察", "query": "召回 AND 电池 NOT 澜山"}
    assert api.post("/v1/companies/preview", json=query).json()["documents"] == 0
    with database.begin() as connection:
        connection.execute(text("UPDATE documents SET published_at = now() - interval '31 days'"))
        connection.execute(text("UPDATE documents SET published_at = now() WHERE doc_id = :id"), {"id": press["bank"]})
    assert api.post("/v1/companies/preview", json={"name": "澜山银行"}).json()["documents"] == 1
    wrong = api.post("/v1/companies/preview", json={"name": "召回", "query": "召回 AND OR"})
    is_problem(wrong, 422, "validation")
    assert "13" in wrong.text or "character" in wrong.text  # where it goes wrong
    assert "林知远" not in api.get("/v1/companies").text


def test_the_watchlist_as_csv_and_back(api: httpx.Client, press: dict[str, str]) -> None:
    answer = api.get("/v1/companies/export")
    lines = list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))
    assert {line["name"]: line["aliases"] for line in lines}["星河汽车"] == "星河;Galaxy Auto"
    again = api.post("/v1/companies/import", content=answer.content, headers={"Content-Type": "text/csv"})
    assert again.json() == {"created": 0, "updated": 0, "unchanged": 5}
    changes = "name,aliases,query,enabled\n远山食品,远山；远山集团,,\n澜山银行,澜山,澜山 AND 银行,停用\n"
    # As Excel saves it in China.
    imported = api.post("/v1/companies/import", content=changes.encode("gb18030"))
    assert imported.json() == {"created": 1, "updated": 1, "unchanged": 0}
    companies = {company["name"]: company for company in api.get("/v1/companies").json()}
    assert companies["远山食品"]["aliases"] == ["远山", "远山集团"]
    assert (companies["澜山银行"]["query"], companies["澜山银行"]["enabled"]) == ("澜山 AND 银行", False)


def test_a_bad_file_changes_nothing(api: httpx.Client, press: dict[str, str]) -> None:
    before = [company["name"] for company in api.get("/v1/companies").json()]
    bad = "name,aliases,query,enabled\n好公司,,,\nx,,,\n好公司,,,\n坏查询,,召回 AND (,\n甲乙,,,maybe\n丙丁,,,true,多\n"
    answer = api.post("/v1/companies/import", content=bad.encode())
    is_problem(answer, 422, "validation")
    assert [error["location"] for error in answer.json()["errors"]] == [f"body.{line}" for line in (3, 4, 5, 6, 7)]
    for content in (
        b"",
        b"title\nx\n",
        b"name,password\na,b\n",
        b'name\n"open',
        b"\x00\xff\xfe",
        b"name\n" + b"ab\n" * 1001,
    ):
        is_problem(api.post("/v1/companies/import", content=content), 422, "validation")
    assert [company["name"] for company in api.get("/v1/companies").json()] == before
