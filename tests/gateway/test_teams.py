"""Another team's object does not exist."""

import httpx
import pytest
from sqlalchemy import Engine

from tests.gateway import rows
from tests.gateway.test_keys import is_problem

pytestmark = pytest.mark.service


@pytest.fixture
def other(address: str, database: Engine, press: dict[str, str]) -> httpx.Client:
    """A client of a team that watches one company of its own; the stories were matched for it too."""
    with database.begin() as connection:
        key = rows.add_key(connection, "竞争对手", "admin")
        rows.add_company(connection, "竞争对手", "远山食品")
        rows.add_story(connection, rows.Story("远山食品上市", "远山食品今日上市。", hours_ago=1))
    return httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}, trust_env=False)


def test_lists_and_searches_hold_nothing_of_another_team(other: httpx.Client, api: httpx.Client) -> None:
    assert [item["title"] for item in other.get("/v1/documents").json()["items"]] == ["远山食品上市"]
    assert [company["name"] for company in other.get("/v1/companies").json()] == ["远山食品"]
    assert other.get("/v1/search", params={"q": "召回"}).json()["items"] == []
    assert "远山食品上市" not in api.get("/v1/documents").text
    theirs = api.get("/v1/companies").json()[0]["id"]
    assert other.get("/v1/documents", params={"company": theirs}).json()["items"] == []


def test_single_objects_of_another_team_are_missing(
    other: httpx.Client, api: httpx.Client, press: dict[str, str]
) -> None:
    company = api.get("/v1/companies").json()[0]["id"]
    recording = api.get(f"/v1/documents/{press['speech']}").json()["recordings"][0]["sha256"]
    for path in (
        f"/v1/documents/{press['recall']}",
        f"/v1/documents/{press['recall']}/analysis",
        f"/v1/companies/{company}",
        f"/v1/companies/{company}/verdicts",
        f"/v1/media/{recording}/content",
    ):
        assert api.get(path).status_code != 404 or "media" in path
        is_problem(other.get(path), 404, "not-found")


def test_a_shared_document_shows_each_team_its_own(
    other: httpx.Client, api: httpx.Client, press: dict[str, str], database: Engine
) -> None:
    with database.begin() as connection:
        story = rows.Story(
            "青禾乳业与远山食品合作",
            "青禾乳业与远山食品宣布合作。",
            hours_ago=1,
            verdicts={
                "青禾乳业": rows.Judgement("positive", ("青禾乳业与远山食品宣布合作。",)),
                "远山食品": rows.Judgement("negative", ("青禾乳业与远山食品宣布合作。",), 2),
            },
        )
        shared = rows.add_story(connection, story)
    ours = api.get(f"/v1/documents/{shared}").json()
    theirs = other.get(f"/v1/documents/{shared}").json()
    assert [verdict["company"] for verdict in ours["verdicts"]] == ["青禾乳业"]
    assert [verdict["company"] for verdict in theirs["verdicts"]] == ["远山食品"]
    assert {mention["company"] for mention in ours["mentions"]} == {"青禾乳业"}
    assert shared not in api.get("/v1/documents", params={"sentiment": "negative"}).text
    assert shared in other.get("/v1/documents", params={"sentiment": "negative"}).text
    listed = next(item for item in api.get("/v1/documents").json()["items"] if item["doc_id"] == shared)
    assert [mention["company"] for mention in listed["companies"]] == ["青禾乳业"]


def test_two_teams_may_watch_the_same_name(other: httpx.Client, api: httpx.Client) -> None:
    assert other.post("/v1/companies", json={"name": "星河汽车"}).status_code == 201
    assert api.post("/v1/companies", json={"name": "星河汽车"}).status_code == 409
