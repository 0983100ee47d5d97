import asyncio
import json
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from sqlalchemy import Engine, insert

from llm import cli
from llm.usage import BudgetSpent, Usage, check_budget, until_tomorrow, usage
from tests.llm.conftest import NEWS, WEATHER, identity, put_news
from yuqing.database.models import DocumentAnalysisRow, VerdictRow
from yuqing.database.session import async_engine
from yuqing.identity import content_hash
from yuqing.settings import Settings


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        (datetime(2026, 1, 1, 23, 59, 59, tzinfo=UTC), 2),
        (datetime(2026, 1, 1, tzinfo=UTC), 86_401),
        (datetime(2026, 1, 1, 7, 59, tzinfo=timezone(timedelta(hours=8))), 61),
    ],
)
def test_a_spent_budget_comes_back_when_the_next_utc_day_has_begun(now: datetime, seconds: int) -> None:
    assert until_tomorrow(now) == seconds


@pytest.mark.service
def test_tokens_are_shared_by_the_companies_of_a_document_and_fill_the_days_budget(
    database: Engine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    companies = put_news(database, (NEWS[0], WEATHER))

    def row(name: str, text: str, engine: str, tokens: int, at: datetime) -> dict[str, Any]:
        return {
            "doc_id": identity(name), "content_hash": content_hash(text), "sentiment": "neutral", "score": 0, "confidence": 1,
            "engine": engine, "model": "m", "prompt_version": "p", "cleaning_version": "c", "prompt_tokens": tokens,
            "completion_tokens": tokens // 10, "latency_ms": 1, "created_at": at,
        }  # fmt: skip

    now = datetime.now(UTC)
    didi = row(NEWS[0].name, NEWS[0].text, "vllm", 200, now)
    weather = row(WEATHER.name, WEATHER.text, "triage", 0, now - timedelta(days=1))
    verdict = {"risk_level": 0, "risk_types": [], "evidence": [], "grounded": True}
    with database.begin() as connection:
        for each, names in ((didi, ("滴滴", "美团")), (weather, ("支付宝",))):
            connection.execute(
                insert(DocumentAnalysisRow).values(each | {"category": "", "summary": "", "keywords": []})
            )
            for name in names:
                connection.execute(insert(VerdictRow).values(each | verdict | {"company_id": companies[name]}))
    with database.connect() as connection:
        today, yesterday = str(now.date()), str(now.date() - timedelta(days=1))
        listed = usage(connection, 2)
        assert listed[0] == Usage(yesterday, "支付宝", 1, 1, 0, 0)
        assert sorted(listed[1:], key=lambda item: item.company) == [
            Usage(today, name, 1, 0, 0, 110) for name in ("滴滴", "美团")
        ]
        assert [item.day for item in usage(connection, 1)] == [today, today]

    cli.usage(days=2, as_json=True)
    assert json.loads(capsys.readouterr().out) == [item.as_json() for item in listed]
    cli.usage(days=1)
    assert "110 tokens" in capsys.readouterr().out

    async def check(budget: int) -> None:
        pool = async_engine(settings)
        async with pool.connect() as connection:
            await check_budget(connection, budget)
        await pool.dispose()

    for within in (0, 221):
        asyncio.run(check(within))
    with pytest.raises(BudgetSpent, match="took 220 tokens"):
        asyncio.run(check(220))
