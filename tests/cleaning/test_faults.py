"""What goes wrong: broken batches, services that are away, kill -9 in the middle."""

import contextlib
import hashlib
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest
from sqlalchemy import Engine, text

from cleaning.job import clean_pending
from tests.cleaning.conftest import WriteBatch, article_text, page, raw
from yuqing import quarantine
from yuqing.database.session import DatabaseAway
from yuqing.objects import ObjectStore, ObjectStoreAway
from yuqing.settings import Settings, load_settings

pytestmark = pytest.mark.service


def write_batches(write_batch: WriteBatch, batches: int) -> None:
    for batch in range(batches):
        numbers = range(batch * 5, batch * 5 + 5)
        records: list[Any] = [raw(n, page(f"苹果消息{n}", article_text(n % 17))) for n in numbers]
        write_batch(f"01{batch:03}", [*records, b"{broken"])


def snapshot(database: Engine, store: ObjectStore) -> dict[str, Any]:
    """Keys, counts and content hashes: what a run must leave behind however often it was killed."""
    statements = {
        "documents": "SELECT doc_id, content_hash, version, group_id, batch_key, first_seen FROM documents ORDER BY 1",
        "signatures": "SELECT doc_id, parent_id, similarity FROM signatures ORDER BY 1",
        "mentions": "SELECT doc_id, company_id, spans::text FROM mentions ORDER BY 1, 2",
        "ledger": "SELECT stage, batch_key, state, counts::text, error FROM ledger ORDER BY 1, 2",
        "jobs": "SELECT task_name, args::text FROM procrastinate_jobs ORDER BY 1, 2",
        "staged": "SELECT count(*) FROM staged_articles",
    }
    with database.connect() as connection:
        tables = {name: [tuple(row) for row in connection.execute(text(sql))] for name, sql in statements.items()}
    objects = {
        item.key: hashlib.sha256(store.get(item.key)).hexdigest()
        for prefix in ("clean/", "quarantine/")
        for item in store.list(prefix)
    }
    return {**tables, "objects": objects}


def forget(database: Engine, store: ObjectStore) -> None:
    """Back to the state before the first run; the raw batches stay."""
    with database.begin() as connection:
        connection.execute(
            text("TRUNCATE documents, reprint_groups, ledger, media, staged_articles, procrastinate_jobs CASCADE")
        )
    for prefix in ("clean/", "quarantine/"):
        for item in list(store.list(prefix)):
            store.delete(item.key)


def start(environment: dict[str, str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "yuqing", "clean", "--json"]
    return subprocess.Popen(command, env={**os.environ, **environment}, stdout=subprocess.PIPE, start_new_session=True)


def kill_when(process: subprocess.Popen[bytes], condition: Callable[[], bool]) -> None:
    """kill -9 of the driver as soon as the condition holds; its Java and Python children end by themselves."""
    deadline = time.monotonic() + 240
    while process.poll() is None and not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(30)


def count(database: Engine, table: str) -> int:
    with database.connect() as connection:
        return int(connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@pytest.mark.parametrize("spark_from_bytes", [0, 2**30])
def test_kill_in_the_middle_changes_nothing(
    settings: Settings,
    environment: dict[str, str],
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
    spark_from_bytes: int,
) -> None:
    company("苹果公司", ["苹果"])
    write_batches(write_batch, 8)
    clean_pending(settings)  # without Spark: the same keys, counts and hashes as with it
    undisturbed = snapshot(database, store)
    assert len(undisturbed["documents"]) == 40
    forget(database, store)

    environment = {**environment, "YUQING_CLEANING__SPARK_FROM_BYTES": str(spark_from_bytes)}
    process = start(environment)
    kill_when(process, lambda: count(database, "staged_articles") > 0)
    assert process.returncode == -signal.SIGKILL
    assert count(database, "ledger") == 0  # it was in the middle
    assert start(environment).wait(240) == 0
    assert snapshot(database, store) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("spark_from_bytes", [0, 2**30])
def test_kill_at_any_time_changes_nothing(
    environment: dict[str, str],
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
    spark_from_bytes: int,
) -> None:
    company("苹果公司", ["苹果"])
    write_batches(write_batch, 8)
    # Small rounds, so that kills fall between merges too; while Spark starts, the driver cleans what leaves one to Spark.
    largest = max(item.size for item in store.list("raw/"))
    environment = {
        **environment,
        "YUQING_CLEANING__BATCHES_A_ROUND": "2",
        "YUQING_CLEANING__BYTES_A_ROUND": str(2 * largest),
        "YUQING_CLEANING__INDEX_EVERY": "5",
        "YUQING_CLEANING__SPARK_FROM_BYTES": str(spark_from_bytes),
    }
    started = time.monotonic()
    process = start(environment)
    assert process.wait(240) == 0
    takes = time.monotonic() - started
    undisturbed = snapshot(database, store)
    forget(database, store)
    generator = random.Random(7)
    for _ in range(6):
        process = start(environment)
        moment = time.monotonic() + generator.uniform(0.2, 1) * takes
        kill_when(process, lambda moment=moment: time.monotonic() > moment)  # type: ignore[misc]
    process = start(environment)
    assert process.wait(240) == 0
    assert snapshot(database, store) == undisturbed


@pytest.mark.slow
@pytest.mark.parametrize("spark_from_bytes", [0, 2**30])
def test_two_drivers_on_the_same_batches_change_nothing(
    environment: dict[str, str],
    store: ObjectStore,
    database: Engine,
    write_batch: WriteBatch,
    company: Callable[..., int],
    spark_from_bytes: int,
) -> None:
    company("苹果公司", ["苹果"])
    write_batches(write_batch, 8)
    environment = {**environment, "YUQING_CLEANING__SPARK_FROM_BYTES": str(spark_from_bytes)}
    assert start(environment).wait(240) == 0
    undisturbed = snapshot(database, store)
    forget(database, store)
    rivals = [start({**environment, "YUQING_CLEANING__BATCHES_A_ROUND": rounds}) for rounds in ("3", "200")]
    answers = [json.loads(rival.communicate(timeout=300)[0]) for rival in rivals]
    assert [rival.returncode for rival in rivals] == [0, 0]
    assert sum(answer["new"] for answer in answers) == len(undisturbed["documents"])
    assert snapshot(database, store) == undisturbed


def test_broken_batches_are_settled_with_their_reason(
    settings: Settings, store: ObjectStore, database: Engine, write_batch: WriteBatch
) -> None:
    good = write_batch("01A", [raw(1, page("好的消息", article_text(1)))])
    whole = store.get(write_batch("01B", [raw(n, page(f"第{n}条", article_text(n))) for n in range(2, 60)]))
    truncated = write_batch("01B", [], data=whole[: len(whole) // 2])
    no_gzip = write_batch("01C", [], data=b"this is not gzip")
    empty = write_batch("01D", [])
    summary = clean_pending(settings)
    assert (summary.batches, summary.failed_batches) == (4, 2)
    with database.connect() as connection:
        ledger = {row.batch_key: row for row in connection.execute(text("SELECT * FROM ledger"))}
    assert {key: row.state for key, row in ledger.items()} == {
        good: "done",
        truncated: "failed",
        no_gzip: "failed",
        empty: "done",
    }
    assert "breaks off after line" in ledger[truncated].error
    assert ledger[truncated].counts["cleaned"] > 0  # what could be read is kept
    assert "breaks off after line 0" in ledger[no_gzip].error
    (record,) = quarantine.read(store, "quarantine/cleaning/dt=2024-06-01/01C.jsonl.gz")
    assert record["reason"] == ledger[no_gzip].error
    assert clean_pending(settings).batches == 0


def test_a_batch_that_vanishes_is_settled(
    settings: Settings, store: ObjectStore, database: Engine, write_batch: WriteBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = write_batch("01A", [raw(1, page("好的消息", article_text(1)))])
    pending = list(store.list("raw/"))
    store.delete(gone)
    monkeypatch.setattr("cleaning.job.ledger.pending_batches", lambda *_: pending)
    assert clean_pending(settings).failed_batches == 1
    with database.connect() as connection:
        error = connection.execute(text("SELECT error FROM ledger")).scalar_one()
    assert "the batch is gone" in error


def test_services_that_are_away_give_one_error(environment: dict[str, str], settings: Settings) -> None:
    s3 = settings.s3.model_copy(update={"endpoint": "http://127.0.0.1:9", "attempts": 1})
    with pytest.raises(ObjectStoreAway, match="does not answer"):
        clean_pending(settings.model_copy(update={"s3": s3}))
    away = load_settings(database={"url": "postgresql://nobody:x@127.0.0.1:9/none"})
    with pytest.raises(DatabaseAway, match="does not answer"):
        clean_pending(away)


def test_the_command_prints_one_json_object(
    environment: dict[str, str], settings: Settings, store: ObjectStore
) -> None:
    store.ensure_bucket()
    process = start(environment)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert json.loads(output)["batches"] == 0


def test_every_kind_of_bad_record_is_kept_with_its_reason(
    settings: Settings, store: ObjectStore, database: Engine, write_batch: WriteBatch
) -> None:
    """A line of 100 MB, bytes that are no UTF-8, NUL bytes, deep nesting, empty bodies, an older and a newer schema."""
    body = page("标题", article_text(1))
    older = {**raw(7, page("旧格式", article_text(7))), "schema_version": 1}
    for name in ("kind", "media", "parent_url", "depth", "segments"):
        older.pop(name, None)
    batch = write_batch(
        "01A",
        [
            b'{"body": "' + b"x" * 100_000_000 + b'"}',
            json.dumps(raw(2, body), ensure_ascii=False).encode().replace("标题".encode(), b"\xff\xfe"),
            raw(3, body, url="https://news.example.com/\x00"),
            b"\x00" * 50,
            raw(5, ""),
            raw(6, "<div>" * 10_000 + article_text(6) + "</div>" * 10_000),
            older,
            raw(8, body, schema_version=99),
            raw(9, page("好的消息", article_text(9))),
        ],
    )
    summary = clean_pending(settings)
    assert summary.failed_batches == 0
    assert summary.cleaned + summary.quarantined == 9
    rejected = quarantine.read(store, "quarantine/cleaning/dt=2024-06-01/01A.jsonl.gz")
    reasons = {record["line"]: record["reason"] for record in rejected}
    assert {1, 2, 3, 4, 5, 8} <= set(reasons) <= {1, 2, 3, 4, 5, 6, 8}
    assert "longer than" in reasons[1] and len(rejected[0]["record"]) < 2000
    assert "not JSON" in reasons[2] and "NUL" in reasons[3] and "not JSON" in reasons[4]
    assert "empty" in reasons[5] and "schema_version 99" in reasons[8]
    assert {record["batch"] for record in rejected} == {batch}
    with database.connect() as connection:
        titles = set(connection.execute(text("SELECT title FROM documents")).scalars())
    assert {"旧格式", "好的消息"} <= titles


class Faulty(ThreadingHTTPServer):
    """Passes requests on to an S3, and answers 503 to those that carry or ask for an object: to the first ones, or until a time."""

    def __init__(self, target: str, *, refusals: int = 0, until: float = 0) -> None:
        super().__init__(("127.0.0.1", 0), FaultyRequest)
        self.target, self.refusals, self.until = target, refusals, until
        self.asked = 0

    def refuses(self) -> bool:
        """Whether a request for an object is refused now."""
        self.asked += 1
        return self.asked <= self.refusals or time.monotonic() < self.until


class FaultyRequest(BaseHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Silence: the test's output is not the place."""

    def _pass_on(self) -> None:
        server = self.server
        assert isinstance(server, Faulty)
        data = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if ("jsonl.gz" in self.path or "parquet" in self.path) and server.refuses():
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        # The Host header stays: the request's signature covers it.
        headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
        answer = httpx.request(self.command, server.target + self.path, headers=headers, content=data, timeout=60)
        self.send_response(answer.status_code)
        for name, value in answer.headers.items():
            if name.lower() not in ("connection", "transfer-encoding", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(answer.content)))
        self.end_headers()
        self.wfile.write(answer.content)

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass_on  # noqa: N815


@pytest.fixture
def faulty(settings: Settings) -> Iterator[Faulty]:
    """An S3 that is overloaded at first."""
    server = Faulty(settings.s3.endpoint or "", refusals=3)
    Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_an_s3_that_answers_503_is_waited_for_or_leaves_the_batches_pending(
    settings: Settings, database: Engine, store: ObjectStore, write_batch: WriteBatch, faulty: Faulty
) -> None:
    write_batches(write_batch, 2)
    address = f"http://127.0.0.1:{faulty.server_port}"
    impatient = settings.s3.model_copy(update={"endpoint": address, "attempts": 1})
    with pytest.raises(ObjectStoreAway, match="503"):
        clean_pending(settings.model_copy(update={"s3": impatient}))
    assert count(database, "ledger") == count(database, "documents") == 0
    patient = settings.s3.model_copy(update={"endpoint": address})
    faulty.refusals += 1
    assert clean_pending(settings.model_copy(update={"s3": patient})).new == 10
    assert faulty.asked > faulty.refusals


@pytest.mark.slow
def test_an_s3_that_answers_503_for_a_minute(
    settings: Settings, database: Engine, store: ObjectStore, write_batch: WriteBatch
) -> None:
    """With few tries the run ends and changes nothing; with many it waits the minute out."""
    write_batches(write_batch, 4)
    clean_pending(settings)
    undisturbed = snapshot(database, store)
    forget(database, store)
    server = Faulty(settings.s3.endpoint or "", until=math.inf)
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        endpoint = {"endpoint": f"http://127.0.0.1:{server.server_port}"}
        impatient = {**endpoint, "attempts": 2}
        with pytest.raises(ObjectStoreAway, match="503"):
            clean_pending(settings.model_copy(update={"s3": settings.s3.model_copy(update=impatient)}))
        assert count(database, "ledger") == count(database, "documents") == 0
        # 20 tries take two minutes and more.
        server.until = time.monotonic() + 60
        patient = {**endpoint, "attempts": 20}
        assert clean_pending(settings.model_copy(update={"s3": settings.s3.model_copy(update=patient)})).new == 20
        assert time.monotonic() > server.until
    finally:
        server.shutdown()
        server.server_close()
    assert snapshot(database, store) == undisturbed


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
@pytest.mark.slow
def test_a_full_disk_changes_nothing(
    settings: Settings,
    environment: dict[str, str],
    database: Engine,
    store: ObjectStore,
    write_batch: WriteBatch,
    tmp_path: Path,
) -> None:
    """Spark gives up, and the batches stay pending, or it needs no disk; never something in between."""
    write_batches(write_batch, 2)
    clean_pending(settings)
    undisturbed = snapshot(database, store)
    forget(database, store)
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", disk], check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        with contextlib.suppress(OSError), (disk / "full").open("wb", buffering=0) as file:
            while file.write(b"x" * 4096):
                pass
        options = json.dumps({"spark.local.dir": str(disk), "spark.sql.warehouse.dir": str(disk / "warehouse")})
        full = {"YUQING_CLEANING__SPARK_FROM_BYTES": "0", "YUQING_CLEANING__SPARK_OPTIONS": options}
        process = start({**environment, **full})
        process.communicate(timeout=400)
        assert count(database, "ledger") == (2 if process.returncode == 0 else 0)
    finally:
        subprocess.run(["umount", disk], check=True)
    clean_pending(settings)
    assert snapshot(database, store) == undisturbed
