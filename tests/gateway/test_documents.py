"""Lists, single documents and searches."""

import base64
import json
from datetime import UTC, datetime, timedelta

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway.queries import reading
from tests.gateway import rows
from tests.gateway.test_keys import is_problem

pytestmark = pytest.mark.service


def titles(answer: httpx.Response) -> set[str]:
    assert answer.status_code == 200, answer.text
    return {item["title"] for item in answer.json()["items"]}


def found(api: httpx.Client, ids: dict[str, str], **parameters: object) -> set[str]:
    answer = api.get("/v1/documents", params={"limit": 100, **parameters})  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    names = {doc_id: name for name, doc_id in ids.items()}
    return {names[item["doc_id"]] for item in answer.json()["items"]}


def company_id(api: httpx.Client, name: str) -> int:
    return int(next(company["id"] for company in api.get("/v1/companies").json() if company["name"] == name))


def test_list_is_newest_first_and_pages_meet_without_gap(api: httpx.Client, press: dict[str, str]) -> None:
    everything = api.get("/v1/documents").json()
    times = [item["time"] for item in everything["items"]]
    assert times == sorted(times, reverse=True)
    assert everything["next_cursor"] is None
    assert len(times) == len(press)
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/documents", params={"limit": 2, "cursor": cursor}).json()
        seen += [item["doc_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert seen == [item["doc_id"] for item in everything["items"]]


def test_documents_of_the_same_second_are_paged_once_each(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE documents SET published_at = '2026-01-01T00:00:00Z'")
    seen, cursor = [], ""
    while cursor is not None:
        page = api.get("/v1/documents", params={"limit": 1, "cursor": cursor}).json()
        seen += [item["doc_id"] for item in page["items"]]
        cursor = page["next_cursor"]
    assert sorted(seen) == sorted(press.values())


def test_filters(api: httpx.Client, press: dict[str, str]) -> None:
    bank = company_id(api, "澜山银行")
    recalls = {"recall", "reprint 0", "reprint 1"}
    assert found(api, press, company=bank) == recalls | {"bank"}
    assert found(api, press, sentiment="negative") == recalls | {"speech"}
    # Sentiment and company have to hold of one verdict: the recall is negative for another company only.
    assert found(api, press, company=bank, sentiment="negative") == set()
    assert found(api, press, company=bank, sentiment="neutral") == recalls
    assert found(api, press, risk=3) == recalls | {"speech"}
    assert found(api, press, risk=4) == {"speech"}
    assert found(api, press, kind="transcript") == {"speech"}
    assert found(api, press, site="xibu") == {"speech", "radio page", "reprint 1"}
    assert found(api, press, category="财务报告") == {"bank"}
    assert found(api, press, collapse=True, company=bank) == {"recall", "bank"}
    # Of the reprints that fit the earliest one stands for the group.
    assert found(api, press, collapse=True, site="xibu") == {"speech", "radio page", "reprint 1"}
    everything = api.get("/v1/documents").json()["items"]
    middle = everything[3]["time"]
    older = found(api, press, until=middle)
    newer = found(api, press, since=middle)
    assert len(newer) == 4
    assert older | newer == set(press)
    assert not older & newer
    assert found(api, press, company="", sentiment="", site="", since="") == set(press)


def test_list_item_tells_companies_reprints_and_summary(api: httpx.Client, press: dict[str, str]) -> None:
    items = {item["doc_id"]: item for item in api.get("/v1/documents").json()["items"]}
    recall = items[press["recall"]]
    assert recall["reprints"] == 2
    assert recall["summary"].startswith("星河汽车")
    assert [(mention["company"], mention["sentiment"], mention["risk_level"]) for mention in recall["companies"]] == [
        ("星河汽车", "negative", 3),
        ("澜山银行", "neutral", 0),
    ]
    waiting = items[press["pending"]]
    assert waiting["sentiment"] is None
    assert [mention["sentiment"] for mention in waiting["companies"]] == [None]


def test_a_document_with_all_that_is_known(api: httpx.Client, press: dict[str, str]) -> None:
    document = api.get(f"/v1/documents/{press['recall']}").json()
    body = document["text"]
    for mention in document["mentions"]:
        where = document["title"] if mention["field"] == "title" else body
        assert where[mention["start"] : mention["end"]] == mention["name"]
    assert {mention["company"] for mention in document["mentions"]} == {"星河汽车", "澜山银行"}
    first = document["verdicts"][0]
    assert (first["company"], first["risk_level"], first["risk_types"]) == ("星河汽车", 3, ["产品质量", "安全事故"])
    for quote in first["evidence"]:
        assert body[quote["start"] : quote["end"]] == quote["quote"]
    assert first["lineage"]["adapter"] == "inews-v1"
    assert [member["is_first"] for member in document["group"]] == [True, False, False]
    assert document["images"] == []
    assert [member["changes"] for member in document["group"]] == [
        None,
        {"title": True, "kept": 1, "added": 0, "edited": False},
        {"title": True, "kept": 1, "added": 0, "edited": False},
    ]
    assert [member["source_line"] for member in document["group"]] == [False, True, True]
    inherited = api.get(f"/v1/documents/{press['reprint 0']}").json()
    assert inherited["verdicts"][0]["lineage"]["inherited_from"] == press["recall"]
    speech = api.get(f"/v1/documents/{press['speech']}").json()
    assert speech["recordings"][0]["content_type"] == "audio/mpeg"
    assert speech["segments"][1]["start_s"] > 0
    assert speech["verdicts"][0]["evidence"][0]["start_s"] == speech["segments"][3]["start_s"]


def test_what_a_reprint_changed_is_said_and_pictures_are_named(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    images = [
        {"url": "https://img.example.com/1.jpg", "alt": "召回现场"},
        {"url": "https://a.example/2.png", "alt": ""},
    ]
    with database.begin() as connection:
        connection.execute(
            text(
                "UPDATE documents SET images = CAST(:images AS jsonb), text = split_part(text, E'\\n', 1) WHERE doc_id = :id"
            ),
            {"images": json.dumps(images), "id": press["reprint 0"]},
        )
        # The first document names no company of the team: it is compared with all the same, and not shown.
        connection.execute(text("DELETE FROM mentions WHERE doc_id = :id"), {"id": press["recall"]})
    document = api.get(f"/v1/documents/{press['reprint 0']}").json()
    assert document["images"] == images
    assert [member["doc_id"] for member in document["group"]] == [press["reprint 0"], press["reprint 1"]]
    cut, whole = (member["changes"] for member in document["group"])
    assert (cut["kept"] < 0.5, cut["added"], whole["kept"]) == (True, 0, 1)
    assert document["group_total"] == 2


def test_the_earliest_is_the_first_also_when_a_copy_was_crawled_before_it(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        original = rows.add_story(
            connection,
            rows.Story("星河汽车宣布召回", rows.RECALL, site="caijing", hours_ago=90, reprint_of=press["recall"]),
        )
        statement = text("UPDATE documents SET first_seen = now() WHERE doc_id = :id")
        connection.execute(statement, {"id": original})
    group = api.get(f"/v1/documents/{press['recall']}").json()["group"]
    assert [(member["doc_id"], member["is_first"]) for member in group][:2] == [
        (original, True),
        (press["recall"], False),
    ]
    assert group[0]["changes"] is None
    assert group[1]["changes"]["title"]
    assert found(api, {**press, "original": original}, collapse=True, company=company_id(api, "星河汽车")) == {
        "original"
    }
    period = {"since": (datetime.now(UTC) - timedelta(days=30)).isoformat()}
    (family,) = api.get("/v1/trends/families", params={**period, "top": 1}).json()["families"]
    spread = api.get(f"/v1/documents/{press['recall']}/spread").json()
    assert family["first"]["doc_id"] == spread["steps"][0]["doc_id"] == original


def test_a_large_group_shows_its_first_and_the_document(
    api: httpx.Client, press: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "GROUP_SHOWN", 1)
    for name in ("reprint 0", "reprint 1"):
        document = api.get(f"/v1/documents/{press[name]}").json()
        assert [member["doc_id"] for member in document["group"]] == [press["recall"], press[name]]
        assert document["group_total"] == 3


def test_mentions_of_an_earlier_version_are_not_shown(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE documents SET content_hash = 'f' || substr(content_hash, 2), text = '新的正文'"
        )
    document = api.get(f"/v1/documents/{press['recall']}").json()
    assert document["mentions"] == []
    assert document["verdicts"][0]["content_hash"] != document["content_hash"]


def test_analysis_alone(api: httpx.Client, press: dict[str, str]) -> None:
    answer = api.get(f"/v1/documents/{press['bank']}/analysis").json()
    assert answer["analysis"]["category"] == "财务报告"
    assert [verdict["sentiment"] for verdict in answer["verdicts"]] == ["positive"]
    assert api.get(f"/v1/documents/{press['pending']}/analysis").json()["analysis"] is None


_RECALLS = {"recall", "reprint 0", "reprint 1"}
SEARCHES: list[tuple[str, set[str]]] = [
    ("星", _RECALLS),  # one character: a prefix of bigrams
    ("召回", _RECALLS),
    ("不良率", {"bank"}),
    ("原奶收购协议", {"dairy"}),
    ("银行 召回", _RECALLS),
    ("s7", _RECALLS),
    ("S7轿车", _RECALLS),
    ("9.1%", {"bank"}),
    ("召 回", _RECALLS),
    ("電池", _RECALLS),  # traditional characters
    ("没有这个词", set()),
    ("航空航线", set()),
    ("100%", set()),
    ("a_b%c", set()),
    ("' OR 1=1 --", set()),
    ("召回'", _RECALLS),
    ("召回😀", set()),
    ("《召回》", _RECALLS),
]


def test_search(api: httpx.Client, press: dict[str, str]) -> None:
    names = {doc_id: name for name, doc_id in press.items()}
    for query, expected in SEARCHES:
        answer = api.get("/v1/search", params={"q": query})
        assert answer.status_code == 200, answer.text
        assert {names[item["doc_id"]] for item in answer.json()["items"]} == expected, query


def test_search_rechecks_words_whose_bigrams_stand_apart(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        rows.add_story(connection, rows.Story("青禾乳业简讯", "中国银在涨，国银行在跌。", hours_ago=1))
    assert titles(api.get("/v1/search", params={"q": "国银行"})) == {"青禾乳业简讯"}
    assert titles(api.get("/v1/search", params={"q": "中国银行"})) == set()
    assert titles(api.get("/v1/search", params={"q": "中国 银行"})) == {"青禾乳业简讯"}


def test_snippet_shows_the_words(api: httpx.Client, press: dict[str, str]) -> None:
    items = api.get("/v1/search", params={"q": "股价"}).json()["items"]
    assert items
    assert all("股价" in item["snippet"] for item in items)


def test_search_without_words(api: httpx.Client) -> None:
    is_problem(api.get("/v1/search"), 422, "validation")
    is_problem(api.get("/v1/search", params={"q": "  "}), 422, "validation")
    is_problem(api.get("/v1/search", params={"q": "。。！"}), 422, "validation")
    is_problem(api.get("/v1/search", params={"q": "\u0000"}), 422, "validation")
    is_problem(api.get("/v1/search", params={"q": "召" * 201}), 422, "validation")


BAD = [
    ("company", "0"),
    ("company", "99999999999"),
    ("company", "a"),
    ("sentiment", "angry"),
    ("risk", "5"),
    ("risk", "-1"),
    ("site", "../x"),
    ("site", "a\u0000"),
    ("kind", "book"),
    ("category", "诗歌"),
    ("since", "yesterday"),
    ("since", "0001-01-01"),
    ("until", "9999-12-31T23:59:59+23:59"),
    ("limit", "0"),
    ("limit", "101"),
    ("cursor", "nonsense"),
    ("cursor", "!!!"),
    ("cursor", base64.urlsafe_b64encode(b'["2026-01-01T00:00:00", "x"]').decode()),
    ("cursor", base64.urlsafe_b64encode(b"[" * 150).decode()),
    ("cursor", base64.urlsafe_b64encode(b"{}").decode()),
]


def test_bad_parameters_are_named(api: httpx.Client) -> None:
    for name, value in BAD:
        answer = api.get("/v1/documents", params={name: value})
        is_problem(answer, 422, "validation")
        assert name in answer.json()["errors"][0]["location"]


def test_far_dates_are_fine(api: httpx.Client, press: dict[str, str]) -> None:
    assert found(api, press, since="1900-01-01", until="2200-12-31") == set(press)
    assert found(api, press, since="2199-01-01") == set()


def test_an_unknown_document(api: httpx.Client) -> None:
    for name in ("x", "0" * 31, "g" * 32, "0" * 32, "..%2f..", "%00"):
        answer = api.get(f"/v1/documents/{name}")
        assert answer.status_code in (404, 422)
        assert answer.headers["content-type"] == "application/problem+json"


def pages(api: httpx.Client, **parameters: object) -> list[str]:
    seen, cursor = [], ""
    while cursor is not None:
        answer = api.get("/v1/documents", params={"limit": 2, "cursor": cursor, **parameters})  # type: ignore[arg-type]
        assert answer.status_code == 200, answer.text
        seen += [item["doc_id"] for item in answer.json()["items"]]
        cursor = answer.json()["next_cursor"]
    return seen


def test_sorted_by_risk(api: httpx.Client, press: dict[str, str]) -> None:
    names = {doc_id: name for name, doc_id in press.items()}
    order = [names[doc_id] for doc_id in pages(api, sort="risk")]
    assert order[:5] == ["speech", "reprint 1", "reprint 0", "recall", "radio page"]
    assert order[-1] == "pending"  # not judged
    assert sorted(order) == sorted(press)
    # A document counts with the riskiest verdict that fits the filter.
    bank = company_id(api, "澜山银行")
    assert [names[doc_id] for doc_id in pages(api, sort="risk", company=bank)][-1] == "bank"
    assert [names[doc_id] for doc_id in pages(api, sort="risk", collapse=True, sentiment="negative")] == [
        "speech",
        "recall",
    ]
    assert [names[doc_id] for doc_id in pages(api, sort="risk", q="召回")] == ["reprint 1", "reprint 0", "recall"]


def test_sorted_by_relevance(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    with database.begin() as connection:
        story = rows.Story("早报", "星河汽车的消息。昨日有召回一事，另有其他新闻若干。", hours_ago=0.1)
        passing = rows.add_story(connection, story)
    order = pages(api, sort="relevance", q="召回")
    assert order[-1] == passing == pages(api, q="召回")[0]
    assert len(set(order)) == len(order) == 4
    is_problem(api.get("/v1/documents", params={"sort": "relevance"}), 422, "validation")
    by_time = api.get("/v1/documents", params={"limit": 1}).json()["next_cursor"]
    for sort in ("risk", "relevance"):
        is_problem(api.get("/v1/documents", params={"sort": sort, "q": "召", "cursor": by_time}), 422, "validation")


def test_rare_words_are_found_behind_the_walk(
    api: httpx.Client, press: dict[str, str], database: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gateway.queries import listing

    names = {doc_id: name for name, doc_id in press.items()}
    everything = {query: pages(api, q=query) for query, _ in SEARCHES if query.strip()}
    riskiest = pages(api, sort="risk", q="召回")
    for walk in ("WALK", "WALK_FILTERED"):
        monkeypatch.setattr(listing, walk, 2)
    for query, expected in SEARCHES:
        assert pages(api, q=query) == everything[query], query
        assert {names[doc_id] for doc_id in everything[query]} == expected
    assert [names[doc_id] for doc_id in pages(api, q="召回", collapse=True)] == ["recall"]
    assert pages(api, sort="risk", q="召回") == riskiest
    # However long ago, each once, in the order of the list.
    with database.begin() as connection:
        for doc_id, days in zip(press.values(), (0, 3, 9, 40, 130, 700, 1100, 5000, 44_000), strict=False):
            moved = "UPDATE documents SET published_at = first_seen - :days * interval '1 day' WHERE doc_id = :doc_id"
            connection.execute(text(moved), {"days": days, "doc_id": doc_id})
    order = pages(api)
    for query, expected in SEARCHES:
        assert pages(api, q=query) == [doc_id for doc_id in order if names[doc_id] in expected], query
    since = (datetime.now(UTC) - timedelta(days=200)).isoformat()
    late = pages(api, since=since)
    assert pages(api, q="召回", since=since) == [doc_id for doc_id in pages(api, q="召回") if doc_id in late]
