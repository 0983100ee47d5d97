"""Trends, counted again by hand over the made-up press."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import httpx
import pytest
from sqlalchemy import Engine, text

from gateway.media_weights import media_weights
from gateway.queries.selection import DocumentFilter
from gateway.queries.trends import series, starts
from gateway.resources import open_gateway
from tests.gateway import rows
from tests.gateway.conftest import running
from tests.gateway.test_corrections import correct, place
from tests.gateway.test_documents import company_id
from tests.gateway.test_keys import bearer, is_problem
from yuqing.settings import Settings, load_settings

pytestmark = pytest.mark.service

ZONE = ZoneInfo("Asia/Shanghai")


def read(api: httpx.Client, name: str, **parameters: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/trends/{name}", params=parameters)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_volume_by_day_and_hour(api: httpx.Client, press: dict[str, str]) -> None:
    items = api.get("/v1/documents").json()["items"]
    days = Counter(datetime.fromisoformat(item["time"]).astimezone(ZONE).date().isoformat() for item in items)
    trend = read(api, "volume")
    (series,) = trend["series"]
    points = {point["time"][:10]: point["tally"] for point in series["points"]}
    assert len(points) in (30, 31)
    assert {day: tally["documents"] for day, tally in points.items() if tally["documents"]} == days
    assert series["total"]["documents"] == len(press)
    verdicts = [mention for item in items for mention in item["companies"] if mention["sentiment"]]
    for sentiment in ("positive", "neutral", "negative"):
        assert series["total"][sentiment] == sum(verdict["sentiment"] == sentiment for verdict in verdicts)
    levels = Counter(verdict["risk_level"] for verdict in verdicts)
    assert series["total"]["risk"] == [levels[level] for level in range(5)]
    hours = read(api, "volume", interval="hour", company=company_id(api, "星河汽车"))["series"][0]
    assert len(hours["points"]) in (48, 49)
    assert sum(point["tally"]["documents"] for point in hours["points"]) == 3
    assert hours["total"]["negative"] == 3
    weeks = read(api, "volume", interval="week", category="财务报告")["series"][0]
    assert weeks["total"]["documents"] == 1
    assert all(datetime.fromisoformat(point["time"]).astimezone(ZONE).weekday() == 0 for point in weeks["points"])


def test_volume_by_company_site_and_category(api: httpx.Client, press: dict[str, str]) -> None:
    by_company = {item["name"]: item["total"]["documents"] for item in read(api, "volume", by="company")["series"]}
    assert by_company == {company["name"]: company["documents"] for company in api.get("/v1/companies").json()}
    items = api.get("/v1/documents").json()["items"]
    by_site = {item["key"]: item["total"]["documents"] for item in read(api, "volume", by="site")["series"]}
    assert by_site == Counter(item["site"] for item in items)
    by_category = read(api, "volume", by="category")["series"]
    assert {item["key"]: item["total"]["documents"] for item in by_category} == Counter(
        item["category"] for item in items
    )
    assert len(read(api, "volume", by="company", top=2)["series"]) == 2
    assert read(api, "volume", site="nowhere")["series"][0]["total"]["documents"] == 0


def test_a_correction_changes_the_trend(api: httpx.Client, press: dict[str, str]) -> None:
    company = company_id(api, "星河汽车")
    correct(api, place(api, press), sentiment="positive", risk_level=0)
    (series,) = read(api, "volume", company=company)["series"]
    # With the two reprints that took the verdict over.
    assert (series["total"]["positive"], series["total"]["negative"]) == (3, 0)
    assert series["total"]["risk"] == [3, 0, 0, 0, 0]


def test_companies_sources_and_keywords(settings: Settings, press: dict[str, str], key: str, tmp_path: Path) -> None:
    for site, weight in (("chenbao", 2.0), ("caijing", 0.5)):
        (tmp_path / f"{site}.yaml").write_text(
            f"name: {site}\ntitle: {site}\nweight: {weight}\nstart_urls: ['https://{site}.example/']\n"
            f"articles: ['https://{site}.example/.*']\n"
        )
    with (
        running(crawler={"sites_folders": [str(tmp_path)]}) as base,
        httpx.Client(base_url=base, headers=bearer(key), trust_env=False, timeout=60) as api,
    ):
        voices = {voice["company"]: voice for voice in read(api, "share-of-voice")["companies"]}
        assert sum(voice["share"] for voice in voices.values()) == pytest.approx(1)
        assert sum(voice["reach_share"] for voice in voices.values()) == pytest.approx(1)
        assert voices["星河汽车"]["tally"]["documents"] == 3
        assert voices["星河汽车"]["share"] == pytest.approx(3 / 13)
        assert voices["星河汽车"]["reach"] == 2.0 + 0.5 + 1.0  # 晨报, 财经在线, and one that has no file
        sources = read(api, "sources")["sources"]
        assert {item["name"]: item["weight"] for item in sources} == {"chenbao": 2.0, "caijing": 0.5, "xibu": 1.0}
        assert sum(item["share"] for item in sources) == pytest.approx(1)
        named = {item["name"] for item in read(api, "sources", by="source")["sources"]}
        assert "财经在线" in named
        words = {item["keyword"]: item for item in read(api, "keywords")["keywords"]}
        assert (words["召回"]["documents"], words["召回"]["negative"], words["召回"]["before"]) == (1, 1, 0)
        assert words["不良率"]["negative"] == 0
        # The period before has what this one has not any more.
        later = read(api, "keywords", since="2100-01-01", until="2200-01-01")["keywords"]
        assert later == []
        (family,) = read(api, "families")["families"]
        assert (family["group_id"], family["documents"], family["sites"]) == (press["recall"], 3, 3)
        assert family["reach"] == 3.5
        assert (family["first"]["doc_id"], family["first"]["source"]) == (press["recall"], "晨报")
        assert family["hours"] == pytest.approx(1.6, abs=0.02)
        assert family["risk"] == 3
        spread = api.get(f"/v1/documents/{press['reprint 1']}/spread").json()
        assert [step["doc_id"] for step in spread["steps"]] == [
            press[name] for name in ("recall", "reprint 0", "reprint 1")
        ]
        assert [step["reach"] for step in spread["steps"]] == [2.0, 2.5, 3.5]
        assert spread["half_reach_hours"] == 0
        alone = api.get(f"/v1/documents/{press['bank']}/spread").json()
        assert (alone["documents"], alone["steps"][0]["hours_after"]) == (1, 0)


def test_what_another_team_watches_is_not_counted(api: httpx.Client, press: dict[str, str], database: Engine) -> None:
    before = read(api, "volume")["series"][0]["total"]
    with database.begin() as connection:
        key = rows.add_key(connection, "竞争对手")
        rows.add_company(connection, "竞争对手", "远山食品")
        story = rows.Story("远山食品与星河汽车合作", "远山食品与星河汽车合作。", keywords=("合作",), hours_ago=1)
        rows.add_story(connection, story)
    headers = bearer(key)
    other = api.get("/v1/trends/volume", headers=headers).json()["series"][0]["total"]
    assert other["documents"] == 1
    assert read(api, "volume")["series"][0]["total"]["documents"] == before["documents"] + 1
    assert [
        voice["company"] for voice in api.get("/v1/trends/share-of-voice", headers=headers).json()["companies"]
    ] == ["远山食品"]
    assert api.get("/v1/trends/families", headers=headers).json()["families"] == []


def test_bad_periods(api: httpx.Client) -> None:
    for name, parameters in {
        "volume": {"since": "2026-01-02", "until": "2026-01-01"},
        "sources": {"since": "1700-01-01"},
        "keywords": {"top": 0},
        "families": {"category": "没有"},
    }.items():
        is_problem(api.get(f"/v1/trends/{name}", params=parameters), 422, "validation")
    long = {"since": "2000-01-01", "until": "2020-01-01", "interval": "hour"}
    is_problem(api.get("/v1/trends/volume", params=long), 422, "validation")


def test_days_are_those_of_the_calendar() -> None:
    berlin = ZoneInfo("Europe/Berlin")
    days = list(starts("day", datetime(2026, 10, 24, 12, tzinfo=UTC), datetime(2026, 10, 27, tzinfo=UTC), berlin))
    assert [day.isoformat() for day in days] == [
        "2026-10-24T00:00:00+02:00",
        "2026-10-25T00:00:00+02:00",
        "2026-10-26T00:00:00+01:00",
        "2026-10-27T00:00:00+01:00",
    ]
    hours = list(starts("hour", datetime(2026, 10, 25, 0, tzinfo=UTC), datetime(2026, 10, 25, 3, tzinfo=UTC), berlin))
    assert [hour.hour for hour in hours] == [2, 2, 3]


def test_an_hour_that_the_clock_shows_twice(settings: Settings, press: dict[str, str], database: Engine) -> None:
    with database.begin() as connection:
        connection.exec_driver_sql("UPDATE coverage SET time = '2026-10-24 00:30Z'")
        connection.execute(
            text("UPDATE coverage SET time = '2026-10-25 00:30Z' WHERE doc_id = :id"), {"id": press["recall"]}
        )
        connection.execute(
            text("UPDATE coverage SET time = '2026-10-25 01:30Z' WHERE doc_id = :id"), {"id": press["bank"]}
        )

    async def hours() -> list[int]:
        gateway = open_gateway(settings)
        try:
            berlin = ZoneInfo("Europe/Berlin")
            wanted = DocumentFilter(
                since=datetime(2026, 10, 25, 1, tzinfo=berlin),
                until=datetime(2026, 10, 25, 2, 40, fold=1, tzinfo=berlin),
            )
            async with gateway.database.connect() as connection:
                (found,) = await series(connection, 1, wanted, "hour", berlin)
            return [point.tally.documents for point in found.points]
        finally:
            await gateway.database.dispose()

    assert asyncio.run(hours()) == [0, 1, 1]


def test_broken_site_files_weigh_nothing(tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text("name: [")
    assert media_weights(load_settings(crawler={"sites_folders": [str(tmp_path)]})) == {}
    assert media_weights(load_settings())["gov"] == 2.0
