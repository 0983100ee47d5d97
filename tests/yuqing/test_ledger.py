"""Batches are settled once; what is left is found in order."""

from datetime import UTC, datetime

import pytest
from sqlalchemy import Engine

from yuqing import ledger, quarantine
from yuqing.database import session
from yuqing.objects import ObjectStore

pytestmark = pytest.mark.service

NOW = datetime(2026, 1, 2, tzinfo=UTC)


def test_pending_batches_are_those_without_a_row_oldest_first(database: Engine, store: ObjectStore) -> None:
    late, early = "raw/a/2026/01/02/01B.jsonl.gz", "raw/b/2026/01/01/01A.jsonl.gz"
    for key in (late, early, "raw/a/2026/01/02/01C.tmp"):
        store.put(key, b"")
    with session.transaction(database) as connection:
        assert [item.key for item in ledger.pending_batches(connection, store, "clean")] == [early, late]
        assert ledger.record(connection, "clean", early, "done", {"articles": 3}, NOW)
        assert [item.key for item in ledger.pending_batches(connection, store, "clean")] == [late]
        assert [item.key for item in ledger.pending_batches(connection, store, "other")] == [early, late]


def test_a_batch_is_settled_once(database: Engine) -> None:
    with session.transaction(database) as connection:
        assert ledger.record(connection, "clean", "raw/x", "done", {}, NOW)
    with session.transaction(database) as connection:
        assert not ledger.record(connection, "clean", "raw/x", "failed", {}, NOW, error="too late")


def test_a_rolled_back_transaction_leaves_the_batch_pending(database: Engine, store: ObjectStore) -> None:
    store.put("raw/a/2026/01/02/01B.jsonl.gz", b"")
    with pytest.raises(ZeroDivisionError), session.transaction(database) as connection:
        ledger.record(connection, "clean", "raw/a/2026/01/02/01B.jsonl.gz", "done", {}, NOW)
        raise ZeroDivisionError
    with session.transaction(database) as connection:
        assert len(ledger.pending_batches(connection, store, "clean")) == 1


def test_quarantined_records_keep_their_reason_and_do_not_double(store: ObjectStore) -> None:
    records = [{"reason": "not JSON", "record": "\ud800 坏"}]
    keys = {quarantine.write(store, "clean", "raw/a/2026/01/02/01B.jsonl.gz", records, day=NOW) for _ in range(2)}
    assert keys == {"quarantine/clean/dt=2026-01-02/01B.jsonl.gz"}
    assert quarantine.read(store, keys.pop()) == records


def test_a_record_without_a_reason_is_refused(store: ObjectStore) -> None:
    with pytest.raises(ValueError, match="no reason"):
        quarantine.write(store, "clean", "b", [{"record": "x"}])
