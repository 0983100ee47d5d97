"""Merging: versions, groups and follow-up jobs, the same in any order of runs. On PostgreSQL, without Spark."""

import itertools
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pyarrow as pa
import pytest
from sqlalchemy import Engine, text
from sqlalchemy.exc import OperationalError

from cleaning.publish import Receipt, StagingLost, merge
from cleaning.s3source import ARROW_SCHEMA
from cleaning.stage import Destination, clean_records, copy_rows
from tests.cleaning.conftest import FETCHED, article_text, page, raw
from yuqing import watchlist
from yuqing.contracts import now
from yuqing.endpoints import database_url
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service

RUN = "01RUN"


@pytest.fixture
def stage_batch(settings: Settings, store: ObjectStore, database: Engine) -> Callable[..., Receipt]:
    """Clean records and stage them as an executor would; returns the receipt."""

    def run(name: str, records: list[dict[str, Any]], *, run_id: str = RUN, attempt: int = 0) -> Receipt:
        batch = f"raw/daily/2024/06/01/{name}.jsonl.gz"
        lines = [
            {"batch": batch, "line": number, "record": json.dumps(record).encode(), "problem": None}
            for number, record in enumerate(records, 1)
        ]
        with database.connect() as connection:
            companies = watchlist.from_database(connection)
        source = iter([pa.RecordBatch.from_pylist(lines, schema=ARROW_SCHEMA)])
        found = clean_records(source, companies=companies, settings=settings.cleaning)
        rows = [row for part in found for row in part.to_pylist()]
        assert not [row["problem"] for row in rows if row["problem"]]
        copy_rows(rows, Destination(store, database_url(settings), run_id), batch, 0, attempt)
        return Receipt(batch, 0, attempt, len(rows), 0)

    return run


def publish(database: Engine, settings: Settings, receipts: list[Receipt], run_id: str = RUN) -> dict[str, Any]:
    with database.begin() as connection:
        return dict(merge(connection, run_id, receipts, now(), settings.cleaning))


def snapshot(database: Engine) -> dict[str, list[tuple[Any, ...]]]:
    """Everything that must not depend on the order of runs."""
    statements = {
        "documents": "SELECT doc_id, content_hash, version, group_id, first_seen, fetched_at FROM documents ORDER BY 1",
        "versions": "SELECT doc_id, content_hash, version, title FROM document_versions ORDER BY 1, 2",
        "signatures": "SELECT doc_id, content_hash, parent_id, similarity FROM signatures ORDER BY 1",
        "groups": "SELECT group_id, first_seen FROM reprint_groups ORDER BY 1",
        "mentions": "SELECT doc_id, company_id, content_hash, spans::text FROM mentions ORDER BY 1, 2",
    }
    with database.connect() as connection:
        return {name: [tuple(row) for row in connection.execute(text(sql))] for name, sql in statements.items()}


def clear(database: Engine) -> None:
    with database.begin() as connection:
        connection.execute(
            text("TRUNCATE documents, reprint_groups, ledger, media, staged_articles, procrastinate_jobs CASCADE")
        )


def test_any_order_gives_the_same_tables(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt], company: Callable[..., int]
) -> None:
    company("苹果公司", ["苹果"])
    story = article_text(1, 16)
    shorter = "\n".join(story.split("\n")[:10])
    later = (FETCHED + timedelta(hours=5)).isoformat()
    batches = {
        "01A": [raw(1, page("苹果的消息", story)), raw(2, page("别的消息", article_text(2)))],
        "01B": [raw(3, page("苹果消息转载", "转载。" + shorter)), raw(4, page("苹果的消息", story))],
        # The first page again, unchanged; another one with a new text that is a reprint of its own.
        "01C": [
            raw(1, page("苹果的消息", story), fetched_at=later),
            raw(2, page("别的消息", article_text(2) + "\n更新：苹果回应。"), fetched_at=later),
        ],
        "01D": [raw(5, page("短讯", shorter), fetched_at=(FETCHED - timedelta(hours=1)).isoformat())],
    }
    found = []
    for order in itertools.islice(itertools.permutations(batches), 0, None, 5):
        clear(database)
        for name in order:
            publish(database, settings, [stage_batch(name, batches[name])])
        found.append(snapshot(database))
    clear(database)
    publish(database, settings, [stage_batch(name, records) for name, records in batches.items()])
    found.append(snapshot(database))
    assert all(other == found[0] for other in found[1:])
    groups = {row[3] for row in found[0]["documents"]}
    assert (len(found[0]["documents"]), len(groups), len(found[0]["versions"])) == (5, 2, 1)
    assert {row[2] for row in found[0]["documents"]} == {1, 2}


def test_a_reprint_joins_its_group_within_the_window_only(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt]
) -> None:
    story = article_text(1, 16)
    moments = {
        1: FETCHED,
        2: FETCHED + timedelta(days=80),
        3: FETCHED + timedelta(days=160),
        4: FETCHED + timedelta(days=300),
    }
    found = []
    for order in ((1, 2, 3, 4), (4, 2, 3, 1)):
        clear(database)
        for number in order:
            record = raw(number, page(f"第{number}篇", story), fetched_at=moments[number].isoformat())
            publish(database, settings, [stage_batch(f"01{number}", [record])])
        with database.connect() as connection:
            rows = connection.execute(
                text("SELECT d.title, g.title FROM documents d JOIN documents g ON g.doc_id = d.group_id ORDER BY 1")
            )
            found.append(dict(map(tuple, rows)))
    assert found[0] == found[1] == {"第1篇": "第1篇", "第2篇": "第1篇", "第3篇": "第1篇", "第4篇": "第4篇"}


def test_a_page_that_did_not_change_is_not_analysed_again(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt], company: Callable[..., int]
) -> None:
    company("苹果公司", ["苹果"])
    text_of = article_text(1) + "\n苹果发布公告。"
    publish(database, settings, [stage_batch("01A", [raw(1, page("公告", text_of))])])
    later = (FETCHED + timedelta(days=1)).isoformat()
    counts = publish(database, settings, [stage_batch("01B", [raw(1, page("公告", text_of), fetched_at=later)])])
    assert [(count.new, count.changed) for count in counts.values()] == [(0, 0)]
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM procrastinate_jobs")).scalar_one() == 1
    counts = publish(
        database,
        settings,
        [stage_batch("01C", [raw(1, page("苹果公司更正", text_of), fetched_at=later.replace("T08", "T09"))])],
    )
    assert [(count.new, count.changed) for count in counts.values()] == [(0, 1)]
    with database.connect() as connection:
        priorities = connection.execute(text("SELECT priority FROM procrastinate_jobs ORDER BY id")).scalars().all()
    assert priorities == [0, 1]  # now it has a watched company in its title


def test_recordings_that_come_later_or_are_known(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt], company: Callable[..., int]
) -> None:
    company("苹果公司", ["苹果"])
    missing = {"url": "https://news.example.com/a.mp3", "error": "HTTP 503"}
    found = {"url": missing["url"], "sha256": "a" * 64, "s3_key": "media/aa/a.mp3", "content_type": "audio/mpeg"}
    bulletin = page("苹果早报", article_text(1) + "\n苹果发布公告。")

    def jobs() -> list[tuple[str, str]]:
        statement = (
            "SELECT task_name, args ->> 'media_sha256' FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id"
        )
        with database.begin() as connection:
            waiting = [tuple(row) for row in connection.execute(text(statement))]
            connection.execute(text("UPDATE procrastinate_jobs SET status = 'succeeded'"))
            return waiting  # type: ignore[return-value]

    publish(database, settings, [stage_batch("01A", [raw(1, bulletin, media=[missing])])])
    assert jobs() == [("analyze", None)]
    before = snapshot(database)
    # The crawler writes the page's record again once it has the recording.
    (counts,) = publish(database, settings, [stage_batch("01B", [raw(1, bulletin, media=[found])])]).values()
    assert (counts.new, counts.changed) == (0, 0)
    assert jobs() == [("transcribe", "a" * 64)]
    assert snapshot(database) == before
    # The same recording again, on the same page and on another one, which wants a transcript of its own.
    publish(database, settings, [stage_batch("01C", [raw(1, bulletin, media=[found])])])
    assert jobs() == []
    publish(database, settings, [stage_batch("01D", [raw(2, page("晚报", article_text(2)), media=[found])])])
    assert jobs() == [("transcribe", "a" * 64)]
    # The transcript carries the recording, too, and must not bring itself about again.
    spoken = raw(1, article_text(3), kind="transcript", content_type="text/plain", title="早间", media=[found])
    publish(database, settings, [stage_batch("01E", [spoken])])
    assert jobs() == []


def test_only_committed_attempts_count(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt]
) -> None:
    records = [raw(1, page("甲", article_text(1))), raw(2, page("乙", article_text(2)))]
    stage_batch("01A", records[:1], attempt=7)
    receipt = stage_batch("01A", records, attempt=8)
    (counts,) = publish(database, settings, [receipt]).values()
    assert (counts.cleaned, counts.new) == (2, 2)
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM staged_articles")).scalar_one() == 0


def test_two_drivers_at_once(settings: Settings, database: Engine, stage_batch: Callable[..., Receipt]) -> None:
    records = [raw(number, page(f"第{number}条", article_text(number % 3))) for number in range(1, 7)]
    publish(database, settings, [stage_batch("01A", records)])
    alone = snapshot(database)
    clear(database)
    runs = {run: [stage_batch("01A", records, run_id=run)] for run in ("one", "two")}
    with ThreadPoolExecutor(2) as pool:
        counts = list(pool.map(lambda run: publish(database, settings, runs[run], run), runs))
    assert sorted(len(count) for count in counts) == [0, 1]
    assert snapshot(database) == alone


def test_lost_staging_rows_are_noticed(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt]
) -> None:
    receipt = stage_batch("01A", [raw(1, page("甲", article_text(1)))])
    with database.begin() as connection:
        connection.execute(text("TRUNCATE staged_articles"))
    with pytest.raises(StagingLost, match="1 documents were staged and 0 are there"):
        publish(database, settings, [receipt])
    assert snapshot(database)["documents"] == []


def test_a_company_added_during_a_run_is_found_in_its_documents(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt], company: Callable[..., int]
) -> None:
    company("苹果公司", ["苹果"])
    with database.connect() as connection:
        matched = watchlist.from_database(connection)
    receipt = stage_batch("01A", [raw(1, page("苹果园地铁站", article_text(1) + "苹果园与苹果。"))])
    added = company("苹果园", [])
    with database.begin() as connection:
        counts = merge(connection, RUN, [receipt], now(), settings.cleaning, matched)
        # Whoever adds another one now waits, and then finds the documents.
        with database.connect() as other, pytest.raises(OperationalError, match="lock timeout"):
            other.execute(text("SET lock_timeout = '100ms'"))
            other.execute(text("UPDATE companies SET aliases = '{}'"))
        found = connection.execute(
            text("SELECT company_id, jsonb_array_length(spans) FROM mentions ORDER BY relevance DESC")
        ).all()
    assert [tuple(row) for row in found] == [(added, 2), (added - 1, 1)]
    assert counts[receipt.batch].mentions == 2


def test_rows_staged_for_a_batch_that_another_driver_settled_are_removed(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt]
) -> None:
    records = [raw(1, page("一条消息", article_text(1)))]
    first, second = stage_batch("01A", records), stage_batch("01A", records, run_id="01RIVAL")
    assert len(publish(database, settings, [first])) == 1
    late = stage_batch("01A", records, run_id="01LATE")
    for receipt, run_id in ((second, "01RIVAL"), (late, "01LATE")):
        assert publish(database, settings, [receipt], run_id) == {}
    with database.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM staged_articles")).scalar_one() == 0


def test_a_merge_leaves_what_the_run_has_staged_for_its_next_round(
    settings: Settings, database: Engine, stage_batch: Callable[..., Receipt]
) -> None:
    first, second = (stage_batch(f"01{n}", [raw(n, page(f"消息{n}", article_text(n)))]) for n in range(2))
    stage_batch("010", [raw(0, page("消息0", article_text(0)))], attempt=7)  # one that Spark did not commit
    publish(database, settings, [first])
    with database.connect() as connection:
        staged = connection.execute(text("SELECT DISTINCT batch_key FROM staged_articles")).scalars().all()
    assert staged == [second.batch]
    assert publish(database, settings, [second])[second.batch].new == 1
