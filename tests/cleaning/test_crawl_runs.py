"""The crawler's reports in the table, each once. No Spark: it is not started without a batch."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from ulid import ULID

from cleaning import crawl_runs
from cleaning.job import clean_pending
from yuqing import quarantine
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service

NOON = datetime(2024, 5, 3, 12, tzinfo=UTC)


@pytest.fixture
def put_report(store: ObjectStore) -> Callable[..., str]:
    """Store the report of a run that began so many hours after noon of the third of May; returns its run id."""
    store.ensure_bucket()

    def put(site: str, hours: float, *, data: bytes | None = None, **fields: Any) -> str:
        started = NOON + timedelta(hours=hours)
        run_id = str(ULID.from_datetime(started))
        report = {"run_id": run_id, "site": site, "started": started, "finished": started, "found": 3, **fields}
        key = f"reports/crawl/{site}/{started:%Y-%m-%d}/{run_id}.json"
        store.put(key, json.dumps(report, default=str).encode() if data is None else data)
        return run_id

    return put


def runs(database: Engine) -> list[tuple[str, str]]:
    with database.connect() as connection:
        return [tuple(row) for row in connection.execute(text("SELECT site, run_id FROM crawl_runs ORDER BY 2, 1"))]


def test_each_report_is_loaded_once(
    settings: Settings,
    store: ObjectStore,
    database: Engine,
    put_report: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert clean_pending(settings).crawl_runs == 0
    expected = [(site, put_report(site, hours)) for hours in (-900, -30, 0) for site in ("caijing", "people")]
    expected.sort(key=lambda row: (row[1], row[0]))
    assert clean_pending(settings).crawl_runs == 6
    assert runs(database) == expected
    with database.connect() as connection:
        row = connection.execute(text("SELECT started_at, report->>'found' FROM crawl_runs ORDER BY 1 LIMIT 1")).one()
    assert tuple(row) == (NOON - timedelta(hours=900), "3")

    # Later: nothing old is read or listed again, a slow run's report that comes after a newer one is found, and so is a
    # site that is new.
    read: list[str] = []
    listed: list[str] = []
    get, list_ = ObjectStore.get, ObjectStore.list
    monkeypatch.setattr(ObjectStore, "get", lambda self, key: read.append(key) or get(self, key))

    def listing(self: ObjectStore, prefix: str, **options: Any) -> Any:
        for item in list_(self, prefix, **options):
            listed.append(item.key)
            yield item

    monkeypatch.setattr(ObjectStore, "list", listing)
    assert clean_pending(settings).crawl_runs == 0
    assert not read
    assert len(listed) == 4, "reports of weeks ago are not listed"
    ahead = ("fast", put_report("fast", 24 * 365 * 50))  # a clock that is wrong
    assert clean_pending(settings).crawl_runs == 1
    read.clear()
    late = [
        ("caijing", put_report("caijing", -20)),
        ("new", put_report("new", -10)),
        ("people", put_report("people", 1)),
    ]
    assert clean_pending(settings).crawl_runs == 3
    assert len(read) == 3
    assert runs(database) == sorted([*expected, ahead, *late], key=lambda row: (row[1], row[0]))


def test_two_cleanings_at_once_load_a_report_once(
    settings: Settings, store: ObjectStore, database: Engine, put_report: Callable[..., str]
) -> None:
    put_report("caijing", 0)
    (key,) = [item.key for item in store.list("reports/")]
    read = crawl_runs._read(store, key)
    assert crawl_runs.load_reports(database, store) == 1
    with database.begin() as connection:
        assert not crawl_runs._settle(connection, read, NOON)


def test_a_broken_report_is_kept_with_its_reason_and_stops_nothing(
    settings: Settings, store: ObjectStore, database: Engine, put_report: Callable[..., str]
) -> None:
    good = put_report("a", 0)
    put_report("b", 0, data=b'{"run_id": ')
    put_report("c", 0, data=b"\xff\xfe\x00")
    put_report("d", 0, data=b"[" * 100_000)
    put_report("e", 0, finished=None)
    put_report(
        "f", 0, data=b'{"run_id": "x", "site": "f", "started": "2024-05-03T12:00Z", "finished": "2024-05-03T12:00Z"}'
    )
    put_report("g", 0, errors=[{"url": "\0"}])
    put_report("i", 0, found=float("nan"))
    store.put("reports/crawl/h/notes.txt", b"x")
    assert clean_pending(settings).crawl_runs == 1
    assert runs(database) == [("a", good)]
    kept = [record for item in store.list("quarantine/") for record in quarantine.read(store, item.key)]
    assert {record["key"].split("/")[2] for record in kept} == set("bcdefghi")
    reasons = {record["key"].split("/")[2]: record["reason"] for record in kept}
    assert "finished" in reasons["e"]
    assert "run 'x'" in reasons["f"]
    assert "NUL" in reasons["g"]
    with database.connect() as connection:
        states = connection.execute(text("SELECT state, count(*) FROM ledger WHERE stage = 'crawl_runs' GROUP BY 1"))
        assert [tuple(row) for row in states] == [("failed", 8)]
    for item in store.list("quarantine/"):
        store.delete(item.key)
    assert clean_pending(settings).crawl_runs == 0
    assert not list(store.list("quarantine/")), "a broken report is settled once"
