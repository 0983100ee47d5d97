"""`coverage` always equals what it is made from, whoever changed what."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import Connection, Engine, text

from gateway.queries.companies import FOLD_COUNTS

pytestmark = pytest.mark.service

# What coverage has to hold, computed from the tables alone.
_EXPECTED = """
SELECT m.doc_id, m.company_id, c.team_id, COALESCE(d.published_at, d.first_seen), d.first_seen, d.site, d.source, d.kind,
    d.group_id, m.relevance, a.category, COALESCE(a.keywords, '{}'),
    COALESCE(k.sentiment, v.sentiment), COALESCE(k.risk_level, v.risk_level), k.id IS NOT NULL
FROM mentions m JOIN companies c ON c.id = m.company_id JOIN documents d USING (doc_id)
LEFT JOIN document_analyses a USING (doc_id)
LEFT JOIN verdicts v ON v.doc_id = m.doc_id AND v.company_id = m.company_id
LEFT JOIN corrections k ON k.doc_id = v.doc_id AND k.company_id = v.company_id AND k.content_hash = v.content_hash
    AND NOT k.withdrawn AND k.version = (SELECT max(version) FROM corrections o
        WHERE o.doc_id = k.doc_id AND o.company_id = k.company_id AND o.content_hash = k.content_hash)
"""
_COVERAGE = """
SELECT doc_id, company_id, team_id, time, first_seen, site, source, kind, group_id, relevance, category, keywords, sentiment,
    risk_level, corrected FROM coverage
"""
# What the counts have to sum up to.
_COUNTED = "company_id, documents, positive, neutral, negative, risk_0, risk_1, risk_2, risk_3, risk_4"
_SUMS = (
    "SELECT company_id, "
    + ", ".join(f"sum({name})" for name in _COUNTED.split(", ")[1:])
    + """
FROM coverage_counts GROUP BY company_id HAVING sum(documents) <> 0"""
)
_COUNTS = """
SELECT company_id, count(*), count(*) FILTER (WHERE sentiment = 'positive'), count(*) FILTER (WHERE sentiment = 'neutral'),
    count(*) FILTER (WHERE sentiment = 'negative'), count(*) FILTER (WHERE risk_level = 0),
    count(*) FILTER (WHERE risk_level = 1), count(*) FILTER (WHERE risk_level = 2),
    count(*) FILTER (WHERE risk_level = 3), count(*) FILTER (WHERE risk_level = 4)
FROM coverage GROUP BY company_id
"""

CHANGES = [
    "UPDATE documents SET published_at = NULL, site = 'moved', source = NULL WHERE doc_id = :recall",
    "UPDATE documents SET first_seen = first_seen - interval '2 days', fetched_at = now()",
    "UPDATE documents SET group_id = :recall WHERE doc_id = :bank",
    "UPDATE mentions SET relevance = 0.123 WHERE doc_id = :bank",
    "DELETE FROM mentions WHERE doc_id = :dairy",
    "INSERT INTO mentions SELECT CAST(:dairy AS text), company_id, content_hash, spans, 0.5 FROM mentions WHERE doc_id = :bank",
    "UPDATE document_analyses SET category = '评论' WHERE doc_id IN (:recall, :bank)",
    "UPDATE document_analyses SET keywords = ARRAY['甲', '乙', '甲乙'] WHERE doc_id IN (:recall, :bank)",
    "UPDATE verdicts SET sentiment = 'positive', risk_level = 1 WHERE doc_id = :recall",
    """INSERT INTO corrections (team_id, doc_id, company_id, content_hash, version, sentiment, risk_level, risk_types,
        evidence, replaced, reason, author)
    SELECT 1, doc_id, company_id, content_hash, 1, 'neutral', 2, '{}', '[]', '{}', 'x', 'y' FROM verdicts""",
    "UPDATE verdicts SET content_hash = repeat('e', 32) WHERE doc_id = :recall",
    """INSERT INTO corrections (team_id, doc_id, company_id, content_hash, version, withdrawn, sentiment, risk_level,
        risk_types, evidence, replaced, reason, author)
    SELECT 1, doc_id, company_id, content_hash, 2, true, 'neutral', 2, '{}', '[]', '{}', 'x', 'y' FROM verdicts
    WHERE doc_id = :bank""",
    "DELETE FROM verdicts WHERE doc_id = :speech",
    "DELETE FROM mentions WHERE doc_id = :recall",
    "DELETE FROM documents WHERE doc_id = :bank",
    "DELETE FROM companies WHERE id = (SELECT max(company_id) FROM mentions)",
]


def differences(connection: Connection) -> list[object]:
    found = []
    for kept, made in ((_COVERAGE, _EXPECTED), (_SUMS, _COUNTS)):
        found += connection.execute(text(f"({kept}) EXCEPT ({made})")).all()
        found += connection.execute(text(f"({made}) EXCEPT ({kept})")).all()
    return found


def test_every_change_reaches_coverage(press: dict[str, str], database: Engine) -> None:
    ids = {name: doc_id for name, doc_id in press.items() if " " not in name}
    with database.begin() as connection:
        before = connection.execute(text(_COVERAGE + " ORDER BY 1, 2")).all()
        assert len(before) > 10
        assert differences(connection) == []
        for change in CHANGES:
            names = {name: ids[name] for name in ids if f":{name}" in change}
            assert connection.execute(text(change), names).rowcount > 0, change
            assert differences(connection) == [], change
            after = connection.execute(text(_COVERAGE + " ORDER BY 1, 2")).all()
            assert after != before, change
            before = after
            connection.execute(FOLD_COUNTS)
            assert differences(connection) == [], change
        rows = connection.execute(text("SELECT count(*), count(DISTINCT company_id) FROM coverage_counts")).one()
        assert rows[0] == rows[1]


_CORRECT = text(
    """INSERT INTO corrections (team_id, doc_id, company_id, content_hash, version, sentiment, risk_level, risk_types,
        evidence, replaced, reason, author)
    SELECT 1, doc_id, company_id, content_hash, 1, 'neutral', 3, '{}', '[]', '{}', 'x', 'y' FROM verdicts
    WHERE doc_id = :doc_id AND company_id = :company_id"""
)
_WAITING = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"


def test_corrections_of_one_document_at_the_same_time(press: dict[str, str], database: Engine) -> None:
    with database.begin() as connection:
        doc_id, first, second = connection.execute(
            text(
                "SELECT doc_id, min(company_id), max(company_id) FROM mentions GROUP BY doc_id HAVING count(*) > 1 LIMIT 1"
            )
        ).one()
        connection.execute(
            text(
                """INSERT INTO verdicts SELECT row.* FROM (SELECT * FROM verdicts LIMIT 1) v,
                    unnest(ARRAY[:first, :second]) company,
                    jsonb_populate_record(CAST(NULL AS verdicts), to_jsonb(v) || jsonb_build_object(
                        'doc_id', CAST(:doc_id AS text), 'company_id', company)) row
                ON CONFLICT DO NOTHING"""
            ),
            {"doc_id": doc_id, "first": first, "second": second},
        )
        assert differences(connection) == []

    def correct_the_second() -> None:
        with database.begin() as other:
            other.execute(_CORRECT, {"doc_id": doc_id, "company_id": second})

    with ThreadPoolExecutor(1) as pool, database.connect() as watching:
        with database.begin() as connection:
            connection.execute(_CORRECT, {"doc_id": doc_id, "company_id": first})
            done = pool.submit(correct_the_second)
            while not watching.exec_driver_sql(_WAITING).scalar_one():
                assert not done.done(), "the second did not wait for the first"
                watching.rollback()
                time.sleep(0.02)
        done.result(60)
    with database.connect() as connection:
        assert differences(connection) == []
        corrected = "SELECT count(*) FROM coverage WHERE doc_id = :doc_id AND corrected"
        assert connection.execute(text(corrected), {"doc_id": doc_id}).scalar_one() == 2


def test_folding_twice_at_once_loses_no_change_of_a_verdict(press: dict[str, str], database: Engine) -> None:
    def fold() -> None:
        with database.begin() as other:
            other.execute(FOLD_COUNTS)

    with ThreadPoolExecutor(1) as pool, database.connect() as watching:
        with database.begin() as first:
            first.execute(FOLD_COUNTS)
            with database.begin() as other:  # counts no document, moves one from a sentiment to another
                other.execute(text("UPDATE verdicts SET sentiment = 'positive' WHERE sentiment = 'negative'"))
            second = pool.submit(fold)
            deadline = time.monotonic() + 30
            while not watching.execute(text(_WAITING)).scalar_one():
                assert time.monotonic() < deadline, "the second fold should wait for the first"
                watching.rollback()
                time.sleep(0.05)
        second.result(timeout=30)
    with database.begin() as connection:
        assert differences(connection) == []
