"""The object store against a real S3 service."""

import pickle
from dataclasses import replace
from pathlib import Path

import pytest

from yuqing.objects import ObjectMissing, ObjectStore, ObjectStoreAway, ObjectStoreError

pytestmark = pytest.mark.service


def test_put_get_delete(store: ObjectStore) -> None:
    assert store.put("a/b.txt", "舆情".encode())
    assert store.get("a/b.txt").decode() == "舆情"
    assert store.exists("a/b.txt")
    store.delete("a/b.txt")
    assert not store.exists("a/b.txt")
    store.delete("a/b.txt")


def test_a_missing_key_is_named(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing, match=r"s3://yuqing/.*nothing/here does not exist"):
        store.get("nothing/here")


def test_only_if_absent_has_one_winner(store: ObjectStore) -> None:
    assert store.put("once", b"first", only_if_absent=True)
    assert not store.put("once", b"second", only_if_absent=True)
    assert store.get("once") == b"first"


def test_listing_goes_over_pages_in_key_order(store: ObjectStore) -> None:
    for number in range(1005):
        store.put(f"many/{number:04}", b"")
    keys = [item.key for item in store.list("many/")]
    assert keys == [f"many/{number:04}" for number in range(1005)]
    assert [item.key for item in store.list("many/", start_after="many/1002")] == ["many/1003", "many/1004"]


def test_folders_are_the_names_below_a_prefix(store: ObjectStore) -> None:
    for key in ("raw/a/1", "raw/a/2", "raw/b/1", "raw/top"):
        store.put(key, b"")
    assert list(store.folders("raw/")) == ["a", "b"]


def test_large_files_go_up_in_parts(store: ObjectStore, tmp_path: Path) -> None:
    source, target = tmp_path / "large", tmp_path / "back"
    source.write_bytes(bytes(range(256)) * 90_000)  # 23 MB, more than one part of 16 MiB
    store.put_file("large", source, content_type="video/mp4")
    store.download("large", target)
    assert target.read_bytes() == source.read_bytes()
    assert not target.with_name("back.part").exists()


def test_a_store_can_be_sent_to_another_process(store: ObjectStore) -> None:
    store.put("x", b"1")
    assert pickle.loads(pickle.dumps(store)).get("x") == b"1"


def test_wrong_keys_are_refused_with_the_cure(store: ObjectStore) -> None:
    stranger = ObjectStore(replace(store.endpoint, secret_key="wrong"))
    with pytest.raises(ObjectStoreError, match="YUQING_S3__SECRET_KEY"):
        stranger.get("x")


def test_a_service_that_is_away_is_said(store: ObjectStore) -> None:
    away = ObjectStore(replace(store.endpoint, endpoint="http://127.0.0.1:9", attempts=1))
    with pytest.raises(ObjectStoreAway, match=r"does not answer.*yuqing up"):
        away.put("x", b"")
