"""Sets of 64-bit hashes as sorted arrays: 8 bytes an address on disk and in memory, and quick to ask."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]
ON_DISK = np.dtype("<u8")
# What the revisit policy needs to know of an address: when it was settled for the first and for the last time.
SETTLEMENT = np.dtype([("hash", "<u8"), ("first", "<u4"), ("last", "<u4")])  # times in seconds since 1970 (until 2106)
Settlements = NDArray[np.void]

_A_BUCKET = 32  # hashes; fewer cost memory (4 bytes a bucket), more cost look-ups: 64 take a third more time than 16
_CHUNK = 2**20


class SortedHashes:
    """A sorted array of hashes, in memory or mapped from a file, that answers whether a hash is in it.

    The leading bits of a hash choose a bucket of 32 to 64 hashes (`index`: where each begins), which is searched by
    bisection: about six steps instead of 26 among 50 million, and few of the places that are looked at are far from
    each other in memory. `index` is made here (see make_index) when none is given.

    What is compared are all 64 bits that are stored, so "seen" is wrong only where two addresses have the same hash.
    An address that was never seen collides with one of n with probability n / 2^64: 2.7e-12 at 50 million addresses,
    or 2.7e-5 for any of 10 million such questions. xxh64 is no secret, so an address can be made to collide with
    another on purpose; all that is won by it is that a site hides a page of its own.
    """

    def __init__(self, hashes: Hashes, index: NDArray[np.uint32] | None = None) -> None:
        self.hashes = np.ascontiguousarray(hashes, dtype=np.uint64)
        starts = make_index(self.hashes) if index is None else index
        self._shift = 64 - (len(starts) - 1).bit_length() + 1
        # Items of a memory view are Python integers, which bisection compares faster than numpy's scalars.
        self._view, self._starts = self.hashes.data, starts.data

    def __len__(self) -> int:
        return len(self.hashes)

    def __contains__(self, hash_: int) -> bool:
        bucket = hash_ >> self._shift
        end = self._starts[bucket + 1]
        position = bisect_left(self._view, hash_, self._starts[bucket], end)
        return position < end and self._view[position] == hash_


def make_index(hashes: Hashes) -> NDArray[np.uint32]:
    """Where the buckets of sorted hashes begin, and the end: 2^b + 1 numbers, b so that a bucket has 32 to 64 hashes.

    At most 0.125 bytes an address (and 8 bytes for a small array). Hashes are evenly spread; were they not, bisection
    would take more steps and find the same.
    """
    bits = max((len(hashes) // _A_BUCKET).bit_length() - 1, 0)
    if not bits:
        return np.array([0, len(hashes)], dtype=np.uint32)
    firsts = np.arange(1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
    return np.append(np.searchsorted(hashes, firsts), len(hashes)).astype(np.uint32)


def pack(hashes: Iterable[int]) -> bytes:
    """A segment: the distinct hashes in ascending order, 8 bytes each, little-endian."""
    return np.unique(np.fromiter(hashes, dtype=ON_DISK)).tobytes()


def unpack(segment: bytes) -> Hashes:
    """The hashes of a segment. Raises ValueError when its length is no multiple of 8."""
    return np.frombuffer(segment, dtype=ON_DISK)


def sort_and_unite(hashes: Hashes) -> Hashes:
    """The distinct hashes in ascending order, in the memory of the given array, which is used up."""
    hashes.sort()
    kept, previous = 0, None
    for start in range(0, len(hashes), _CHUNK):
        chunk = hashes[start : start + _CHUNK]
        new = np.empty(len(chunk), dtype=np.bool_)
        new[0] = previous is None or int(chunk[0]) != previous
        np.not_equal(chunk[1:], chunk[:-1], out=new[1:])
        previous = int(chunk[-1])
        distinct = chunk[new]
        hashes[kept : kept + len(distinct)] = distinct
        kept += len(distinct)
    return hashes[:kept]


def not_among(hashes: Hashes, known: Hashes) -> NDArray[np.bool_]:
    """Which of the hashes are not among the known ones, which are in ascending order: a mask."""
    if not len(known):
        return np.ones(len(hashes), dtype=np.bool_)
    nearest = np.minimum(np.searchsorted(known, hashes), len(known) - 1)
    missing: NDArray[np.bool_] = known[nearest] != hashes
    return missing


def settled_at(hashes: Hashes, seconds: int) -> Settlements:
    """The settlements of a batch: each of its hashes, settled at one time."""
    settlements = np.empty(len(hashes), dtype=SETTLEMENT)
    settlements["hash"], settlements["first"], settlements["last"] = hashes, seconds, seconds
    return settlements


def unite_settlements(parts: Iterable[Settlements]) -> Settlements:
    """One settlement a hash, in ascending order: the earliest `first` and the latest `last` of all parts."""
    together = np.concatenate([np.empty(0, dtype=SETTLEMENT), *parts])
    if not len(together):
        return together
    together = together[np.argsort(together["hash"], kind="stable")]
    hashes = together["hash"]
    starts = np.flatnonzero(np.concatenate(([True], hashes[1:] != hashes[:-1])))
    united = together[starts]
    united["first"] = np.minimum.reduceat(together["first"], starts)
    united["last"] = np.maximum.reduceat(together["last"], starts)
    return united
