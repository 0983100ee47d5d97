"""A lone page learns its site's lines from earlier batches, and the same whatever was cleaned before."""

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import Engine, text
from ulid import ULID

from cleaning.job import clean_pending
from cleaning.repeated import hashed
from cleaning.site_memory import earlier_pages
from tests.cleaning.conftest import WriteBatch, article_text, page, raw
from tests.cleaning.test_faults import forget
from tests.cleaning.test_publish import snapshot
from yuqing import ledger
from yuqing.objects import ObjectInfo, ObjectStore
from yuqing.settings import Settings

pytestmark = pytest.mark.service

NOTICE = "东岸新闻网的所有内容均由其合作方依照协议提供，合作方对内容的真实性、准确性和合法性负责。"
OPENED = datetime(2024, 6, 1, 3, tzinfo=UTC)


def name_at(moment: datetime) -> str:
    """A batch's name with the time at which it was opened; the rest is the same every time."""
    return str(ULID.from_bytes(int(moment.timestamp() * 1000).to_bytes(6, "big") + bytes(10)))


def pages(numbers: range, **fields: Any) -> list[dict[str, Any]]:
    return [raw(n, page(f"第{n}条消息", f"{article_text(n)}\n{NOTICE}"), **fields) for n in numbers]


def test_a_page_that_is_fetched_again_alone_stays_as_it_was_in_any_order_of_runs(
    settings: Settings, database: Engine, store: ObjectStore, write_batch: WriteBatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = OPENED + timedelta(hours=2)
    write_batch(name_at(OPENED), pages(range(8)))
    others = [raw(n, page(f"第{n}条消息", article_text(n))) for n in range(90, 92)]
    write_batch(name_at(OPENED + timedelta(minutes=5)), [b"{broken", raw(92, ""), *others])
    write_batch(name_at(later), pages(range(1), fetched_at=later.isoformat()))
    write_batch(name_at(later + timedelta(minutes=1)), pages(range(8, 9)))
    in_order = list(store.list("raw/"))
    found = []
    for order in itertools.islice(itertools.permutations(in_order), 0, None, 5):
        for batch in order:  # each in a run of its own
            monkeypatch.setattr(ledger, "pending_batches", lambda *_, batch=batch: [batch])
            clean_pending(settings)
        objects = {item.key: store.get(item.key) for prefix in ("clean/", "quarantine/") for item in store.list(prefix)}
        found.append((snapshot(database), objects))
        with database.connect() as connection:
            texts = connection.execute(text("SELECT canonical_url, text FROM documents ORDER BY 1")).all()
        lines = {item.key: store.get(item.key) for item in store.list("lines/")}
        assert len(lines) == 4
        assert not [row for row in texts if NOTICE in row.text]
        assert {row[2] for row in found[-1][0]["documents"]} == {1}  # nothing is a second version
        forget(database, store)
        for key in lines:
            store.delete(key)
    assert all(other == found[0] for other in found[1:])


def test_only_the_day_before_teaches_and_what_is_kept_is_a_function_of_the_batch(
    settings: Settings, store: ObjectStore, write_batch: WriteBatch
) -> None:
    hours = {"too late": -0.5, "just": -1, "day": -24.5, "too early": -25.5}
    for number, shift in enumerate(hours.values()):
        moment = OPENED + timedelta(days=1, hours=shift)
        records = pages(range(number * 10, number * 10 + 3))
        key = f"raw/daily/{moment:%Y/%m/%d}/{name_at(moment)}.jsonl.gz"
        store.put(key, store.get(write_batch("01A", records)))
    batch = f"raw/daily/2024/06/02/{name_at(OPENED + timedelta(days=1))}.jsonl.gz"

    def learned(wanted: int = 50) -> list[Any]:
        return earlier_pages(store, batch, wanted, settings.cleaning)

    expected = [hashed(f"{article_text(n)}\n{NOTICE}") for n in (10, 11, 12, 20, 21, 22)]
    assert learned() == expected
    assert learned(wanted=2) == expected[:3]  # whole batches, the latest first
    assert learned(wanted=0) == []
    kept: list[ObjectInfo] = list(store.list("lines/"))
    assert len(kept) == 2
    bytes_before = {item.key: store.get(item.key) for item in kept}
    store.put(kept[0].key, b"damaged")
    store.delete(kept[1].key)
    assert learned() == expected
    assert {item.key: store.get(item.key) for item in store.list("lines/")} == bytes_before
    assert earlier_pages(store, "raw/daily/2024/06/02/01A.jsonl.gz", 50, settings.cleaning) == []
