"""The whole job on real S3, PostgreSQL and Spark."""

import io
import time
from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq
import pytest
from pyspark.sql import SparkSession
from sqlalchemy import Engine, text

from cleaning.java import JavaMissing
from cleaning.job import CleaningFailed, call_after, clean_pending, in_rounds
from cleaning.spark import spark_session, stop_session
from tests.cleaning.conftest import WriteBatch, article_text, page, raw
from yuqing import quarantine
from yuqing.arrow_schemas import ARTICLE
from yuqing.objects import ObjectInfo, ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service


def rows(database: Engine, statement: str) -> list[tuple[object, ...]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text(statement))]


@pytest.mark.parametrize("where", ["on_spark", "settings"])
def test_pages_become_documents(
    where: str,
    request: pytest.FixtureRequest,
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
) -> None:
    settings = request.getfixturevalue(where)
    apple = company("苹果公司", ["苹果"], ["苹果树"])
    first = article_text(1) + "\n苹果股价上涨，苹果树没有。"
    reprint = "据每日财经网消息，" + first
    recording = {
        "url": "https://news.example.com/a.mp3",
        "sha256": "a" * 64,
        "s3_key": "media/aa/a.mp3",
        "content_type": "audio/mpeg",
        "bytes": 10,
    }
    write_batch(
        "01A",
        [
            raw(
                1, page("苹果发布新品", first).replace("<p>", "<p><img src='/a.jpg' alt='新品'>", 1), media=[recording]
            ),
            raw(2, page("另一则消息", article_text(2))),
            b"{broken",
            raw(3, "<html><body></body></html>"),
            raw(4, page("找不到", article_text(4)), http_status=404),
        ],
    )
    write_batch("01B", [raw(5, page("苹果新品发布", reprint)), raw(6, page("第三则", article_text(6)))])
    summary = clean_pending(settings)
    assert vars(summary) == {
        "batches": 2,
        "failed_batches": 0,
        "cleaned": 4,
        "quarantined": 3,
        "masked": 0,
        "new": 4,
        "changed": 0,
        "duplicates": 1,
        "mentions": 2,
        "reprint_groups": 1,
        "crawl_runs": 0,
    }
    image = {"url": "https://news.example.com/a.jpg", "alt": "新品"}
    assert rows(database, "SELECT images FROM documents ORDER BY fetched_at LIMIT 2") == [([image],), ([],)]
    documents = rows(
        database, "SELECT title, text, doc_id, group_id, source, author FROM documents ORDER BY fetched_at"
    )
    assert [row[0] for row in documents] == ["苹果发布新品", "另一则消息", "苹果新品发布", "第三则"]
    assert documents[0][1] == first
    assert documents[0][4:] == ("每日财经网", "李明")
    assert documents[2][3] == documents[0][2] != documents[2][2]
    assert documents[1][3] == documents[1][2]
    (published,) = rows(
        database, "SELECT to_char(published_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') FROM documents LIMIT 1"
    )
    assert published == ("2024-05-31 07:20",)
    mentions = rows(database, "SELECT company_id, jsonb_array_length(spans) FROM mentions")
    assert mentions == [(apple, 2), (apple, 2)]
    jobs = rows(database, "SELECT task_name, count(*) FROM procrastinate_jobs GROUP BY 1 ORDER BY 1")
    assert jobs == [("analyze", 2), ("transcribe", 1)]
    assert rows(database, "SELECT sha256, s3_key FROM media") == [("a" * 64, "media/aa/a.mp3")]
    assert rows(database, "SELECT count(*) FROM staged_articles") == [(0,)]
    assert rows(database, "SELECT count(*) FROM documents WHERE search @@ '''苹果'' & ''股价'''::tsquery") == [(2,)]

    table = pq.read_table(io.BytesIO(store.get("clean/dt=2024-06-01/01A.parquet")))
    assert table.schema.equals(ARTICLE)
    assert table.column("title").to_pylist() == ["苹果发布新品", "另一则消息"]
    assert table.column("images").to_pylist() == [[image], []]
    rejected = quarantine.read(store, "quarantine/cleaning/dt=2024-06-01/01A.jsonl.gz")
    assert [record["line"] for record in rejected] == [3, 4, 5]
    assert ["not JSON" in rejected[0]["reason"], rejected[1]["reason"], rejected[2]["reason"]] == [
        True,
        "no main text was found",
        "the server answered 404",
    ]
    assert vars(clean_pending(settings)) == {**dict.fromkeys(vars(summary), 0), "reprint_groups": 1}

    # A recording that the crawler could not get with its page: the page's record comes again when it is there.
    late = {**recording, "url": "https://news.example.com/b.mp3", "sha256": "b" * 64, "s3_key": "media/bb/b.mp3"}
    body = page("另一则消息", article_text(2)).replace("<p>", "<p><img src='/b.jpg'>", 1)
    write_batch("01C", [raw(2, body, media=[late], fetched_at="2024-06-01T12:00:00Z")])
    again = clean_pending(settings)
    assert (again.cleaned, again.new, again.changed) == (1, 0, 0)
    image = {"url": "https://news.example.com/b.jpg", "alt": ""}
    assert rows(database, "SELECT images FROM documents ORDER BY first_seen OFFSET 1 LIMIT 1") == [([image],)]
    assert rows(database, "SELECT sha256 FROM media ORDER BY 1") == [("a" * 64,), ("b" * 64,)]
    waiting = rows(database, "SELECT task_name, count(*) FROM procrastinate_jobs GROUP BY 1 ORDER BY 1")
    assert waiting == [("analyze", 2), ("transcribe", 2)]
    assert rows(database, "SELECT count(*) FROM document_versions") == [(0,)]


def test_a_transcript_passes_the_same_steps_and_keeps_its_times(
    settings: Settings,
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
) -> None:
    apple = company("苹果公司", ["苹果"])
    said = [
        (0.0, 2.5, " 各位觀眾晚上好，歡迎收聽。 "),
        (2.5, 2.9, "\u200b"),
        (3.0, 6.25, "今天我們來看蘋果公司的財報，"),
        (6.25, 9.0, "聽眾熱線是１３８１２３４５６７８，"),
        (9.0, 15.5, article_text(1, 4).replace("\n", "")),
    ]
    sound = {"url": "https://e.com/a.mp3", "sha256": "a" * 64, "s3_key": "media/aa/a.mp3", "content_type": "audio/mpeg"}
    segments = [{"start": start, "end": end, "text": words} for start, end, words in said]
    fields = {
        "kind": "transcript",
        "title": "晚間新聞",
        "segments": segments,
        "media": [sound],
        "content_type": "text/plain",
    }
    page_of_it = raw(1, page("晚间新闻", article_text(2)), media=[sound])
    write_batch(
        "01A",
        [
            page_of_it,
            raw(1, "".join(words for _, _, words in said), **fields, parent_url="https://news.example.com/1.html"),
            raw(2, "", kind="transcript", title="无声", media=[{**sound, "sha256": "b" * 64}]),
        ],
    )
    summary = clean_pending(settings)
    assert (summary.cleaned, summary.quarantined, summary.masked) == (2, 1, 1)
    (row,) = rows(
        database, "SELECT title, text, segments, parent_url, version, images FROM documents WHERE kind = 'transcript'"
    )
    title, words, spans = row[:3]
    assert (title, row[3:]) == ("晚间新闻", ("https://news.example.com/1.html", 1, []))
    assert isinstance(words, str)
    assert isinstance(spans, list)
    assert [(words[span["start"] : span["end"]], span["start_s"], span["end_s"]) for span in spans] == [
        ("各位观众晚上好，欢迎收听。", 0.0, 2.5),
        ("今天我们来看苹果公司的财报，", 3.0, 6.25),
        ("听众热线是138****5678，", 6.25, 9.0),
        (article_text(1, 4).replace("\n", ""), 9.0, 15.5),
    ]
    (mention,) = rows(database, "SELECT company_id, spans FROM mentions")
    assert mention[0] == apple
    table = pq.read_table(io.BytesIO(store.get("clean/dt=2024-06-01/01A.parquet")))
    assert table.filter(pa.compute.equal(table.column("kind"), "transcript")).column("segments").to_pylist() == [spans]
    # The page wants a transcript; the transcript itself, which names the same recording, does not.
    jobs = rows(
        database, "SELECT task_name, args->>'media_sha256' FROM procrastinate_jobs WHERE task_name = 'transcribe'"
    )
    assert jobs == [("transcribe", "a" * 64)]


def test_rounds_that_overlap_bring_what_one_after_the_other_brings(
    on_spark: Settings, settings: Settings, database: Engine, write_batch: WriteBatch
) -> None:
    for batch in range(5):
        numbers = range(batch * 4, batch * 4 + 4)
        write_batch(f"01{batch}", [raw(number, page(f"消息{number}", article_text(number % 7))) for number in numbers])
    found = []
    for place in (settings, on_spark):
        # And the driver leaves all of them to Spark; terms are indexed beside the merges.
        tuning = place.cleaning.model_copy(update={"batches_a_round": 1, "index_every": 1})
        summary = vars(clean_pending(place.model_copy(update={"cleaning": tuning})))
        tables = [
            rows(database, "SELECT batch_key, counts::text FROM ledger ORDER BY 1"),
            rows(database, "SELECT doc_id, group_id, batch_key FROM documents ORDER BY 1"),
        ]
        found.append((summary, tables))
        with database.begin() as connection:
            connection.execute(text("TRUNCATE documents, reprint_groups, ledger, procrastinate_jobs CASCADE"))
    assert found[0] == found[1]
    assert found[0][0]["duplicates"] == 20 - 7


def test_the_driver_cleans_while_spark_starts_and_what_it_did_stays(
    on_spark: Settings, store: ObjectStore, database: Engine, write_batch: WriteBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = [write_batch(f"01{n}", [raw(n, page(f"消息{n}", article_text(n % 3)))]) for n in range(6)]
    largest = max(item.size for item in store.list("raw/"))
    changes = {"bytes_a_round": largest, "batches_a_plan": 2}  # and several plans
    hurried = on_spark.model_copy(update={"cleaning": on_spark.cleaning.model_copy(update=changes)})
    settled = "SELECT batch_key FROM ledger ORDER BY 1"

    def after(batches: int, then: Callable[[Settings], SparkSession]) -> Callable[[Settings], SparkSession]:
        def start(settings: Settings) -> SparkSession:
            deadline = time.monotonic() + 60
            while len(rows(database, settled)) < batches and time.monotonic() < deadline:
                time.sleep(0.01)
            return then(settings)

        return start

    def no_java(_: Settings) -> SparkSession:
        raise JavaMissing("there is no Java")

    large = hurried.model_copy(update={"cleaning": hurried.cleaning.model_copy(update={"bytes_a_round": 1})})
    monkeypatch.setattr("cleaning.spark.spark_session", no_java)
    with pytest.raises(JavaMissing):
        clean_pending(large)
    assert rows(database, settled) == [], "batches larger than a round are Spark's"
    monkeypatch.setattr("cleaning.spark.spark_session", after(2, no_java))
    with pytest.raises(JavaMissing):
        clean_pending(hurried)
    by_driver = [key for (key,) in rows(database, settled)]
    assert by_driver == keys[: len(by_driver)]
    assert 2 <= len(by_driver) < 6

    monkeypatch.setattr("cleaning.spark.spark_session", after(len(by_driver) + 1, spark_session))
    rounds: list[int] = []
    summary = clean_pending(hurried, after=rounds.append)
    assert [key for (key,) in rows(database, settled)] == keys
    assert (summary.new, sum(rounds)) == (6 - len(by_driver), 6 - len(by_driver))
    roots = rows(database, "SELECT group_id, count(*) FROM documents GROUP BY 1")
    assert sorted(count for _, count in roots) == [2, 2, 2]


def test_spark_may_end_while_the_last_rounds_are_merged(
    on_spark: Settings, database: Engine, write_batch: WriteBatch
) -> None:
    def write(batches: range) -> None:
        for number in batches:
            write_batch(f"01{number}", [raw(number, page(f"消息{number}", article_text(number)))])

    one_by_one = on_spark.cleaning.model_copy(update={"batches_a_round": 1, "bytes_a_round": 1})
    hurried = on_spark.model_copy(update={"cleaning": one_by_one})
    settled_by_then: list[int] = []

    def end() -> None:
        settled_by_then.append(len(rows(database, "SELECT batch_key FROM ledger")))
        stop_session()

    write(range(4))
    assert clean_pending(hurried, cleaned=end).new == 4
    assert len(settled_by_then) == 1

    def fail(_: int) -> None:
        raise CleaningFailed("a merge that fails when Spark has ended")

    write(range(4, 6))
    with pytest.raises(CleaningFailed, match="when Spark has ended"):
        clean_pending(hurried, cleaned=end, after=fail)
    assert clean_pending(hurried, cleaned=end).new == 1, "a new session cleans what was left"
    assert [count for (count,) in rows(database, "SELECT count(*) FROM documents")] == [6]


def test_a_round_that_failed_ends_nothing() -> None:
    fine, failed = Future[Any](), Future[Any]()
    fine.set_result(None)
    failed.set_exception(CleaningFailed("gone"))
    called: list[bool] = []
    call_after((fine, failed), lambda: called.append(True))
    assert not called
    call_after((fine,), lambda: called.append(True))
    assert called


def test_a_round_is_full_by_its_batches_or_by_their_bytes() -> None:
    moment = datetime(2024, 6, 1, tzinfo=UTC)
    pending = [ObjectInfo(str(number), size, moment) for number, size in enumerate((1, 9, 1, 1, 1, 30, 2))]
    assert list(in_rounds(pending, 3, 10)) == [["0", "1"], ["2", "3", "4"], ["5"], ["6"]]
    assert list(in_rounds([], 3, 10)) == []


def test_the_last_rounds_are_ever_smaller() -> None:
    moment = datetime(2024, 6, 1, tzinfo=UTC)
    pending = [ObjectInfo(str(number), 2, moment) for number in range(16)]
    assert list(map(len, in_rounds(pending, 9, 10, tapered=True))) == [5, 5, 3, 2, 1]
    assert list(map(len, in_rounds(pending, 9, 10))) == [5, 5, 5, 1]
    assert list(in_rounds([], 3, 10, tapered=True)) == []
