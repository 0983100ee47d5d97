"""Seen sets: exact, sorted, and mended after a kill between a batch and its segment."""

import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.canonical import url_hash
from crawler.seen import SeenUrls, load, pack, segment_key, unpack
from yuqing.contracts import RawDocument, now
from yuqing.objects import ObjectStore
from yuqing.sites import Site

HASHES = st.sets(st.integers(min_value=0, max_value=2**64 - 1))
SITE = Site(name="one", title="一", start_urls=("http://example.cn/",), articles=("http://example.cn/",))
BATCH = "raw/one/2026/11/20/01J0000000000000000000000A.jsonl.gz"


@given(HASHES, HASHES)
def test_contains_what_was_packed_and_nothing_else(stored: set[int], others: set[int]) -> None:
    segment = pack([*stored, *stored])
    assert len(segment) == 8 * len(stored)
    hashes = unpack(segment)
    assert (np.diff(hashes.astype(object)) > 0).all() if len(hashes) > 1 else True
    seen = SeenUrls(hashes)
    assert all(hash_ in seen for hash_ in stored)
    assert not any(hash_ in seen for hash_ in others - stored)


def test_claims_are_of_this_run_and_settlements_are_seen() -> None:
    seen = SeenUrls(unpack(b""))
    assert seen.claim(7)
    assert not seen.claim(7)
    assert 7 not in seen
    seen.settle([7, 8])
    assert 7 in seen
    assert 8 in seen
    assert len(seen) == 2


def test_sources_of_redirects_wait_for_their_target() -> None:
    seen = SeenUrls(unpack(b""))
    seen.wait(7, [1, 2])
    seen.wait(2, [3])
    seen.wait(3, [7])
    assert seen.settle([6]) == {6}
    assert 3 not in seen
    assert seen.settle([7]) == {7, 1, 2, 3}
    assert 3 in seen
    assert seen.settle([7]) == {7}


def test_a_segment_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        unpack(b"1234567")


def test_a_segment_is_named_after_its_batch() -> None:
    assert segment_key(BATCH) == "seen/one/2026/11/20/01J0000000000000000000000A.u64"


def document(url: str, canonical: str, kind: str = "page") -> bytes:
    record = RawDocument(
        url=url, canonical_url=canonical, site="one", spider="site", kind=kind, fetched_at=now(), http_status=200,
        body="x", run_id="r",
    )  # fmt: skip
    return record.model_dump_json().encode() + b"\n"


@pytest.mark.service
def test_segments_are_loaded_and_missing_ones_made_up(store: ObjectStore) -> None:
    store.ensure_bucket()
    store.put("seen/one/2026/11/19/01J00000000000000000000000.u64", pack([1, 2]))
    store.put("seen/other/2026/11/19/01J00000000000000000000000.u64", pack([3]))
    lines = [
        document("http://example.cn/1?from=x", "http://example.cn/1"),
        document("http://example.cn/2?v=b", "http://example.cn/2"),
        document("http://example.cn/3", "http://example.cn/3", kind="transcript"),
        b"not json\n",
    ]
    store.put(BATCH, gzip.compress(b"".join(lines)))
    seen = load(store, SITE)
    expected = {1, 2, *map(url_hash, ("http://example.cn/1", "http://example.cn/2", "http://example.cn/2?v=b"))}
    assert len(seen) == len(expected)
    assert all(hash_ in seen for hash_ in expected)
    # Written, so that the next run need not read the batch; and the segment of a slower crawl of the same site wins.
    assert set(unpack(store.get(segment_key(BATCH))).tolist()) == expected - {1, 2}
    store.put(segment_key(BATCH), pack([9]))
    assert 9 in load(store, SITE)


@pytest.mark.service
def test_nothing_seen_yet(store: ObjectStore) -> None:
    store.ensure_bucket()
    assert len(load(store, SITE)) == 0
