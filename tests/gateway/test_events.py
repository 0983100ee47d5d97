"""Live events: what comes is told, once each, in an order that can be resumed."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway.forgetting import forget_once
from gateway.queries.events import LiveEvent, Place, events_after
from gateway.resources import open_gateway
from tests.gateway import rows
from tests.gateway.test_corrections import correct, place
from tests.gateway.test_documents import company_id
from tests.gateway.test_keys import bearer, is_problem
from yuqing.settings import Settings

pytestmark = pytest.mark.service

Told = list[dict[str, object]]


def read(api: httpx.Client, last: str = "", **parameters: object) -> tuple[str, Told]:
    """The events so far and the last id; the stream ends at once."""
    headers = {"Last-Event-ID": last} if last else {}
    answer = api.get("/v1/events", params={"wait": 0, **parameters}, headers=headers)  # type: ignore[arg-type]
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/event-stream")
    events: Told = []
    for block in answer.text.strip().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.split("\n"))
        last = fields["id"]
        if "data" in fields:
            events.append({"event": fields["event"], **json.loads(fields["data"])})
    return last, events


def story(title: str) -> rows.Story:
    verdicts = {"星河汽车": rows.Judgement("negative", (), 2)}
    return rows.Story(title, "星河汽车与澜山银行的消息。", hours_ago=0.1, sentiment="negative", verdicts=verdicts)


def test_documents_verdicts_and_corrections_are_told(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    start, nothing = read(api)
    assert nothing == []
    with database.begin() as connection:
        doc_id = rows.add_story(connection, story("星河汽车新闻"))
    last, events = read(api, start)
    assert [(item["event"], item["company"]) for item in events] == [
        ("document", "星河汽车"),
        ("document", "澜山银行"),
        ("verdict", "星河汽车"),
    ]
    assert {item["doc_id"] for item in events} == {doc_id}
    assert (events[2]["sentiment"], events[2]["risk_level"], events[2]["corrected"]) == ("negative", 2, False)
    assert events[0]["title"] == "星河汽车新闻"
    assert read(api, last) == (last, [])
    correct(api, place(api, press), sentiment="neutral")
    _, corrected = read(api, last)
    assert [(item["event"], item["sentiment"], item["corrected"]) for item in corrected] == [
        ("verdict", "neutral", True)
    ] * 3  # and the two reprints that took the verdict over
    # From any place on, again and again; of one company alone; never another team's.
    assert read(api, start)[1] == events + corrected
    assert len(read(api, start, company=company_id(api, "澜山银行"))[1]) == 1
    with database.begin() as connection:
        other = rows.add_key(connection, "竞争对手")
    assert api.get("/v1/events?wait=0", headers={**bearer(other), "Last-Event-ID": start}).text.count("data:") == 0


def test_none_is_missed_when_commits_come_in_another_order(
    api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    start, _ = read(api)
    with database.connect() as slow, slow.begin():
        rows.add_story(slow, story("先写后到"))
        with database.begin() as quick:
            rows.add_story(quick, story("后写先到"))
        last, early = read(api, start)
    later, late = read(api, last)
    titles = [item["title"] for item in early + late if item["event"] == "verdict"]
    assert sorted(titles) == ["先写后到", "后写先到"]
    assert read(api, later)[1] == []


def test_a_stream_that_is_open_gets_them_at_once(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    def first() -> str:
        with api.stream("GET", "/v1/events", params={"wait": 60}) as answer:
            opened.append(True)
            return next(line for line in answer.iter_lines() if line.startswith("data:"))

    opened: list[bool] = []
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(first)
        while not opened:
            assert not waiting.done(), waiting.result()
        with database.begin() as connection:
            rows.add_story(connection, story("星河汽车快讯"))
        assert json.loads(waiting.result(60)[5:])["title"] == "星河汽车快讯"


def test_bad_places(api: httpx.Client) -> None:
    for last in ("x", "1", "1-2-3", "-1-2", "9" * 30 + "-1"):
        is_problem(api.get("/v1/events", headers={"Last-Event-ID": last}), 422, "validation")


def test_what_is_settled_is_not_read_again(settings: Settings, press: dict[str, str], database: Engine) -> None:
    async def ask(place: Place, limit: int) -> tuple[list[LiveEvent], Place]:
        gateway = open_gateway(settings)
        try:
            async with gateway.database.connect() as connection:
                found, after = await events_after(connection, 1, place, company_id=None, limit=limit)
                return list(found), after
        finally:
            await gateway.database.dispose()

    everything, after = asyncio.run(ask(Place(0, 0), 1000))
    assert len(everything) > 10
    assert (after.transaction > everything[-1].place.transaction, after.event) == (True, 0)
    first, middle = asyncio.run(ask(Place(0, 0), 4))
    assert middle == first[-1].place
    rest, _ = asyncio.run(ask(middle, 1000))
    assert first + rest == everything
    assert asyncio.run(ask(after, 1000))[0] == []
    # A place that is further on, as of another database, is not moved back.
    assert asyncio.run(ask(Place(10**17, 3), 10)) == ([], Place(10**17, 3))
    with database.begin() as connection:
        rows.add_story(connection, story("星河汽车又一则"))
    assert {event.title for event in asyncio.run(ask(after, 1000))[0]} == {"星河汽车又一则"}


def test_old_events_are_forgotten(settings: Settings, press: dict[str, str], database: Engine) -> None:
    with database.begin() as connection:
        everything = connection.execute(text("SELECT count(*) FROM events")).scalar_one()
        old = "UPDATE events SET created_at = now() - interval '8 days' WHERE kind = 'verdict'"
        count = connection.execute(text(old)).rowcount
        assert 0 < count < everything

    async def forget() -> int:
        gateway = open_gateway(settings)
        try:
            return await forget_once(gateway)
        finally:
            await gateway.database.dispose()

    assert asyncio.run(forget()) == count
