"""An analyst's word against the model's: shown everywhere at once, versioned, kept for training."""

import asyncio
import json

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway.resources import Gateway
from tests.gateway.test_documents import company_id, found
from tests.gateway.test_keys import is_problem

pytestmark = pytest.mark.service

QUOTE = "受此消息影响，星河汽车股价当日下跌6.2%。"


def place(api: httpx.Client, press: dict[str, str], name: str = "recall", company: str = "星河汽车") -> str:
    return f"/v1/documents/{press[name]}/verdicts/{company_id(api, company)}"


def correct(api: httpx.Client, path: str, **change: object) -> httpx.Response:
    return api.patch(path, json={"reason": "读过原文", **change}, headers={"If-Match": api.get(path).headers["etag"]})


def test_a_correction_is_shown_everywhere_at_once(api: httpx.Client, press: dict[str, str]) -> None:
    path, company = place(api, press), company_id(api, "星河汽车")
    before = api.get(path).json()
    answer = correct(api, path, sentiment="neutral", risk_level=1, risk_types=["市场竞争"], evidence=[{"quote": QUOTE}])
    assert answer.status_code == 200, answer.text
    shown = answer.json()
    assert shown == api.get(path).json()
    assert (shown["sentiment"], shown["risk_level"], shown["risk_types"]) == ("neutral", 1, ["市场竞争"])
    assert (shown["score"], shown["confidence"], shown["grounded"]) == (0, 1, True)
    document = api.get(f"/v1/documents/{press['recall']}").json()
    (quote,) = shown["evidence"]
    assert document["text"][quote["start"] : quote["end"]] == QUOTE == quote["quote"]
    note = shown["correction"]
    assert (note["version"], note["reason"]) == (1, "读过原文")
    assert note["author"].endswith(" 测试")
    assert {name: before[name] for name in note["model"]} == note["model"]
    # The document, its analysis, the lists with their filters, the company's verdicts and numbers.
    assert shown in document["verdicts"]
    assert shown in api.get(f"/v1/documents/{press['recall']}/analysis").json()["verdicts"]
    # The reprints that took the verdict over follow.
    assert found(api, press, company=company, sentiment="negative") == set()
    assert found(api, press, company=company, sentiment="neutral") == {"recall", "reprint 0", "reprint 1"}
    assert found(api, press, company=company, risk=1) == {"recall", "reprint 0", "reprint 1"}
    assert found(api, press, company=company, risk=2) == set()
    items = api.get("/v1/documents").json()["items"]
    listed = next(item for item in items if item["doc_id"] == press["recall"])["companies"][0]
    assert (listed["sentiment"], listed["risk_level"], listed["confidence"]) == ("neutral", 1, 1)
    verdicts = api.get(f"/v1/companies/{company}/verdicts", params={"sentiment": "neutral"}).json()["items"]
    assert len(verdicts) == 3
    assert shown in [item["verdict"] for item in verdicts]
    summary = api.get(f"/v1/companies/{company}").json()
    assert (summary["neutral"], summary["negative"]) == (3, 0)


def test_a_reprint_follows_its_originals_correction_and_keeps_a_word_of_its_own(
    api: httpx.Client, press: dict[str, str]
) -> None:
    original, heir = place(api, press), place(api, press, "reprint 0")
    model = api.get(heir).json()
    correct(api, original, sentiment="neutral", evidence=[{"quote": QUOTE}])
    shown = api.get(heir).json()
    document = api.get(f"/v1/documents/{press['reprint 0']}").json()
    assert shown["sentiment"] == "neutral"
    assert all(document["text"][item["start"] : item["end"]] == item["quote"] for item in shown["evidence"])
    headers = {"If-Match": api.get(original).headers["etag"]}
    assert api.post(original + "/withdrawal", json={"reason": "看错了"}, headers=headers).status_code == 200
    assert api.get(heir).json() == model
    correct(api, heir, sentiment="positive")
    correct(api, original, sentiment="neutral")
    assert api.get(heir).json()["sentiment"] == "positive"
    # One example is enough to learn from: the reprints' repetitions are not exported.
    lines = [json.loads(line) for line in api.get("/v1/corrections").text.splitlines()]
    assert sorted(line["doc_id"] for line in lines) == sorted([press["recall"], press["reprint 0"]])


def test_versions_and_their_withdrawal(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    path = place(api, press)
    original = api.get(path).json()
    assert api.get(path + "/history").json() == []
    correct(api, path, sentiment="positive")
    second = correct(api, path, risk_level=0, reason="再读一遍").json()
    # What is not named stays as it was shown.
    assert (second["sentiment"], second["risk_level"]) == ("positive", 0)
    assert second["correction"]["model"]["sentiment"] == "negative"
    headers = {"If-Match": api.get(path).headers["etag"]}
    withdrawn = api.post(path + "/withdrawal", json={"reason": "看错了"}, headers=headers)
    assert withdrawn.json() == original
    assert found(api, press, company=company_id(api, "星河汽车"), sentiment="positive") == set()
    versions = api.get(path + "/history").json()
    assert [(item["version"], item["withdrawn"], item["reason"]) for item in versions] == [
        (1, False, "读过原文"),
        (2, False, "再读一遍"),
        (3, True, "看错了"),
    ]
    assert versions[0]["replaced"]["sentiment"] == "negative"
    assert versions[0]["replaced"]["lineage"]["adapter"] == "inews-v1"
    again = {"If-Match": api.get(path).headers["etag"]}
    is_problem(api.post(path + "/withdrawal", json={"reason": "再"}, headers=again), 409, "not-corrected")
    with database.connect() as connection:
        actions = connection.execute(text("SELECT action FROM audit_log WHERE subject LIKE 'verdict:%' ORDER BY id"))
        assert actions.scalars().all() == ["verdict.correct", "verdict.correct", "verdict.withdraw"]


def test_nobody_overwrites_what_he_has_not_seen(api: httpx.Client, press: dict[str, str]) -> None:
    path = place(api, press)
    seen = api.get(path).headers["etag"]
    assert api.get(path, headers={"If-None-Match": seen}).status_code == 304
    change = {"sentiment": "positive", "reason": "甲"}
    is_problem(api.patch(path, json=change), 428, "if-match-missing")
    assert api.patch(path, json=change, headers={"If-Match": seen}).status_code == 200
    lost = api.patch(path, json=change | {"reason": "乙"}, headers={"If-Match": seen})
    is_problem(lost, 412, "changed-meanwhile")
    assert lost.headers["etag"] == api.get(path).headers["etag"] != seen


BAD: list[dict[str, object]] = [
    {},
    {"sentiment": "angry"},
    {"risk_level": 5},
    {"risk_level": -1},
    {"risk_types": ["不知道"]},
    {"evidence": [{"quote": "这句话不在文中"}]},
    {"evidence": [{"quote": QUOTE, "start": 0}]},
    {"evidence": [{"quote": QUOTE, "start": 10**9}]},
    {"evidence": [{"quote": ""}]},
    {"sentiment": "neutral", "reason": "  "},
    {"sentiment": "neutral", "reason": "\x00"},
    {"sentiment": "neutral", "reason": "长" * 501},
    {"sentiment": "neutral", "extra": 1},
]


def test_bad_corrections_are_refused(api: httpx.Client, press: dict[str, str]) -> None:
    path = place(api, press)
    for change in BAD:
        is_problem(correct(api, path, **change), 422, "validation")
    assert api.get(path + "/history").json() == []
    etag = {"If-Match": "*"}
    nothing = path.replace(press["recall"], press["pending"])
    is_problem(api.patch(nothing, json={"sentiment": "neutral", "reason": "x"}, headers=etag), 404, "not-found")
    is_problem(api.get(nothing), 404, "not-found")
    is_problem(api.get(nothing + "/history"), 404, "not-found")


def test_a_correction_holds_for_the_text_that_was_read(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    path, company = place(api, press), company_id(api, "星河汽车")
    correct(api, path, sentiment="positive")
    with database.begin() as connection:  # the same text judged anew, by a better model
        connection.execute(
            text("UPDATE verdicts SET sentiment = 'neutral', model = 'better' WHERE doc_id = :id"),
            {"id": press["recall"]},
        )
    assert api.get(path).json()["sentiment"] == "positive"
    assert found(api, press, company=company, sentiment="positive") == {"recall", "reprint 0", "reprint 1"}
    with database.begin() as connection:  # another text: the model's word counts until it is read again
        connection.execute(text("DELETE FROM verdicts WHERE doc_id = :id"), {"id": press["recall"]})
    assert found(api, press, company=company) >= {"recall"}
    assert found(api, press, company=company, sentiment="positive") == {"reprint 0", "reprint 1"}
    assert len(api.get(path + "/history").json()) == 1


def test_corrections_are_training_data(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    path = place(api, press)
    correct(api, path, sentiment="neutral", reason="第一次")
    correct(api, path, sentiment="positive", evidence=[{"quote": QUOTE}])
    other = place(api, press, "bank", "澜山银行")
    correct(api, other, sentiment="neutral")
    api.post(other + "/withdrawal", json={"reason": "x"}, headers={"If-Match": "*"})
    answer = api.get("/v1/corrections")
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    (example,) = [json.loads(line) for line in answer.text.splitlines()]
    assert (example["company"], example["sentiment"], example["reason"]) == ("星河汽车", "positive", "读过原文")
    assert QUOTE in example["text"]
    assert example["replaced"]["correction"]["model"]["sentiment"] == "negative"
    assert api.get("/v1/corrections", params={"since": "2199-01-01"}).text == ""
    with database.connect() as connection:
        exports = "SELECT count(*) FROM audit_log WHERE action = 'corrections.export'"
        assert connection.execute(text(exports)).scalar_one() == 2


def test_exports_wait_for_each_other(api: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Gateway, "exports", asyncio.Semaphore(0))
    for path in ("/v1/corrections", "/v1/documents/export"):
        is_problem(api.get(path), 503, "exports-busy")
