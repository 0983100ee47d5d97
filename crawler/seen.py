"""Which addresses are settled: sorted arrays of 64-bit hashes, one segment a batch, written after the batch is safe."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from crawler.canonical import site_address, url_hash
from yuqing.contracts import read_raw_document
from yuqing.errors import ContractError
from yuqing.objects import ObjectStore
from yuqing.sites import Site

Hashes = NDArray[np.uint64]
_ON_DISK = np.dtype("<u8")
_READERS = 8  # segments read at the same time; S3's latency dominates


class SeenUrls:
    """The settled addresses of one site, and those that this run has taken on.

    An address is `claimed` once a run requests it, so that a run requests it once; it is `settled` when its page is in
    the open batch or is known not to exist. Only what is settled is ever written, after its batch.
    """

    def __init__(self, stored: Hashes) -> None:
        self._stored = stored
        self._settled: set[int] = set()
        self._claimed: set[int] = set()
        self._waiting: dict[int, set[int]] = {}

    def __len__(self) -> int:
        return len(self._stored) + len(self._settled)

    def __contains__(self, hash_: int) -> bool:
        """Whether the address was settled, by this run or an earlier one."""
        if hash_ in self._settled:
            return True
        key = np.uint64(hash_)
        position = int(np.searchsorted(self._stored, key))
        return position < len(self._stored) and bool(self._stored[position] == key)

    def claim(self, hash_: int) -> bool:
        """Take an address on; False when this run has already done so."""
        if hash_ in self._claimed:
            return False
        self._claimed.add(hash_)
        return True

    def wait(self, target: int, sources: Iterable[int]) -> None:
        """Addresses that redirect to one that another request is bringing: they are settled when it is."""
        self._waiting.setdefault(target, set()).update(sources)

    def settle(self, hashes: Iterable[int]) -> set[int]:
        """Remember for the rest of the run that these addresses need no request.

        Returns them with all that waited for them, directly or through others: what the batch is to settle.
        """
        settled: set[int] = set()
        following = set(hashes)
        while following:
            settled |= following
            following = set().union(*(self._waiting.pop(hash_, set()) for hash_ in following)) - settled
        self._settled |= settled
        return settled


def pack(hashes: Iterable[int]) -> bytes:
    """A segment: the distinct hashes in ascending order, 8 bytes each, little-endian."""
    return np.unique(np.fromiter(hashes, dtype=_ON_DISK)).tobytes()


def unpack(segment: bytes) -> Hashes:
    """The hashes of a segment. Raises ValueError when its length is no multiple of 8."""
    return np.frombuffer(segment, dtype=_ON_DISK)


def load(store: ObjectStore, site: Site) -> SeenUrls:
    """All that earlier runs have settled, after mending what a killed run left. Raises ObjectStoreAway."""
    segments = [item.key for item in store.list(f"seen/{site.name}/")]
    segments += repair(store, site, segments)
    with ThreadPoolExecutor(_READERS) as readers:
        arrays = [unpack(data) for data in readers.map(store.get, segments)]
    return SeenUrls(np.unique(np.concatenate(arrays)) if arrays else np.empty(0, dtype=np.uint64))


def segment_key(batch_key: str) -> str:
    """raw/<site>/<Y>/<M>/<D>/<ulid>.jsonl.gz -> seen/<site>/<Y>/<M>/<D>/<ulid>.u64"""
    return "seen/" + batch_key.removeprefix("raw/").removesuffix(".jsonl.gz") + ".u64"


def repair(store: ObjectStore, site: Site, segments: Sequence[str]) -> list[str]:
    """Write the segments of batches that have none, because their run was killed between the two; returns their keys.

    Without this the pages of such a batch would be fetched once more. A crawl of the same site that runs at the
    same time may be about to write such a segment: ours gives way to one that exists, and one that comes overwrites it.
    """
    known = set(segments)
    written = []
    for item in store.list(f"raw/{site.name}/"):
        key = segment_key(item.key)
        if item.key.endswith(".jsonl.gz") and key not in known:
            store.put(key, pack(_addresses(store.get(item.key), site)), only_if_absent=True)
            written.append(key)
    return written


def _addresses(batch: bytes, site: Site) -> Iterator[int]:
    for line in gzip.decompress(batch).splitlines():
        try:
            document = read_raw_document(line)
        except ContractError:
            continue  # the cleaning quarantines it with the reason; here it settles nothing
        if document.kind != "transcript":
            yield url_hash(document.canonical_url)
            yield url_hash(site_address(site, document.url))
