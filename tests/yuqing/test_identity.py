"""Keys: stable, and never equal by accident."""

from hypothesis import given
from hypothesis import strategies as st

from yuqing.identity import content_hash, derived_id, doc_id, new_ulid


def test_keys_do_not_change_between_releases() -> None:
    # Every derived row hangs on these: a change of formula would orphan them all.
    assert doc_id("page", "http://example.cn/1") == "8fdefc8d6bc3b78905478d1bea6139ac"
    assert content_hash("舆情") == "71592b68798e532ef8dfd7e0227b6640"


def test_a_feed_entry_is_its_page() -> None:
    assert doc_id("feed_entry", "http://a.cn/1") == doc_id("page", "http://a.cn/1")


def test_a_transcript_is_not_its_page() -> None:
    keys = {doc_id("page", "u"), doc_id("transcript", "u", "a" * 64), doc_id("transcript", "u", "b" * 64)}
    assert len(keys) == 3


@given(st.lists(st.text(), min_size=1), st.lists(st.text(), min_size=1))
def test_parts_never_run_together(one: list[str], other: list[str]) -> None:
    assert (derived_id(*one) == derived_id(*other)) == (one == other)


def test_ulids_sort_by_time() -> None:
    names = [new_ulid() for _ in range(2)]
    assert len(names[0]) == 26
    assert names[0][:10] <= names[1][:10]
