"""Deleting by age: only what is old, and never what the ledger or the queue still needs. On real S3 and PostgreSQL."""

import gzip
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from typer.testing import CliRunner

from yuqing import ledger, quarantine, retention, retention_rows
from yuqing.database import session
from yuqing.objects import ObjectStore, ObjectStoreAway
from yuqing.retention_cli import app
from yuqing.settings import RetentionSettings, Settings, SettingsError, get_settings

pytestmark = pytest.mark.service

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
KEEP = RetentionSettings(raw_days=30, quarantine_days=30, media_days=30)


def settle(database: Engine, *keys: str, stage: str = "cleaning", state: Any = "done") -> None:
    with session.transaction(database) as connection:
        for key in keys:
            ledger.record(connection, stage, key, state, {}, NOW)


def keys_of(found: list[retention.Expired], kind: str) -> set[str]:
    (of_kind,) = [item for item in found if item.kind == kind]
    return {item.key for item in of_kind.objects}


def test_raw_batches_go_by_age_and_only_when_they_were_cleaned(database: Engine, store: ObjectStore) -> None:
    names = {
        "old": "raw/a/2026/05/30/01A.jsonl.gz",
        "old and failed": "raw/a/2026/05/01/01B.jsonl.gz",
        "pending": "raw/a/2026/01/01/01C.jsonl.gz",
        "of another stage": "raw/a/2026/01/01/01D.jsonl.gz",
        "ends a day too late": "raw/a/2026/05/31/01E.jsonl.gz",
        "young": "raw/b/2026/06/29/01F.jsonl.gz",
        "none of ours": "raw/a/2026/05/01/notes.txt",
        "no day": "raw/a/2026/02/31/01G.jsonl.gz",
    }
    for key in names.values():
        store.put(key, b"x" * 10)
    settle(database, *(names[name] for name in names if name not in ("pending", "of another stage")))
    settle(database, names["of another stage"], stage="other")
    lines = {day: f"lines/v4/a/2026/{day}/01A.json.gz" for day in ("05/30", "05/31")}
    for key in lines.values():  # what the cleaning keeps of a batch for those that follow
        store.put(key, b"x")
    found = retention.expired(database, store, KEEP, NOW)
    assert keys_of(found, "raw") == {names["old"], names["old and failed"], lines["05/30"]}
    (raw,) = [item for item in found if item.kind == "raw"]
    assert (raw.bytes, raw.needed) == (21, 2)

    retention.delete(store, raw.objects)
    retention.delete(store, raw.objects)  # again, as after a kill
    assert {item.key for item in store.list("raw/")} == set(names.values()) - keys_of(found, "raw")
    # The ledger remembers, so that a copy that comes back is not taken for a new batch.
    store.put(names["old"], b"")
    with session.transaction(database) as connection:
        pending = {item.key for item in ledger.pending_batches(connection, store, "cleaning")}
    assert pending == {names["pending"], names["of another stage"]}
    assert keys_of(retention.expired(database, store, KEEP, NOW), "raw") == {names["old"]}


def test_without_a_number_of_days_nothing_goes(database: Engine, store: ObjectStore) -> None:
    store.put("raw/a/2020/01/01/01A.jsonl.gz", b"")
    settle(database, "raw/a/2020/01/01/01A.jsonl.gz")
    assert retention.expired(database, store, RetentionSettings(), NOW) == []


def test_quarantine_goes_by_its_day(database: Engine, store: ObjectStore) -> None:
    days = {"2026-05-30": True, "2026-05-31": False, "2026-06-29": False}
    keys = {
        quarantine.write(
            store, "cleaning", f"01{day}", [{"reason": "r"}], day=datetime.fromisoformat(day + "T00:00Z")
        ): old
        for day, old in days.items()
    }
    found = retention.expired(database, store, KEEP, NOW)
    assert keys_of(found, "quarantine") == {key for key, old in keys.items() if old}


def _recording(store: ObjectStore, letter: str) -> str:
    sha256 = letter * 64
    store.put(f"media/{sha256[:2]}/{sha256}.mp3", b"sound")
    return sha256


def _page(database: Engine, doc_id: str, fetched_at: datetime, sha256: str) -> None:
    with database.begin() as connection:
        values = {"doc": doc_id, "at": fetched_at, "sha": sha256}
        for statement in (
            "INSERT INTO reprint_groups VALUES (:doc, :at)",
            "INSERT INTO documents (doc_id, content_hash, kind, site, url, canonical_url, title, text, first_seen, fetched_at, "
            "language, group_id, batch_key, cleaning_version, search) VALUES (:doc, 'h', 'page', 'a', 'u', 'u', 't', 't', "
            ":at, :at, 'zh', :doc, 'b', '1', '')",
            "INSERT INTO media VALUES (:sha, 'k', 'audio/mpeg', 5, :at) ON CONFLICT DO NOTHING",
            "INSERT INTO document_media VALUES (:doc, :sha, 'u')",
        ):
            connection.execute(text(statement), values)


def test_a_recording_stays_while_a_page_an_upload_a_job_or_a_pending_batch_needs_it(
    database: Engine, store: ObjectStore, raw_record: Callable[..., dict[str, Any]]
) -> None:
    done, shown_again, waiting, named, orphan, sent = (_recording(store, letter) for letter in "abcdef")
    now = datetime.now(UTC) + timedelta(days=100)  # objects cannot be stored in the past
    long_ago, lately = now - timedelta(days=60), now - timedelta(days=3)
    _page(database, "1", long_ago, done)
    _page(database, "2", long_ago, shown_again)
    _page(database, "3", lately, shown_again)
    _page(database, "4", long_ago, waiting)
    _page(database, "5", long_ago, sent)
    with database.begin() as connection:
        connection.execute(text("INSERT INTO teams (name) VALUES ('t')"))
        values = {"sha": sent, "at": lately}
        connection.execute(
            text("INSERT INTO uploads (team_id, sha256, name, created_at) SELECT id, :sha, '', :at FROM teams"), values
        )
        for sha256, status in ((waiting, "todo"), (done, "succeeded")):
            connection.execute(
                text(
                    "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) "
                    "VALUES ('transcribe', 'transcribe', CAST(:args AS jsonb), CAST(:status AS procrastinate_job_status))"
                ),
                {"args": json.dumps({"media_sha256": sha256}), "status": status},
            )
    media = [{"url": "https://a.example/1.mp3", "sha256": named, "s3_key": f"media/dd/{named}.mp3"}]
    lines = [b"{broken", json.dumps(raw_record(media=media)).encode()]
    store.put("raw/a/2026/06/01/01A.jsonl.gz", gzip.compress(b"\n".join(lines)))
    store.put("raw/a/2026/06/01/01B.jsonl.gz", b"this is not gzip")

    assert keys_of(retention.expired(database, store, KEEP, datetime.now(UTC)), "media") == set()
    found = retention.expired(database, store, KEEP, now)
    assert keys_of(found, "media") == {f"media/{sha256[:2]}/{sha256}.mp3" for sha256 in (done, orphan)}
    assert [item.needed for item in found if item.kind == "media"] == [4]


@pytest.fixture
def raw_record() -> Callable[..., dict[str, Any]]:
    """A raw document of a page."""

    def record(**fields: Any) -> dict[str, Any]:
        page = {"schema_version": 2, "url": "https://a.example/1", "canonical_url": "https://a.example/1", "site": "a"}
        return {
            **page,
            "spider": "site",
            "kind": "page",
            "fetched_at": "2026-06-01T00:00:00Z",
            "http_status": 200,
            "body": "<p>正文</p>",
            "run_id": "01R",
            **fields,
        }

    return record


def test_the_command_shows_first_and_deletes_when_told(
    settings: Settings, database: Engine, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = "raw/a/2020/01/01/01A.jsonl.gz"
    store.put(key, b"12345")
    settle(database, key)
    off = CliRunner().invoke(app, [])
    assert (off.exit_code, "YUQING_RETENTION__RAW_DAYS" in off.output) == (0, True)
    monkeypatch.setenv("YUQING_RETENTION__RAW_DAYS", "29")  # recordings are tried again for 30 days
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match=r"raw_days is 29.*crawler.retry_days"):
        CliRunner().invoke(app, ["--apply"], catch_exceptions=False)
    monkeypatch.setenv("YUQING_RETENTION__RAW_DAYS", "90")
    get_settings.cache_clear()
    shown = CliRunner().invoke(app, [])
    assert "raw: 1 objects" in shown.output
    assert "would be deleted" in shown.output
    assert store.exists(key)
    counts = {"kind": "raw", "days": 90, "objects": 1, "bytes": 5, "still_needed": 0}
    for there, expected in ((True, counts), (False, {**counts, "objects": 0, "bytes": 0})):
        assert store.exists(key) is there
        applied = CliRunner().invoke(app, ["--apply", "--json"])
        assert json.loads(applied.output.splitlines()[-1]) == {"deleted": True, "kinds": [expected]}


def test_a_deletion_that_fails_is_said(settings: Settings, database: Engine, store: ObjectStore) -> None:
    """What was not deleted is found again by the next run."""
    key = "raw/a/2020/01/01/01A.jsonl.gz"
    store.put(key, b"12345")
    settle(database, key)
    (found,) = retention.expired(database, store, RetentionSettings(raw_days=90), NOW)
    away = settings.model_copy(
        update={"s3": settings.s3.model_copy(update={"endpoint": "http://127.0.0.1:9", "attempts": 1})}
    )
    with pytest.raises(ObjectStoreAway):
        retention.delete(ObjectStore.from_settings(away), found.objects)
    (again,) = retention.expired(database, store, RetentionSettings(raw_days=90), NOW)
    assert again == found


def test_windows_of_recordings_go_unless_a_transcription_waits(database: Engine, store: ObjectStore) -> None:
    waiting, left = "a" * 64, "b" * 64
    keys = [f"partial/asr/{sha256}/{'0' * 32}/0000000000.json.gz" for sha256 in (waiting, left)]
    for key in (*keys, "partial/asr/notes.txt"):
        store.put(key, b"window")
    with database.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) "
                "VALUES ('transcribe', 'transcribe', CAST(:args AS jsonb), 'doing')"
            ),
            {"args": json.dumps({"media_sha256": waiting})},
        )
    keep = RetentionSettings(partial_days=7)  # type: ignore[call-arg]
    assert keys_of(retention.expired(database, store, keep, datetime.now(UTC)), "partial") == set()
    (found,) = retention.expired(database, store, keep, datetime.now(UTC) + timedelta(days=8))
    assert ({item.key for item in found.objects}, found.needed) == ({keys[1]}, 1)


def _run(database: Engine, site: str, run_id: str, started: datetime) -> None:
    with database.begin() as connection:
        connection.execute(
            text("INSERT INTO crawl_runs VALUES (:run, :site, :at, :at, '{}')"),
            {"run": run_id, "site": site, "at": started},
        )


def test_reports_go_when_they_are_loaded_and_not_the_newest_of_their_site(database: Engine, store: ObjectStore) -> None:
    old = NOW - timedelta(days=60)
    runs = {"loaded": ("a", "01A"), "newest of its site": ("a", "01B"), "of a site that is silent": ("b", "01A")}
    for site, run_id in runs.values():
        _run(database, site, run_id, old)
    _run(database, "c", "01A", old)
    _run(database, "c", "01C", NOW)
    days = {"loaded": "2026-05-01", "newest of its site": "2026-05-02", "of a site that is silent": "2026-05-01"}
    keys = {name: f"reports/crawl/{site}/{days[name]}/{run_id}.json" for name, (site, run_id) in runs.items()}
    keys |= {
        "not loaded yet": "reports/crawl/a/2026-05-01/01D.json",
        "refused": "reports/crawl/a/2026-05-01/01E.json",
        "another site's": "reports/crawl/c/2026-05-01/01A.json",
        "young": "reports/crawl/c/2026-06-29/01C.json",
        "none of ours": "reports/crawl/readme.txt",
    }
    for key in keys.values():
        store.put(key, b"{}")
    settle(database, keys["refused"], stage="crawl_runs", state="failed")
    keep = RetentionSettings(reports_days=30)  # type: ignore[call-arg]
    (found,) = retention.expired(database, store, keep, NOW)
    assert {item.key for item in found.objects} == {keys[name] for name in ("loaded", "refused", "another site's")}
    assert found.needed == 3
    (rows,) = retention_rows.expired_rows(database, keep, NOW)
    assert (rows.kind, rows.rows) == ("crawl_runs", 2)
    for _ in range(2):  # again, as after a kill
        retention_rows.delete_rows(database, rows)
        with database.connect() as connection:
            left = connection.execute(text("SELECT site, run_id FROM crawl_runs ORDER BY 1")).all()
        assert [tuple(row) for row in left] == [("a", "01B"), ("b", "01A"), ("c", "01C")]
    store.put("reports/screenshots/a/01A/0.png", b"picture")
    (later,) = retention.expired(database, store, keep, datetime.now(UTC) + timedelta(days=31))
    assert "reports/screenshots/a/01A/0.png" in {item.key for item in later.objects}


def test_names_go_by_age_and_documents_stay(
    settings: Settings, database: Engine, store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=400)
    _page(database, "1", long_ago, "a" * 64)
    _page(database, "2", datetime.now(UTC), "a" * 64)
    with database.begin() as connection:
        connection.execute(text("UPDATE documents SET author = '记者 李明'"))
        for at in (long_ago, datetime.now(UTC)):
            connection.execute(
                text(
                    "INSERT INTO audit_log (actor, action, subject, detail, created_at) VALUES ('lin', 'a', 's', '{}', :at)"
                ),
                {"at": at},
            )
    for name in ("AUTHORS", "AUDIT"):
        monkeypatch.setenv(f"YUQING_RETENTION__{name}_DAYS", "365")
    get_settings.cache_clear()
    shown = CliRunner().invoke(app, [], catch_exceptions=False)
    assert "authors: 1 rows older than 365 days would be emptied" in shown.output
    for rows in (1, 0):
        applied = CliRunner().invoke(app, ["--apply", "--json"], catch_exceptions=False)
        assert json.loads(applied.output.splitlines()[-1])["kinds"] == [
            {"kind": "authors", "days": 365, "rows": rows},
            {"kind": "audit", "days": 365, "rows": rows},
        ]
    with database.connect() as connection:
        assert connection.execute(text("SELECT doc_id, author FROM documents ORDER BY 1")).all() == [
            ("1", None),
            ("2", "记者 李明"),
        ]
        assert connection.execute(text("SELECT count(*) FROM audit_log")).scalar_one() == 1
    monkeypatch.setenv("YUQING_RETENTION__REPORTS_DAYS", "13")
    get_settings.cache_clear()
    with pytest.raises(SettingsError, match=r"reports_days is 13.*crawler\.yield_days"):
        CliRunner().invoke(app, [], catch_exceptions=False)
