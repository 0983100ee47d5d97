"""Analysts' corrections, read from their table."""

from typing import Any

import pytest
from sqlalchemy import create_engine, insert, select

from llm.instructions.corrections import read_corrections
from llm.instructions.sources import from_corrections
from tests.llm.conftest import identity, put_news
from yuqing.database.models import Company, Correction, Document
from yuqing.database.session import sqlalchemy_url

pytestmark = pytest.mark.service


def test_the_last_word_on_each_company_is_read_with_its_text(database_url: str) -> None:
    pool = create_engine(sqlalchemy_url(database_url))
    ids = put_news(pool)
    with pool.begin() as connection:
        team = connection.execute(select(Company.team_id)).scalars().first()
        rows = connection.execute(select(Document.doc_id, Document.content_hash)).all()
        hashes = {row.doc_id: row.content_hash for row in rows}

        def correct(name: str, company: str, version: int, sentiment: str, **more: Any) -> None:
            values: dict[str, Any] = {
                "team_id": team, "doc_id": identity(name), "company_id": ids[company],
                "content_hash": hashes[identity(name)], "version": version, "sentiment": sentiment, "risk_level": 0,
                "risk_types": [], "evidence": [], "replaced": {}, "reason": "", "author": "an analyst",
            } | more  # fmt: skip
            connection.execute(insert(Correction).values(**values))

        quote = {"quote": "美团没有回应", "start": 0, "end": 6}
        correct("didi", "滴滴", 1, "negative", risk_level=2, risk_types=["舆论危机"])
        correct("didi", "滴滴", 2, "positive")
        correct("didi", "美团", 1, "negative", risk_level=1, evidence=[quote])
        correct("didi-again", "滴滴", 1, "positive", replaced={"handed_down_from": identity("didi")})
        correct("gree", "格力电器", 1, "negative")
        correct("gree", "格力电器", 2, "neutral", withdrawn=True)
        correct("midea", "美的集团", 1, "positive", content_hash="0" * 32)  # of a text that was not kept
    found = list(read_corrections(pool, "demo"))
    (document,), dropped = from_corrections(found)
    assert dropped == []
    said = {each.company.name: each for each in document.companies}
    assert {name: each.sentiment for name, each in said.items()} == {"滴滴": "positive", "美团": "negative"}
    ((start, end),) = said["美团"].evidence
    assert document.text[start:end] == "美团没有回应"
    assert list(read_corrections(pool, "another team")) == []
    pool.dispose()
