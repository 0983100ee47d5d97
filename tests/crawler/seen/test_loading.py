"""What a crawl loads when it begins: all segments, and those that a killed run did not write."""

import gzip
from pathlib import Path

import pytest

from crawler.canonical import url_hash
from crawler.seen import load, pack, segment_key, unpack
from crawler.seen.cache import SegmentCache
from crawler.seen.compaction import compact
from crawler.seen.segments import BrokenSegment, SegmentsRestless
from tests.crawler.seen.conftest import DAY, HOUR, History, a_site, document, due, known, page
from yuqing.endpoints import s3_endpoint
from yuqing.objects import ObjectMissing, ObjectStore, ObjectStoreAway
from yuqing.settings import load_settings
from yuqing.sites import Revisit

pytestmark = pytest.mark.service
SITE = a_site()
BATCH = "raw/one/2026/11/20/01J0000000000000000000000A.jsonl.gz"


def test_a_segment_is_named_after_its_batch() -> None:
    assert segment_key(BATCH) == "seen/one/2026/11/20/01J0000000000000000000000A.u64"


def test_segments_are_loaded_and_missing_ones_made_up(store: ObjectStore) -> None:
    store.ensure_bucket()
    assert 1 not in load(store, SITE)
    store.put("seen/one/2026/11/19/01J00000000000000000000000.u64", pack([1, 2]))
    store.put("seen/other/2026/11/19/01J00000000000000000000000.u64", pack([3]))
    store.put("seen/one/2026/11/19/a-note.txt", b"no segment")
    store.put("raw/one/2026/11/19/no-batch.jsonl.gz", b"no batch")
    lines = [
        document("http://example.cn/1?from=x", "http://example.cn/1"),
        document("http://example.cn/2?v=b", "http://example.cn/2"),
        document("http://example.cn/3", "http://example.cn/3", kind="transcript"),
        b"not json\n",
    ]
    store.put(BATCH, gzip.compress(b"".join(lines)))
    seen = load(store, SITE)
    expected = {1, 2, *map(url_hash, ("http://example.cn/1", "http://example.cn/2", "http://example.cn/2?v=b"))}
    assert {hash_ for hash_ in {3, url_hash("http://example.cn/3"), *expected} if hash_ in seen} == expected
    # Written, so that the next run need not read the batch; and the segment of a slower crawl of the same site wins.
    assert set(unpack(store.get(segment_key(BATCH))).tolist()) == expected - {1, 2}
    store.put(segment_key(BATCH), pack([9]))
    assert 9 in load(store, SITE)


def test_only_batches_after_the_merged_ones_are_looked_for(history: History) -> None:
    history.batch(9 * DAY, [1])
    history.batch(8 * DAY, [2], segment=False)
    compact(history.store, SITE, grace_hours=24)
    history.batch(2 * HOUR, [3], segment=False)
    history.batch(8.5 * DAY, [4], segment=False)  # as if its writer had slept for a week: fetched once more, not lost
    asked: list[str] = []

    class Watched(ObjectStore):
        def stream(self, key: str, **part: int | None):  # type: ignore[no-untyped-def,override]
            asked.append(key)
            return super().stream(key, **part)

    assert known(load(Watched(history.store.endpoint), SITE), range(9)) == {1, 2, 3}
    assert len([key for key in asked if key.startswith("raw/")]) == 1


def test_revisits(history: History) -> None:
    policy = a_site(Revisit(after_hours=6, until_days=3))
    history.batch(5 * DAY, [1])  # too old
    history.batch(2 * DAY, [2, 3, 7])
    history.batch(2 * HOUR, [3, 4])  # 3 was fetched again, 4 is new: not yet
    history.batch(4 * DAY, [5])
    history.batch(10 * HOUR, [5, 6])  # 5 was first fetched too long ago
    history.store.put("seen/one/imported/01J00000000000000000000000.u64", pack([page(7)]))
    for _ in range(2):
        seen = load(history.store, policy)
        assert known(seen, range(9)) == {1, 2, 3, 4, 5, 6, 7}
        assert due(seen, range(9)) == {2, 6}
        assert not due(load(history.store, SITE), range(9))
        compact(history.store, policy, grace_hours=24)  # the same from merged segments
    assert len([key for key in history.segments() if "/merged/" in key]) == 2


def test_a_compaction_while_segments_are_read(history: History, tmp_path: Path) -> None:
    for number in range(5):
        history.batch((3 + number) * DAY, [number])

    class Interrupted(ObjectStore):
        """Its first read of a segment waits until everything was merged, and merged once more."""

        merged = 0

        def stream(self, key: str, **part: int | None):  # type: ignore[no-untyped-def,override]
            if key.startswith("seen/") and Interrupted.merged < 2:
                Interrupted.merged += 1
                history.batch((30 + Interrupted.merged) * DAY, [10 + Interrupted.merged])
                compact(history.store, SITE, grace_hours=24)
            return super().stream(key, **part)

    interrupted = Interrupted(history.store.endpoint)
    cache = SegmentCache(tmp_path, 8)
    assert known(load(interrupted, SITE, cache), range(20)) == {0, 1, 2, 3, 4, 11, 12}
    assert Interrupted.merged == 2

    class Restless(ObjectStore):
        def stream(self, key: str, **part: int | None):  # type: ignore[no-untyped-def,override]
            raise ObjectMissing(key)

    with pytest.raises(SegmentsRestless, match="changed 5 times"):
        load(Restless(history.store.endpoint), SITE)


def test_merged_segments_are_mapped_from_the_cache(history: History, tmp_path: Path) -> None:
    history.batch(3 * DAY, range(50))
    history.batch(2 * HOUR, range(50, 60))
    compact(history.store, SITE, grace_hours=24)
    cache = SegmentCache(tmp_path / "cache", 8)
    (merged,) = [key for key in history.segments() if "/merged/" in key]
    assert known(load(history.store, SITE, cache), range(99)) == set(range(60))
    copy = tmp_path / "cache" / "one" / merged.rsplit("/", 1)[1]
    assert copy.read_bytes() == history.store.get(merged)
    assert sorted(path.name for path in copy.parent.iterdir()) == [copy.name, copy.name + ".index"]

    class NotMerged(ObjectStore):
        def stream(self, key: str, **part: int | None):  # type: ignore[no-untyped-def,override]
            assert "/merged/" not in key, "the copy was not used"
            return super().stream(key, **part)

    assert known(load(NotMerged(history.store.endpoint), SITE, cache), range(99)) == set(range(60))
    copy.write_bytes(copy.read_bytes()[:-8])  # cut off: fetched again
    assert known(load(history.store, SITE, cache), range(99)) == set(range(60))
    assert copy.stat().st_size == 8 * 50

    history.batch(4 * DAY, [77])
    compact(history.store, SITE, grace_hours=24)
    assert known(load(history.store, SITE, cache), range(99)) == {*range(60), 77}
    assert not copy.exists(), "what S3 has no longer is removed"
    unusable = SegmentCache(tmp_path / "file", 8)
    unusable.folder.write_text("a file where the folder should be")
    assert known(load(history.store, SITE, unusable), range(99)) == {*range(60), 77}


def test_a_large_segment_is_read_in_parts(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("crawler.seen.segments._PART", 24)
    history.batch(3 * DAY, range(50))
    history.batch(2 * DAY, range(50, 60))
    assert known(load(history.store, SITE), range(99)) == set(range(60))


def test_a_damaged_segment_is_named(history: History) -> None:
    key = history.batch(2 * DAY, [1])
    history.store.put(key, b"1234567")
    with pytest.raises(BrokenSegment, match=f"{key} is damaged: its 7 bytes") as raised:
        load(history.store, SITE)
    assert "delete it" in raised.value.cure


def test_s3_away(environment: dict[str, str]) -> None:
    settings = load_settings(s3={"endpoint": "http://127.0.0.1:9", "access_key": "x", "secret_key": "y", "attempts": 1})
    with pytest.raises(ObjectStoreAway, match="does not answer"):
        load(ObjectStore(s3_endpoint(settings)), SITE)
