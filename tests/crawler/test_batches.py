"""Batches: the order of the writes, quarantine, sizes, and what happens when S3 goes away."""

import asyncio
import gzip
from datetime import timedelta
from typing import Any

import pytest

from crawler.batches import BatchWriter
from crawler.report import CrawlReport
from crawler.retries import Retries
from crawler.seen import SeenUrls, load, unpack
from tests.crawler.seen.conftest import a_site
from yuqing import quarantine
from yuqing.contracts import now, read_raw_document
from yuqing.objects import ObjectStore, ObjectStoreAway


def record(number: int, **changes: Any) -> dict[str, Any]:
    url = f"http://example.cn/{number}"
    values = {
        "url": url, "canonical_url": url, "site": "one", "spider": "site", "kind": "page", "fetched_at": now(),
        "http_status": 200, "body": "正文", "run_id": "r",
    }  # fmt: skip
    return {**values, **changes}


class Remembering:
    """A store that remembers the order of its writes, and breaks at a key when told to."""

    def __init__(self, breaks_at: str = "") -> None:
        self.keys: list[str] = []
        self.breaks_at = breaks_at

    def put(self, key: str, data: bytes, **options: Any) -> bool:
        if self.breaks_at and key.startswith(self.breaks_at):
            raise ObjectStoreAway("S3 is away")
        self.keys.append(key)
        return True


def writer(store: Any, **limits: Any) -> BatchWriter:
    seen = SeenUrls()
    report = CrawlReport("run", "one", now())
    retries = Retries("one", address=lambda url: int(url.rsplit("/", 1)[1]), settled=seen.__contains__)
    return BatchWriter(store, "one", report, retries, seen, **{"pages": 10, "seconds": 60, "size": 10**6, **limits})


def test_a_batch_comes_before_its_segment() -> None:
    store = Remembering()
    batches = writer(store)
    batches.add(record(1), {11})
    batches.add(record(2, http_status="broken"), {12})
    asyncio.run(batches.flush())
    kinds = [key.split("/")[0] for key in store.keys]
    assert kinds == ["raw", "quarantine", "seen"]
    names = {key.rsplit("/", 1)[1].split(".")[0] for key in store.keys}
    assert len(names) == 1
    asyncio.run(batches.flush())
    assert len(store.keys) == 3  # nothing was open


@pytest.mark.parametrize("breaks_at", ["raw/", "quarantine/"])
def test_nothing_is_settled_that_is_not_safe(breaks_at: str) -> None:
    store = Remembering(breaks_at)
    batches = writer(store)
    batches.add(record(1), {11})
    batches.add(record(2, kind="unknown"), {12})
    with pytest.raises(ObjectStoreAway):
        asyncio.run(batches.flush())
    assert not any(key.startswith("seen/") for key in store.keys)
    assert batches.failure is not None
    assert batches.report.new_articles == 0
    # Later batches may settle other names of pages that were lost with this one: nothing more is written.
    store.breaks_at = ""
    batches.add(record(3), {13})
    asyncio.run(batches.flush())
    assert not any(key.startswith("seen/") for key in store.keys)


def test_limits() -> None:
    batches = writer(Remembering(), pages=2)
    batches.add(record(1), {1})
    assert not batches.full
    batches.add(record(2), {2})
    assert batches.full
    large = writer(Remembering(), size=1000)
    large.add(record(1, body="文" * 400), {1})
    assert large.full
    refused = writer(Remembering(), pages=2, size=1000)
    refused.reject(record(1, body=""), "application/pdf is no text", {1})
    assert not refused.full
    refused.add(record(2, kind="unknown"), {2})
    assert refused.full
    refused = writer(Remembering(), size=1000)
    refused.reject(record(1, body_base64="A" * 800), "application/pdf is no text", {1})
    assert refused.full
    aged = writer(Remembering(), seconds=timedelta(microseconds=1).total_seconds())
    assert not aged.old
    aged.settle([1])
    assert aged.old


def test_a_page_in_hand_is_settled_by_its_own_batch_alone() -> None:
    batches = writer(Remembering())
    seen = batches.seen
    seen.take({1, 11})
    seen.take({2, 11})
    assert not seen.wants(1)
    assert 1 not in seen
    batches.settle_names(1, {1, 101})
    batches.settle({11, 404})  # 11 leads to pages in hand, whatever it answers itself
    assert 404 in seen
    assert not any(hash_ in seen for hash_ in (1, 2, 11, 101))
    batches.add(record(2, kind="unknown"), {2, 11})
    assert 2 in seen
    assert 11 not in seen
    batches.add(record(1), {1, 11})
    assert all(hash_ in seen for hash_ in (1, 11, 101))
    batches.settle_names(1, {102})
    assert 102 in seen


@pytest.mark.service
def test_what_lands_on_s3(store: ObjectStore) -> None:
    store.ensure_bucket()
    batches = writer(store)
    batches.add(record(1, body="一\0二\ud800"), {11})
    batches.add(record(2), {12, 112})
    batches.settle([404])
    batches.add(record(3, published_at="gestern"), {13})
    batches.reject(record(4, body=""), "application/pdf is no text", {14})
    asyncio.run(batches.flush())

    (raw,) = [item.key for item in store.list("raw/one/")]
    urls = [read_raw_document(line).url for line in gzip.decompress(store.get(raw)).splitlines()]
    (kept,) = [item.key for item in store.list("quarantine/crawler/")]
    reasons = {entry["record"]["url"]: entry["reason"] for entry in quarantine.read(store, kept)}
    assert "http://example.cn/2" in urls
    assert "published_at" in reasons["http://example.cn/3"]
    assert reasons["http://example.cn/4"] == "application/pdf is no text"
    assert sorted([*urls, *reasons]) == [f"http://example.cn/{number}" for number in (1, 2, 3, 4)]
    (segment,) = [item.key for item in store.list("seen/one/")]
    assert set(unpack(store.get(segment)).tolist()) == {11, 12, 112, 404, 13, 14}
    assert batches.report.new_articles == len(urls)
    assert batches.report.quarantined == len(reasons)


@pytest.mark.service
def test_addresses_that_are_gone_are_settled_without_a_page(store: ObjectStore) -> None:
    store.ensure_bucket()
    batches = writer(store)
    batches.settle([404, 410])
    asyncio.run(batches.flush())
    assert list(store.list("raw/")) == []
    seen = load(store, a_site())
    assert 404 in seen
    assert 410 in seen
