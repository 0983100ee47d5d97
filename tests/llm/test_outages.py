"""The worker while its server is away, slow, out of memory, talking garbage or restarting: jobs wait, none is lost."""

import asyncio
import json
import os
import signal
import threading
import time
from dataclasses import replace as changed
from datetime import date

import pytest
from sqlalchemy import Engine, text

from llm.replay import replay
from llm.worker import work
from tests.llm.conftest import NEWS, WEATHER, News, identity, put_news
from tests.llm.scripted import Scripted, scripted_server
from yuqing.identity import content_hash
from yuqing.settings import Settings

pytestmark = pytest.mark.service

# The second says the same of its companies as the first, in other line breaks and with another end.
_ORIGINAL = changed(NEWS[0], text=NEWS[0].text + "市民对此看法不一。专家另有建议。")
_MEMBER = changed(
    NEWS[0], name="elsewhere", group="didi", text=f"{NEWS[0].text}\n市民，对此看法不一。其他消息另见本站。"
)


def _count(pool: Engine, what: str) -> int:
    with pool.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {what}")).scalar_one())


def _news(count: int) -> tuple[News, ...]:
    return tuple(changed(NEWS[1], name=f"gree-{copy}", text=f"{NEWS[1].text}第{copy}版。") for copy in range(count))


def test_jobs_wait_until_the_server_answers_again_and_none_is_lost(database: Engine, settings: Settings) -> None:
    news = (*_news(12), WEATHER)
    put_news(database, news)
    with scripted_server() as server:
        changes = {
            "url": server.url, "timeout_s": 0.5, "attempts": 2, "retry_most_s": 0.1, "concurrency": 6,
            "circuit_failures": 3, "circuit_pause_s": 0.2, "circuit_most_s": 0.4,
        }  # fmt: skip
        patient = settings.model_copy(update={"llm": settings.llm.model_copy(update=changes)})
        server.mode = "away"
        seen: dict[str, tuple[int, int]] = {}
        problems: list[str] = []

        def breakdown() -> None:
            try:
                for mode in ("away", "slow", "memory", "garbage", "key", "nonsense"):
                    server.mode = mode
                    before = len(server.asked)
                    deadline = time.monotonic() + 60
                    while len(server.asked) < before + 4 or _count(database, "document_analyses") < 1:
                        if time.monotonic() > deadline:
                            problems.append(f"{mode}: nothing is asked")
                            return
                        time.sleep(0.1)
                    seen[mode] = (
                        _count(database, "procrastinate_jobs WHERE status = 'failed'"),
                        _count(database, "procrastinate_jobs WHERE status <> 'failed'"),
                    )
                server.mode = "well"
                deadline = time.monotonic() + 120
                while _count(database, "procrastinate_jobs") and time.monotonic() < deadline:
                    time.sleep(0.2)
            finally:
                os.kill(os.getpid(), signal.SIGTERM)

        driver = threading.Thread(target=breakdown)
        driver.start()
        counts = asyncio.run(work(patient, follow=True))
        driver.join()
    assert not problems
    # Triage answers what it can without the server; everything else is still there, however the server fails.
    assert seen == dict.fromkeys(seen, (0, 12))
    assert counts == {"triaged": 1, "analysed": 12, "failed": 0}
    assert _count(database, "document_analyses") == 13


def _run_once(server: Scripted, settings: Settings, **changes: object) -> dict[str, int]:
    llm = settings.llm.model_copy(update={"url": server.url, **changes})
    return asyncio.run(work(settings.model_copy(update={"llm": llm}), follow=False))


def test_a_spent_budget_stops_the_model_and_not_triage(
    database: Engine, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Before midnight (UTC) the next day's budget is what a run would wait for.
    monkeypatch.setattr("yuqing.jobs._SOON_S", 1.0)
    put_news(database, (*_news(6), WEATHER))
    with scripted_server() as server:
        counts = _run_once(server, settings, daily_tokens=200, concurrency=1)
        asked = len(server.asked)
    assert counts == {"analysed": 2, "triaged": 1, "waiting": 4, "failed": 0}
    assert asked
    with database.connect() as connection:
        due = connection.execute(text("SELECT scheduled_at > now() FROM procrastinate_jobs")).scalars().all()
    assert due == [True] * 4


def test_a_reprint_with_another_end_takes_over_the_verdicts_with_its_own_quotes(
    database: Engine, settings: Settings
) -> None:
    companies = put_news(database, (_ORIGINAL, _MEMBER))
    # An analyst has corrected the original before its reprint is looked at.
    quote = {"quote": _ORIGINAL.text[:14], "start": 0, "end": 14, "start_s": None}
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO corrections (team_id, doc_id, company_id, content_hash, version, sentiment, risk_level, risk_types, "
                 "evidence, replaced, reason, author) SELECT team_id, :doc, id, :hash, 1, 'neutral', 0, '{}', "
                 "jsonb_build_array(CAST(:quote AS jsonb)), '{}', '读过原文', 'a' FROM companies WHERE name = '滴滴'"),
            {"doc": identity(_ORIGINAL.name), "hash": content_hash(_ORIGINAL.text), "quote": json.dumps(quote)},
        )  # fmt: skip
    with scripted_server() as server:
        assert _run_once(server, settings) == {"analysed": 1, "inherited": 1, "failed": 0}
        rows = "SELECT evidence, inherited_from, sentiment FROM verdicts WHERE doc_id = :doc AND company_id = :company"
        key = {"doc": identity(_MEMBER.name), "company": companies["滴滴"]}
        with database.begin() as connection:
            ((evidence, source, _),) = connection.execute(text(rows), key).all()
            # The original is analysed anew, as by another adapter: its heir follows.
            for table in ("document_analyses", "verdicts"):
                old = {"doc": identity(NEWS[0].name)}
                connection.execute(text(f"UPDATE {table} SET adapter = 'old' WHERE doc_id = :doc"), old)
            connection.execute(text("UPDATE verdicts SET adapter = 'old', sentiment = 'positive'"))
            connection.execute(
                text("INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) "
                     "SELECT 'analyze', 'analyze', jsonb_build_object('doc_id', doc_id, 'content_hash', content_hash), 'todo' "
                     "FROM documents WHERE doc_id = :doc"), old,
            )  # fmt: skip
        assert source == identity(NEWS[0].name)
        with database.connect() as connection:
            ((heard, quotes),) = connection.execute(
                text("SELECT reason, evidence FROM corrections WHERE doc_id = :doc AND company_id = :company"), key
            ).all()
        assert heard == "读过原文"
        assert [_MEMBER.text[item["start"] : item["end"]] for item in quotes] == [_MEMBER.text[:14]]
        assert all(_MEMBER.text[item["start"] : item["end"]] == item["quote"] for item in evidence)
        assert evidence
        assert _run_once(server, settings) == {"analysed": 1, "failed": 0}
        with database.connect() as connection:
            ((_, source, sentiment),) = connection.execute(text(rows), key).all()
    assert (source, sentiment) == (identity(NEWS[0].name), "negative")


@pytest.mark.parametrize("same_day", [True, False])
def test_a_replay_asks_once_and_reaches_reprints_of_whichever_day(
    database: Engine, settings: Settings, same_day: bool
) -> None:
    put_news(database, (_ORIGINAL, _MEMBER))
    if not same_day:
        with database.begin() as connection:
            moved = "UPDATE documents SET first_seen = first_seen + interval '1 day' WHERE doc_id = :doc"
            connection.execute(text(moved), {"doc": identity(_MEMBER.name)})
    with scripted_server() as server:
        assert _run_once(server, settings) == {"analysed": 1, "inherited": 1, "failed": 0}
        with database.begin() as connection:
            connection.execute(text("UPDATE verdicts SET sentiment = 'positive'"))
        llm = settings.llm.model_copy(update={"url": server.url})
        before = len(server.asked)
        found = asyncio.run(replay(settings.model_copy(update={"llm": llm}), date(2026, 1, 1), write=True))
        asked = len(server.asked) - before
    assert (found.documents, found.written, found.failed) == (1 + same_day, 1 + same_day, 0)
    assert asked <= 4  # what is served, and one analysis
    with database.connect() as connection:
        rows = connection.execute(
            text("SELECT doc_id, sentiment, inherited_from, evidence FROM verdicts JOIN companies c ON c.id = company_id "
                 "WHERE c.name = '滴滴'")
        ).all()  # fmt: skip
    texts = {identity(_ORIGINAL.name): _ORIGINAL.text, identity(_MEMBER.name): _MEMBER.text}
    assert {row.doc_id: row.inherited_from for row in rows} == {
        identity(_ORIGINAL.name): None,
        identity(_MEMBER.name): identity(_ORIGINAL.name),
    }
    for row in rows:
        assert row.sentiment == "negative"
        assert all(texts[row.doc_id][item["start"] : item["end"]] == item["quote"] for item in row.evidence)
