"""Sorted arrays of hashes behave as Python sets do."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.seen.hashes import (
    SETTLEMENT,
    SortedHashes,
    make_index,
    not_among,
    pack,
    settled_at,
    sort_and_unite,
    unite_settlements,
    unpack,
)

TOP = 2**64 - 1
# Near each other and near the ends, where a bucket too far or a sign would show, as well as anywhere.
HASH = st.one_of(
    st.integers(0, TOP), st.integers(0, 300), st.integers(TOP - 300, TOP), st.integers(2**63 - 9, 2**63 + 9)
)
HASHES = st.sets(HASH, max_size=300)


def ascending(count: int) -> np.ndarray:
    return np.sort(np.random.default_rng(count).integers(0, TOP, count, dtype=np.uint64, endpoint=True))


@given(HASHES, HASHES)
def test_contains_what_was_packed_and_nothing_else(stored: set[int], others: set[int]) -> None:
    segment = pack([*stored, *stored])
    assert len(segment) == 8 * len(stored)
    hashes = unpack(segment)
    assert hashes.tolist() == sorted(stored)
    found = SortedHashes(hashes)
    assert {hash_ for hash_ in stored | others if hash_ in found} == stored
    probes = np.array(sorted(others), dtype=np.uint64)
    assert set(probes[not_among(probes, hashes)].tolist()) == others - stored


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 127, 128, 5000, 100_000])
def test_large_arrays_and_their_index(count: int) -> None:
    hashes = ascending(count)
    index = make_index(hashes)
    assert index.nbytes <= max(0.125 * count + 4, 8)
    found = SortedHashes(hashes, index)
    inside = hashes.tolist()
    assert all(hash_ in found for hash_ in inside)
    known = set(inside)
    assert not any(hash_ in found for hash_ in {*ascending(1000).tolist(), 0, TOP} - known)
    assert not any(hash_ + 1 in found for hash_ in inside if hash_ < TOP and hash_ + 1 not in known)


def test_hashes_that_are_not_evenly_spread_are_found_too() -> None:
    hashes = np.arange(2**40, 2**40 + 100_000, 2, dtype=np.uint64)
    found = SortedHashes(hashes)
    assert all((hash_ in found) == (hash_ % 2 == 0) for hash_ in range(2**40, 2**40 + 100_000))
    assert 0 not in found
    assert TOP not in found


@given(st.lists(HASH))
def test_sorting_in_place_unites(hashes: list[int]) -> None:
    assert sort_and_unite(np.array(hashes, dtype=np.uint64)).tolist() == sorted(set(hashes))


def test_sorting_in_place_unites_across_chunks() -> None:
    hashes = np.repeat(ascending(1_200_000), 2)
    np.random.default_rng(1).shuffle(hashes)
    expected = np.unique(hashes)
    assert np.array_equal(sort_and_unite(hashes), expected)


@given(st.lists(st.tuples(HASHES, st.integers(0, 2**32 - 1)), max_size=6))
def test_settlements_keep_the_first_and_the_last_time(batches: list[tuple[set[int], int]]) -> None:
    expected: dict[int, tuple[int, int]] = {}
    for hashes, moment in batches:
        for hash_ in hashes:
            first, last = expected.get(hash_, (moment, moment))
            expected[hash_] = min(first, moment), max(last, moment)
    parts = [settled_at(unpack(pack(hashes)), moment) for hashes, moment in batches]
    united = unite_settlements([unite_settlements(parts[:3]), *parts[3:]])
    assert united.dtype == SETTLEMENT
    assert united.tolist() == [(hash_, *times) for hash_, times in sorted(expected.items())]


def test_a_segment_of_a_wrong_length_is_refused() -> None:
    with pytest.raises(ValueError, match="multiple"):
        unpack(b"1234567")
