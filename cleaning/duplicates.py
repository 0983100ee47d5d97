"""Near-duplicates: MinHash signatures of character 3-grams, bands under which similar texts meet, an index in memory.

`benchmarks/reprints.py` injects reprints into real news (10 % of the characters replaced, cut to 60 %, lines added, traditional
characters, paragraphs reordered) and prints how many are found and how many links are wrong.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SHINGLE = 3
PERMUTATIONS = 128
BANDS, ROWS = 42, 3  # two of the 128 numbers are left over
_SEED = 20240607  # changing it makes all stored signatures useless

Signature = NDArray[np.uint32]

_BLOCK = 1024  # shingles hashed at once: 128 x 1,024 x 4 bytes = 512 KiB stay in the cache
_WIDTH = 21  # bits of a code point


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """SplitMix64's finaliser: a bijection of 64-bit numbers that spreads every bit (Steele, Lea and Flood 2014)."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed: NDArray[np.uint64] = values ^ (values >> np.uint64(31))
    return mixed


@lru_cache(maxsize=1)
def _permutations() -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """x -> a x + b modulo 2^32 with odd a: a permutation of the 32-bit numbers. Multipliers and offsets as columns.

    The numbers that go in are well mixed already; in 32 bits numpy uses the processor's vector instructions.
    """
    numbers = np.random.default_rng(_SEED).integers(0, 2**32, size=(2, PERMUTATIONS, 1), dtype=np.uint32)
    return numbers[0] | np.uint32(1), numbers[1]


def _packed(text: str) -> NDArray[np.uint64]:
    """The 3-grams of a text without its spaces, in order, each packed into 63 bits; a shorter text is one shingle."""
    compact = "".join(text.split())
    codes = np.frombuffer(compact.encode("utf-32-le"), dtype=np.uint32).astype(np.uint64)
    if 0 < len(codes) < SHINGLE:
        codes = np.concatenate([codes, np.zeros(SHINGLE - len(codes), dtype=np.uint64)])
    packed = codes[: -SHINGLE + 1].copy() if len(codes) else codes
    for offset in range(1, SHINGLE):
        packed = (packed << np.uint64(_WIDTH)) | codes[offset : len(codes) - SHINGLE + 1 + offset]
    return packed


def shingles(text: str) -> NDArray[np.uint64]:
    """The distinct 3-grams of a text without its spaces, each packed into 63 bits; a shorter text is one shingle."""
    return np.unique(_packed(text))


def signature(text: str) -> Signature:
    """The MinHash of a normalised text: 128 numbers of 32 bits. Raises ValueError for a text without characters."""
    # What occurs twice has one minimum: finding it out would take as long as half of the hashing.
    hashes = (_mix(_packed(text)) >> np.uint64(32)).astype(np.uint32)
    if not len(hashes):
        raise ValueError("an empty text has no signature")
    multipliers, offsets = _permutations()
    lowest = np.full(PERMUTATIONS, np.iinfo(np.uint32).max, dtype=np.uint32)
    room = np.empty((PERMUTATIONS, min(_BLOCK, len(hashes))), dtype=np.uint32)
    for start in range(0, len(hashes), _BLOCK):
        block = hashes[start : start + _BLOCK]
        permuted = room[:, : len(block)]
        np.multiply(multipliers, block, out=permuted)
        np.add(permuted, offsets, out=permuted)
        np.minimum(lowest, permuted.min(axis=1), out=lowest)
    return lowest


def bands(minhash: Signature) -> list[int]:
    """42 signed 64-bit keys, one a band of 3 numbers: texts that share a key are candidates.

    Two texts of similarity s meet with probability 1 - (1 - s^3)^42: .94 at .4, .996 at .5, 1.000 at .57, which is what
    10 % replaced characters leave; unrelated news (s about .02) .0003. Bands of 4 find .96 of such reprints.
    """
    columns = minhash[: BANDS * ROWS].reshape(BANDS, ROWS).astype(np.uint64)
    keys = np.arange(1, BANDS + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    for row in range(ROWS):
        keys = _mix(keys ^ columns[:, row])
    return [int(key) for key in keys.view(np.int64)]


def similarity(one: Signature, other: Signature) -> float:
    """Estimate of the Jaccard similarity of two texts' shingles; its standard error is at most .044 (sqrt(s(1-s)/128))."""
    return float(np.count_nonzero(one == other)) / PERMUTATIONS


def to_bytes(minhash: Signature) -> bytes:
    """512 bytes, little-endian."""
    return minhash.astype("<u4").tobytes()


def from_bytes(data: bytes) -> Signature:
    """The inverse of to_bytes."""
    return np.frombuffer(data, dtype="<u4").astype(np.uint32)


@dataclass(frozen=True)
class Known:
    """A document that others are compared with. `order` decides who is earlier: (first_seen, doc_id), or a line's number."""

    key: str
    order: tuple[object, ...]
    minhash: Signature = field(repr=False, compare=False)


def best_earlier(minhash: Signature, candidates: Iterable[Known], threshold: float) -> tuple[Known, float] | None:
    """The most similar candidate at or above the threshold, and the estimate; of equally similar ones the earliest."""
    best: tuple[Known, float] | None = None
    for candidate in candidates:
        estimate = similarity(minhash, candidate.minhash)
        if estimate < threshold:
            continue
        if best is None or (-estimate, candidate.order) < (-best[1], best[0].order):
            best = candidate, estimate
    return best


class Neighbours:
    """Documents by band, in the order in which they are added; of a crowded band only the earliest are compared."""

    def __init__(self, cap: int) -> None:
        self._cap = cap
        self._buckets: dict[int, list[Known]] = {}

    def candidates(self, keys: Sequence[int]) -> list[Known]:
        """The documents that share a band, the earliest `cap` of them."""
        found = {known.key: known for key in keys for known in self._buckets.get(key, ())}
        return sorted(found.values(), key=lambda known: known.order)[: self._cap]

    def add(self, known: Known, keys: Sequence[int]) -> None:
        """Make a document a candidate for later ones."""
        for key in keys:
            bucket = self._buckets.setdefault(key, [])
            if len(bucket) < self._cap:
                bucket.append(known)
