"""A rehearsal: back up, lose everything, restore, and compare keys, counts and content; and what damages a backup or a restore."""

import contextlib
import hashlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg import conninfo
from sqlalchemy import text

from yuqing import ledger
from yuqing.backup import database, layout, making, restoring
from yuqing.backup.layout import BackupError, Entry
from yuqing.backup.making import back_up, prune
from yuqing.backup.restoring import MARKER, restore, verify
from yuqing.database import session
from yuqing.endpoints import database_url
from yuqing.identity import new_ulid
from yuqing.jobs import Job, defer_in_transaction
from yuqing.objects import ObjectStore
from yuqing.settings import Settings, get_settings

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Place:
    """A system: its settings, and the environment for a process of it."""

    settings: Settings
    environment: dict[str, str]

    @property
    def store(self) -> ObjectStore:
        """Its bucket."""
        return ObjectStore.from_settings(self.settings)

    @property
    def backups(self) -> ObjectStore:
        """The bucket of its backups."""
        return ObjectStore(layout.target_endpoint(self.settings))

    def objects(self) -> dict[str, tuple[str, str]]:
        """Key -> content type and SHA-256."""
        found = {}
        for item in self.store.list(""):
            content_type, chunks = self.store.opened(item.key)
            found[item.key] = (content_type, hashlib.sha256(b"".join(chunks)).hexdigest())
        return found

    def rows(self) -> dict[str, list[str]]:
        """Every table's rows, as text, in their order; and the numbers that sequences would give next."""
        found = {}
        with psycopg.connect(database_url(self.settings)) as connection:
            names = connection.execute(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' "
                "AND tablename NOT IN ('staged_articles', 'rate_limits')"
            ).fetchall()
            for (name,) in names:
                rows = connection.execute(f'SELECT t::text FROM "{name}" t ORDER BY 1').fetchall()  # type: ignore[arg-type]
                found[name] = [row[0] for row in rows]
            sequences = connection.execute("SELECT sequencename, last_value FROM pg_sequences ORDER BY 1").fetchall()
            found["sequences"] = [f"{name} {last}" for name, last in sequences]
        return found

    def schema(self) -> list[Any]:
        """Columns, indexes, constraints, triggers, functions and extensions (not their text, which PostgreSQL rewrites)."""
        statements = (
            "SELECT table_name, column_name, data_type, is_nullable, column_default FROM information_schema.columns "
            "WHERE table_schema = 'public' ORDER BY 1, ordinal_position",
            "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1",
            "SELECT conrelid::regclass::text, conname, contype FROM pg_constraint WHERE conrelid > 0 ORDER BY 1, 2",
            "SELECT tgrelid::regclass::text, tgname, tgenabled FROM pg_trigger WHERE NOT tgisinternal ORDER BY 1, 2",
            "SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace ORDER BY 1",
            "SELECT extname, extversion FROM pg_extension ORDER BY 1",
        )
        with psycopg.connect(database_url(self.settings)) as connection:
            return [connection.execute(statement).fetchall() for statement in statements]  # type: ignore[arg-type]


@pytest.fixture
def place(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Place]]:
    """A place whose backups go to a part of their own of another bucket; others share these backups."""
    common = {
        **environment,
        "YUQING_BACKUP__BUCKET": "yuqing-backup",
        "YUQING_BACKUP__PREFIX": environment["YUQING_S3__PREFIX"],
        "YUQING_S3__MULTIPART_BYTES": str(5 * 2**20),
    }
    made: list[str] = []

    def make(**changes: str) -> Place:
        given = {**common, **changes}
        for name, value in given.items():
            monkeypatch.setenv(name, value)
        get_settings.cache_clear()
        return Place(get_settings(), given)

    def elsewhere(**changes: str) -> Place:
        """An empty database that has to be made, and an empty prefix."""
        name = f"restored_{new_ulid().lower()}"
        url = conninfo.make_conninfo(common["YUQING_DATABASE__URL"], dbname=name)
        parts = conninfo.conninfo_to_dict(url)
        made.append(name)
        address = f"postgresql://{parts['user']}:{parts['password']}@{parts['host']}:{parts['port']}/{name}"
        return make(YUQING_DATABASE__URL=address, YUQING_S3__PREFIX=name, **changes)

    make.elsewhere = elsewhere  # type: ignore[attr-defined]
    yield make
    root = conninfo.make_conninfo(common["YUQING_DATABASE__URL"], dbname="postgres")
    with psycopg.connect(root, autocommit=True) as connection:
        for name in made:
            connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')  # type: ignore[arg-type]


def elsewhere(place: Any, **changes: str) -> Place:
    """A place without anything."""
    found: Place = place.elsewhere(**changes)
    return found


def fill(here: Place) -> None:
    """A little of everything: pages in all states, a large recording, jobs, keys, an unlogged row."""
    store = here.store
    for number in range(12):
        store.put(f"raw/a/2026/06/01/01{number:02}.jsonl.gz", bytes([number]) * 1000)
        store.put(f"seen/a/2026/06/01/01{number:02}.u64", bytes([number]) * 80)
    store.put("media/aa/" + "a" * 64 + ".mp3", random.Random(7).randbytes(6 * 2**20), content_type="audio/mpeg")
    store.put("media/bb/" + "b" * 64 + ".mp3", b"", content_type="audio/mpeg")
    store.put("watchlist/current.json", '{"names": ["星河汽车"]}'.encode(), content_type="application/json")
    store.put("adapters/active.json", b"{}")
    store.put("quarantine/cleaning/dt=2026-06-01/空 格+%.jsonl.gz", b"a name that has to be quoted")
    store.put("models/base/model.bin", b"can be had again")
    store.put("partial/asr/1", b"half done")
    pool = session.engine(here.settings)
    with session.transaction(pool) as connection:
        for number in range(8):
            ledger.record(connection, "cleaning", f"raw/a/2026/06/01/01{number:02}.jsonl.gz", "done", {"new": 1}, NOW)
        defer_in_transaction(connection, [Job("analyze", "analyze", {"doc_id": "1"}, "analyze:1")])
        for statement in (
            "INSERT INTO teams (name) VALUES ('甲'), ('乙')",
            "INSERT INTO companies (team_id, name, aliases) SELECT id, '星河汽车', '{星河,\"a \\\\b\"}' FROM teams",
            "INSERT INTO reprint_groups VALUES ('1', now())",
            "INSERT INTO documents (doc_id, content_hash, kind, site, url, canonical_url, title, text, first_seen, fetched_at, "
            "language, group_id, batch_key, cleaning_version, search) VALUES ('1', 'h', 'page', 'a', 'u', 'u', '星河汽车召回', "
            "E'第一行\\n第二行', now(), now(), 'zh', '1', 'b', '1', '''星河''')",
            "INSERT INTO mentions SELECT '1', id, 'h', '[]', .5 FROM companies",
            "INSERT INTO rate_limits SELECT 1, now() WHERE false",
        ):
            connection.execute(text(statement))
    pool.dispose()


def backed_up(objects: dict[str, Any]) -> dict[str, Any]:
    """Without what a backup leaves out."""
    return {key: value for key, value in objects.items() if not key.startswith(("models/", "partial/"))}


@pytest.mark.service
def test_a_restore_brings_back_keys_counts_and_contents(place: Any) -> None:
    here = place()
    fill(here)
    first = back_up(here.settings)
    assert (first.objects, first.new_bytes) == (len(backed_up(here.objects())), first.bytes)
    here.store.put("watchlist/current.json", b"{}", content_type="application/json")
    here.store.put("raw/a/2026/06/02/02.jsonl.gz", b"new")
    here.store.put("raw/b/2026/06/02/02.jsonl.gz", b"new")  # the same content under another key
    here.store.delete("raw/a/2026/06/01/0100.jsonl.gz")
    with psycopg.connect(database_url(here.settings)) as connection:
        connection.execute("INSERT INTO teams (name) VALUES ('丙')")
    second = back_up(here.settings)
    # Nothing that is known was written again; two that carry one content at the same time may both have written it.
    assert second.new_bytes in (len(b"new"), 2 * len(b"new"))
    assert [layout.read_record(here.backups, name).id for name in layout.record_ids(here.backups)] == [
        first.id,
        second.id,
    ]
    assert verify(here.settings, "latest", deep=True) == second
    expected, rows, schema = backed_up(here.objects()), here.rows(), here.schema()
    with session.transaction(session.engine(here.settings)) as sql:
        pending = [item.key for item in ledger.pending_batches(sql, here.store, "cleaning")]

    there = elsewhere(place)
    found = restore(there.settings, "latest")
    assert (found.objects, found.there) == (len(expected), 0)
    assert there.objects() == expected
    assert there.rows() == rows
    assert there.schema() == schema
    with session.transaction(session.engine(there.settings)) as sql:
        assert [item.key for item in ledger.pending_batches(sql, there.store, "cleaning")] == pending
        # The restored system works on: its triggers and sequences are there.
        sql.execute(text("INSERT INTO teams (name) VALUES ('丁')"))
        before = sql.execute(text("SELECT count(*) FROM coverage")).scalar_one()
        sql.execute(text("DELETE FROM mentions WHERE company_id = (SELECT min(id) FROM companies)"))
        assert sql.execute(text("SELECT count(*) FROM coverage")).scalar_one() == before - 1 == 1

    # The earlier backup is still as it was.
    old = elsewhere(place)
    restore(old.settings, first.id)
    assert len(old.rows()["teams"]) == 2
    assert old.store.exists("raw/a/2026/06/01/0100.jsonl.gz")
    assert old.store.get("watchlist/current.json") == '{"names": ["星河汽车"]}'.encode()


@pytest.mark.service
def test_a_restore_only_goes_into_what_is_empty(place: Any) -> None:
    here = place()
    fill(here)
    record = back_up(here.settings)
    before = here.objects(), here.rows()
    with pytest.raises(BackupError, match=r"is not empty: it holds"):
        restore(here.settings, "latest")
    assert (here.objects(), here.rows()) == before
    there = elsewhere(place)
    there.store.put("raw/theirs.jsonl.gz", b"theirs")
    with pytest.raises(BackupError, match=r"holds raw/theirs\.jsonl\.gz"):
        restore(there.settings, "latest")
    assert set(there.objects()) == {"raw/theirs.jsonl.gz"}
    used = elsewhere(place)
    database.make_database(database_url(used.settings))
    with psycopg.connect(database_url(used.settings)) as connection:
        connection.execute("CREATE TABLE theirs (id int)")
    with pytest.raises(BackupError, match="the database is not empty"):
        restore(used.settings, "latest")
    # A database that holds exactly the backup is taken for one that was restored already.
    with psycopg.connect(database_url(used.settings)) as connection:
        connection.execute("DROP TABLE theirs")
    assert restore(used.settings, record.id).rows == sum(table.rows for table in record.database.tables.values())
    used.store.put(MARKER, b'{"backup": "another"}')
    with pytest.raises(BackupError, match=r"another backup \(another\).*broken off"):
        restore(used.settings, record.id)


@pytest.mark.service
def test_the_wrong_bucket_is_told(place: Any) -> None:
    here = place()
    fill(here)
    with pytest.raises(BackupError, match="there is no backup of yuqing in bucket yuqing-backup"):
        restore(elsewhere(place).settings, "latest")
    same = place(YUQING_BACKUP__BUCKET="yuqing")
    with pytest.raises(BackupError, match="is the one that is backed up"):
        back_up(same.settings)
    here = place()
    back_up(here.settings)
    wrong = elsewhere(place, YUQING_BACKUP__PREFIX="elsewhere")
    with pytest.raises(BackupError, match="there is no backup"):
        restore(wrong.settings, "latest")
    with pytest.raises(BackupError, match=r"no complete backup 01nope.*") as told:
        restore(elsewhere(place).settings, "01nope")
    assert layout.record_ids(here.backups)[0] in told.value.cure


def damages() -> dict[str, tuple[Callable[[ObjectStore, layout.Record], None], str, bool]]:
    """How a backup is damaged, what is said, and whether a look at sizes shows it."""

    def entry_key(backups: ObjectStore, record: layout.Record) -> str:
        return layout.data_key(next(item for item in layout.entries(backups, record) if item.size == 1000).sha256)

    def cut(key: str) -> Callable[[ObjectStore, layout.Record], None]:
        def change(backups: ObjectStore, record: layout.Record) -> None:
            name = {"dump": record.database.key, "part": record.parts[0].key, "data": entry_key(backups, record)}[key]
            data = backups.get(name)
            backups.put(name, data[: len(data) // 2])

        return change

    def flip(key: str) -> Callable[[ObjectStore, layout.Record], None]:
        def change(backups: ObjectStore, record: layout.Record) -> None:
            name = {"dump": record.database.key, "data": entry_key(backups, record)}[key]
            data = bytearray(backups.get(name))
            data[-1] ^= 1
            backups.put(name, bytes(data))

        return change

    record_key = "backups/{}.json"
    return {
        "a dump cut short": (cut("dump"), r"database/.*\.dump of the backup .* has \d+ bytes of \d+", True),
        "a dump with a wrong byte": (flip("dump"), "damaged: its hash is another", False),
        "no dump": (lambda backups, record: backups.delete(record.database.key), "is missing", True),
        "a manifest cut short": (cut("part"), "damaged: its hash is another", True),
        "no manifest": (lambda backups, record: backups.delete(record.parts[0].key), "is missing", True),
        "a content cut short": (cut("data"), "the content of raw/.* is missing or another", True),
        "no content": (
            lambda backups, record: backups.delete(entry_key(backups, record)),
            "the content of raw/.* is missing or another",
            True,
        ),
        "a content with a wrong byte": (flip("data"), "damaged: its hash is another", False),
        "a record cut short": (
            lambda backups, record: backups.put(record_key.format(record.id), b'{"id": '),
            "the record of the backup .* is damaged",
            True,
        ),
        "a record of another kind": (
            lambda backups, record: backups.put(record_key.format(record.id), b'{"id": "x"}'),
            "is damaged: started: Field required",
            True,
        ),
    }


@pytest.mark.service
def test_a_damaged_backup_is_found_and_never_half_restored(place: Any) -> None:
    here = place()
    fill(here)
    record = back_up(here.settings)
    whole = {item.key: here.backups.get(item.key) for item in here.backups.list("") if item.size < 2**20}
    for name, (damage, words, by_size) in damages().items():
        damage(here.backups, record)
        there = elsewhere(place)
        with pytest.raises(BackupError, match=words) as told:
            restore(there.settings, record.id)
        assert told.value.cure, name
        with contextlib.suppress(psycopg.OperationalError), psycopg.connect(database_url(there.settings)) as connection:
            tables = connection.execute("SELECT count(*) FROM pg_tables WHERE schemaname = 'public'").fetchone()
            assert tables == (0,) or name == "a content with a wrong byte", name
        if by_size:  # nothing was begun
            assert there.objects() == {}, name
        else:
            assert "sha256" not in str(told.value)
            with pytest.raises(BackupError):
                verify(there.settings, record.id, deep=True)
        for key, data in whole.items():
            here.backups.put(key, data)
    here.backups.put(next(key for key in whole if key.startswith("data/")), b"damaged")
    with pytest.raises(BackupError):
        verify(here.settings, "latest", deep=True)
    place()
    back_up(here.settings, full=True)  # mends it
    verify(here.settings, record.id, deep=True)


@pytest.mark.service
def test_old_backups_are_deleted_with_what_they_alone_hold(place: Any) -> None:
    here = place()
    fill(here)
    for number in range(4):
        here.store.put("reports/latest.json", b"%d" % number)
        back_up(here.settings)
    names = layout.record_ids(here.backups)
    here.backups.put("database/01broken.dump", b"of a backup that was killed")
    here.backups.put("manifests/01broken/000000.jsonl.gz", b"not even gzip")
    pruned = prune(here.settings, 2)
    assert (pruned.backups, pruned.contents, pruned.bytes) == (3, 2, 2)
    assert layout.record_ids(here.backups) == names[-2:]
    assert {item.key for item in here.backups.list("database/")} == {f"database/{name}.dump" for name in names[-2:]}
    for name in names[-2:]:
        verify(here.settings, name, deep=True)
    with database.locked(database_url(here.settings)):
        for call in (lambda: back_up(here.settings), lambda: prune(here.settings, 1)):
            with pytest.raises(BackupError, match="another backup of this database is under way"):
                call()
    assert layout.record_ids(here.backups) == names[-2:]


@pytest.mark.service
def test_the_lock_is_free_as_soon_as_it_is_let_go(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A server notices the end of a connection a moment later: here, not before the test ends."""
    url = database_url(place().settings)
    unnoticed: list[Any] = []

    def never_noticed(connection: Any) -> contextlib.nullcontext[Any]:
        unnoticed.append(connection)
        return contextlib.nullcontext(connection)

    monkeypatch.setattr(database, "closing", never_noticed)
    try:
        with database.locked(url) as still:
            still()
        with pytest.raises(RuntimeError, match="on the way"), database.locked(url):
            raise RuntimeError("on the way")
        with database.locked(url):
            pass
    finally:
        for connection in unnoticed:
            connection.close()


@pytest.mark.service
def test_one_backup_at_a_time_to_the_very_end(place: Any) -> None:
    here = place()
    fill(here)
    refused: list[object] = []

    def beside(_: int) -> None:
        if refused:
            return
        for call in (lambda: back_up(here.settings), lambda: prune(here.settings, 1)):
            with pytest.raises(BackupError, match="another backup of this database is under way"):
                call()
            refused.append(call)

    first = back_up(here.settings, beside)
    assert len(refused) == 2
    verify(here.settings, first.id, deep=True)

    def cut_off(count: int) -> None:
        """What a failover of the database does: the lock is gone, and another backup may run."""
        if count == 1:
            with psycopg.connect(database_url(here.settings), autocommit=True) as connection:
                held = (
                    "SELECT count(pg_terminate_backend(l.pid, 10000)) FILTER (WHERE a.state = 'idle') FROM pg_locks l "
                    "JOIN pg_stat_activity a USING (pid) WHERE locktype = 'advisory' AND datname = current_database()"
                )
                assert connection.execute(held).fetchone() == (1,)  # one, and in no transaction

    with pytest.raises(BackupError, match="kept other backups away was lost"):
        back_up(here.settings, cut_off)
    assert layout.record_ids(here.backups) == [first.id]
    verify(here.settings, back_up(here.settings).id)


@pytest.mark.service
def test_another_installation_does_not_drive_out_these_backups(place: Any) -> None:
    here = place()
    fill(here)
    first = back_up(here.settings)
    refused = "holds the backups of another installation"
    moved = elsewhere(place)
    restore(moved.settings, "latest")
    bucket, url = (moved.environment[name] for name in ("YUQING_S3__PREFIX", "YUQING_DATABASE__URL"))
    for other in (moved, place(YUQING_S3__PREFIX=bucket), place(YUQING_DATABASE__URL=url)):  # either tells them apart
        for call in (back_up, lambda settings: prune(settings, 1)):
            with pytest.raises(BackupError, match=refused) as told:
                call(other.settings)
            assert "--adopt" in told.value.cure
    assert layout.record_ids(here.backups) == [first.id]
    assert [item.key for item in here.backups.list("database/")] == [first.database.key]  # refused before it is dumped
    second = back_up(moved.settings, adopt=True)
    assert prune(moved.settings, 1).backups == 1
    with pytest.raises(BackupError, match=refused):
        back_up(here.settings)
    # A record without it, as earlier releases wrote, and a damaged one refuse nobody of the same bucket.
    key = f"backups/{second.id}.json"
    here.backups.put(key, layout.dump_json(second.model_copy(update={"source": first.source, "origin": ""})))
    third = back_up(here.settings)
    here.backups.put(f"backups/{third.id}.json", b"{")
    back_up(here.settings)

    def overtaken(count: int) -> None:
        """Another database's lock holds nobody here: theirs ends first."""
        if count == 1:
            back_up(moved.settings, adopt=True)

    before = layout.record_ids(here.backups)
    with pytest.raises(BackupError, match=refused):
        back_up(here.settings, overtaken)
    assert len(layout.record_ids(here.backups)) == len(before) + 1


@pytest.mark.service
def test_entries_are_taken_as_they_are_needed(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many objects a backup has: few more than those at work are in memory."""
    here = place()
    fill(here)
    for number in range(110):
        here.store.put(f"raw/c/2026/06/03/03{number:03}.jsonl.gz", b"%d" % (number % 90))
    back_up(here.settings)
    drawn: list[int] = []
    ahead: list[int] = []
    entries, hashed = restoring.entries, restoring._hash

    def counted(backups: ObjectStore, record: layout.Record) -> Iterator[Entry]:
        drawn.append(0)
        for entry in entries(backups, record):
            drawn[-1] += 1
            yield entry

    def hashing(store: ObjectStore, key: str) -> str:
        if key.startswith("data/"):
            ahead.append(drawn[-1] - len(ahead))
        return hashed(store, key)

    monkeypatch.setattr(restoring, "entries", counted)
    monkeypatch.setattr(restoring, "_hash", hashing)
    record = verify(here.settings, "latest", deep=True)
    assert drawn == [record.objects] * 2
    assert len(ahead) == len({entry.sha256 for entry in entries(here.backups, record)}) < record.objects
    # The window of 64, and the twenty whose content was read before; all at once would be more than 110.
    assert max(ahead[:60]) < 90
    there = elsewhere(place)
    ahead.clear()
    restore(there.settings, "latest", lambda count: ahead.append(drawn[-1] - count))
    assert len(ahead) == record.objects and max(ahead) < 70


def _killed(here: Place, arguments: list[str], begun: Callable[[], bool], after_s: float) -> int | None:
    """Run the command, kill it `after_s` after `begun`; its status when it was faster."""
    process = subprocess.Popen(
        [sys.executable, "-m", "yuqing", *arguments],
        env={**os.environ, **here.environment},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 120
        while process.poll() is None and not begun() and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(after_s)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        _, told = process.communicate()
    assert process.returncode in (0, -signal.SIGKILL), told.decode()
    return process.returncode if process.returncode == 0 else None


@pytest.mark.service
@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_backup_and_of_a_restore(place: Any) -> None:
    here = place(YUQING_BACKUP__COPIES="1")
    fill(here)
    for number in range(250):
        here.store.put(f"raw/c/2026/06/03/03{number:03}.jsonl.gz", b"%d" % number)
    expected, rows = backed_up(here.objects()), here.rows()
    random_ = random.Random(20260630)

    def count(store: ObjectStore, prefix: str) -> int:
        return sum(1 for _ in store.list(prefix))

    for wanted in (0, 40, 150):
        dumps = count(here.backups, "database/")
        begun = (
            (lambda wanted=wanted: count(here.backups, "data/") >= wanted)
            if wanted
            else (lambda dumps=dumps: count(here.backups, "database/") > dumps)
        )
        assert _killed(here, ["backup"], begun, random_.uniform(0, 0.05)) is None
        assert layout.record_ids(here.backups) == []  # what was broken off is no backup
        with pytest.raises(BackupError, match="there is no backup"):
            restore(here.settings, "latest")
    record = back_up(here.settings)
    assert record.objects == len(expected)
    verify(here.settings, record.id, deep=True)

    there = elsewhere(place, YUQING_BACKUP__COPIES="1")
    for wanted in (1, 60, 180):
        begun = lambda wanted=wanted: count(there.store, "") >= wanted  # noqa: E731
        assert _killed(there, ["restore", "latest"], begun, random_.uniform(0, 0.3 if wanted == 1 else 0.05)) is None
    found = restore(there.settings, "latest")
    assert found.there > 0
    assert there.objects() == expected
    assert there.rows() == rows


@pytest.mark.service
def test_the_commands(place: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from typer.testing import CliRunner

    from yuqing.backup_cli import app

    here = place(YUQING_BACKUP__KEEP="1")
    fill(here)
    assert "no backup yet" in CliRunner().invoke(app, ["backup", "--list"], catch_exceptions=False).output
    for deleted in (0, 1):
        made = CliRunner().invoke(app, ["backup", "--json"], catch_exceptions=False)
        told = json.loads(made.stdout.splitlines()[-1])
        assert told["deleted_backups"] == deleted
    shown = CliRunner().invoke(app, ["backup", "--list", "--json"], catch_exceptions=False)
    assert [json.loads(line)["id"] for line in shown.stdout.splitlines()] == [told["id"]]
    whole = CliRunner().invoke(app, ["backup", "--verify", "latest", "--deep"], catch_exceptions=False)
    assert f"whole: {told['id']}" in whole.stdout
    elsewhere(place)
    restored = CliRunner().invoke(app, ["restore", "latest", "--json"], catch_exceptions=False)
    assert json.loads(restored.stdout.splitlines()[-1])["rows"] == told["rows"]
    old = place(YUQING_BACKUP__PROGRAMS=str(tmp_path))
    with pytest.raises(BackupError, match="pg_dump is not in"):
        back_up(old.settings)
    script = tmp_path / "pg_dump"
    script.write_text("#!/bin/sh\necho 'pg_dump: error: aborting because of server version mismatch' >&2\nexit 1\n")
    script.chmod(0o755)
    with pytest.raises(BackupError, match="version mismatch") as failed:
        back_up(old.settings)
    assert "PROGRAMS" in failed.value.cure
    assert len(list(old.backups.list("database/"))) == 1


@given(
    st.lists(
        st.sampled_from(["seen/", "raw/", "media/", "clean/", "a/", "z/"]).flatmap(
            lambda prefix: st.text("abc", min_size=1, max_size=3).map(lambda name: prefix + name)
        ),
        unique=True,
        max_size=12,
    ),
    st.lists(st.integers(0, 2), min_size=12, max_size=12),
)
def test_objects_meet_what_is_known_of_them(keys: list[str], kinds: list[int]) -> None:
    """Pairing two sorted streams finds exactly what a dictionary would."""
    from yuqing.objects import ObjectInfo

    keys = sorted(keys, key=layout.rank)
    items = [ObjectInfo(key, 1, NOW, "tag") for key in keys]
    changed = {key for key, kind in zip(keys, kinds, strict=False) if kind == 1}
    unknown = {key for key, kind in zip(keys, kinds, strict=False) if kind == 2}
    known = [
        Entry(
            key=key,
            size=1,
            tag="old" if key in changed else "tag",
            modified=NOW - timedelta(days=key in changed),
            content_type="",
            sha256=key,
        )
        for key in keys
        if key not in unknown
    ]
    gone = Entry(key="raw/bb-gone", size=1, tag="tag", modified=NOW, content_type="", sha256="gone")
    entries = sorted([*known, gone], key=lambda entry: layout.rank(entry.key))
    paired = list(making._paired(iter(items), iter(entries)))
    assert [item for item, _ in paired] == items
    assert {item.key for item, entry in paired if entry} == set(keys) - changed - unknown
    assert all(entry is None or entry.sha256 == item.key for item, entry in paired)


def test_a_password_never_stands_on_a_command_line() -> None:
    found = database.environment("postgresql://u:p%40ss@db.example:5433/yuqing?sslmode=require")
    assert (found["PGPASSWORD"], found["PGHOST"], found["PGPORT"], found["PGUSER"]) == (
        "p@ss",
        "db.example",
        "5433",
        "u",
    )
    assert (found["PGDATABASE"], found["PGSSLMODE"]) == ("yuqing", "require")
