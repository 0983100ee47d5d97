"""Quarantine cleaned again: what is usable now becomes documents once, the rest stays with its new reason."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Engine, text

from cleaning import replay
from cleaning.batches import can_be_replayed, parquet_key, replay_name
from cleaning.job import clean_pending, clean_quarantine
from cleaning.replay import NotReplayable
from tests.cleaning.conftest import WriteBatch, article_text, page, raw
from tests.cleaning.test_faults import forget, snapshot
from yuqing import quarantine
from yuqing.objects import ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service

KEY = "quarantine/cleaning/dt=2024-06-01/01A.jsonl.gz"


@pytest.fixture
def strict(settings: Settings) -> Settings:
    """The settings of a release that still drops what today's keeps."""
    return settings.model_copy(
        update={"cleaning": settings.cleaning.model_copy(update={"minimum_characters": 300, "spark_from_bytes": 2**30})}
    )


@pytest.fixture
def batch(write_batch: WriteBatch, company: Callable[..., int]) -> str:
    """Two articles; two more that are too short for the strict settings; a broken line, and one that is no UTF-8."""
    company("苹果公司", ["苹果"])
    short = "苹果发布了新手机，价格与去年相同。\u2028分析师认为销量会增长。" * 4
    return write_batch(
        "01A",
        [
            raw(1, page("长文章", article_text(1))),
            raw(2, page("苹果短讯", short)),
            b"{broken",
            raw(3, page("另一篇长文章", article_text(3))),
            raw(4, page("又一条短讯", "降水持续，水位上涨，各地组织人员转移安置群众并开放避难场所。")),
            b'{"url": "\xff\xfe"}',
        ],
    )


def documents(database: Engine) -> list[tuple[Any, ...]]:
    with database.connect() as connection:
        rows = connection.execute(text("SELECT title, batch_key FROM documents ORDER BY fetched_at"))
        return [tuple(row) for row in rows]


def test_what_is_usable_now_becomes_documents_once(
    settings: Settings, strict: Settings, store: ObjectStore, database: Engine, batch: str
) -> None:
    before = clean_pending(strict)
    assert (before.cleaned, before.quarantined) == (2, 4)
    kept = quarantine.read(store, KEY)
    assert [record["batch"] for record in kept] == [batch] * 4
    name = replay_name(KEY, store.get(KEY))

    summary = clean_quarantine(settings, [KEY])
    assert (summary.batches, summary.new, summary.quarantined, summary.mentions) == (1, 2, 2, 1)
    assert documents(database) == [("长文章", batch), ("苹果短讯", name), ("另一篇长文章", batch), ("又一条短讯", name)]
    assert store.exists(parquet_key(name)) and parquet_key(name) != parquet_key(batch)
    rest = quarantine.read(store, KEY)
    assert [(record["line"], record["reason"]) for record in rest] == [(3, kept[1]["reason"]), (6, kept[3]["reason"])]

    everything = snapshot(database, store)
    again = clean_quarantine(settings, ["quarantine/cleaning/", KEY])
    assert (again.batches, again.new, again.cleaned, again.quarantined) == (1, 0, 0, 2)
    assert snapshot(database, store) == everything


@pytest.mark.parametrize("raw_is_there", [True, False])
def test_a_kill_between_the_documents_and_the_quarantine_is_mended(
    settings: Settings,
    strict: Settings,
    store: ObjectStore,
    database: Engine,
    batch: str,
    monkeypatch: pytest.MonkeyPatch,
    raw_is_there: bool,
) -> None:
    clean_pending(strict)
    if not raw_is_there:  # its retention has ended
        store.delete(batch)
    quarantined = store.get(KEY)
    strictly = documents(database)
    clean_quarantine(settings, [KEY])
    undisturbed = snapshot(database, store)

    forget(database, store)
    if raw_is_there:
        clean_pending(strict)
    else:
        store.put(KEY, quarantined)
    with monkeypatch.context() as patch:

        def killed(*_: Any) -> None:
            raise KeyboardInterrupt

        patch.setattr(replay, "keep_rest", killed)
        with pytest.raises(KeyboardInterrupt):
            clean_quarantine(settings, [KEY])
    assert store.get(KEY) == quarantined
    # Stricter settings meanwhile: what is a document already must not come back.
    clean_quarantine(strict, [KEY])
    found = snapshot(database, store)
    if raw_is_there:
        assert found == undisturbed
    else:
        assert found["objects"][KEY] == undisturbed["objects"][KEY]
        assert len(found["documents"]) == len(undisturbed["documents"]) - len(strictly)


def test_a_restored_limit_reads_the_whole_record_from_its_batch(
    settings: Settings, store: ObjectStore, database: Engine, write_batch: WriteBatch
) -> None:
    write_batch("01A", [raw(1, page("很长的一页", article_text(1, 60))), raw(2, page("短", article_text(2, 4)))])
    narrow = settings.cleaning.model_copy(update={"maximum_record_bytes": 3000})
    summary = clean_pending(settings.model_copy(update={"cleaning": narrow}))
    assert (summary.cleaned, summary.quarantined) == (1, 1)
    assert "longer than 3000 bytes" in quarantine.read(store, KEY)[0]["reason"]
    assert clean_quarantine(settings, [KEY]).new == 1
    assert not store.exists(KEY)
    assert clean_quarantine(settings, [KEY]).batches == 0


def test_the_crawlers_raw_documents_are_replayed_and_its_other_records_stay(
    settings: Settings, store: ObjectStore, database: Engine
) -> None:
    store.ensure_bucket()
    key = "quarantine/crawler/dt=2024-06-01/01C.jsonl.gz"
    records = [
        {"reason": "field kind: mended since", "record": raw(1, page("爬虫的文章", article_text(1)))},
        {"reason": "application/zip is no text", "record": {"url": "https://news.example.com/a.zip"}},
    ]
    quarantine.replace(store, key, records)
    summary = clean_quarantine(settings, ["quarantine/crawler/"])
    assert (summary.new, summary.quarantined) == (1, 1)
    assert quarantine.read(store, key) == records[1:]


def test_what_holds_no_raw_documents_is_refused(settings: Settings, store: ObjectStore, database: Engine) -> None:
    store.ensure_bucket()
    quarantine.replace(store, "quarantine/asr/dt=2024-06-01/a.jsonl.gz", [{"reason": "broken", "media_sha256": "a"}])
    for name in ("quarantine/asr/", "quarantine/", "raw/", "quarantine/asr/dt=2024-06-01/a.jsonl.gz"):
        with pytest.raises(NotReplayable, match="no raw documents"):
            clean_quarantine(settings, [name])
    with pytest.raises(NotReplayable, match="nothing under"):
        clean_quarantine(settings, [KEY])
    store.put(KEY, b"no gzip")
    summary = clean_quarantine(settings, [KEY])
    assert (summary.failed_batches, summary.cleaned) == (1, 0)
    assert store.get(KEY) == b"no gzip"
    assert not can_be_replayed("quarantine/cleaning/dt=2024-06-01/a#b.jsonl.gz")
