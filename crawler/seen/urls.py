"""What one run knows about the addresses of its site."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from crawler.seen.hashes import Hashes, SortedHashes, not_among


class SeenUrls:
    """The settled addresses of one site, and those that this run has taken on.

    An address is `claimed` once a run requests it, so that a run requests it once; `in hand` from when its page is read
    until the page is in a batch, which may take as long as its recordings do; `settled` when its page is in the open
    batch or is known not to exist. Only what is settled is ever written, after its batch: were a page settled while it
    is in hand, a batch of others could settle it on S3, and a kill would lose it.

    stored: what earlier runs settled, in as many arrays as it was loaded in; due: those of them that the site's revisit
    policy asks for again.
    """

    def __init__(self, stored: Sequence[SortedHashes] = (), due: SortedHashes | None = None) -> None:
        self._stored = tuple(array for array in stored if len(array))
        self._due = due if due is not None and len(due) else None
        self._settled: set[int] = set()
        self._claimed: set[int] = set()
        self._in_hand: Counter[int] = Counter()
        self._waiting: dict[int, set[int]] = {}

    def __contains__(self, hash_: int) -> bool:
        """Whether the address was settled, by this run or an earlier one."""
        if hash_ in self._settled:
            return True
        for array in self._stored:  # noqa: SIM110  (the generator that any() needs takes as long as a look-up)
            if hash_ in array:
                return True
        return False

    def unseen(self, hashes: Hashes) -> Hashes:
        """Those of the hashes that earlier runs have not settled."""
        for array in self._stored:
            hashes = hashes[not_among(hashes, array.hashes)]
        return hashes

    def is_due(self, hash_: int) -> bool:
        """Whether the revisit policy asks for an address again that earlier runs settled, and this run has not yet."""
        if self._due is None or hash_ in self._settled or hash_ in self._in_hand:
            return False
        return hash_ in self._due

    def wants(self, hash_: int) -> bool:
        """Whether a page of this address is wanted: neither settled nor in hand, or due for a revisit."""
        return (hash_ not in self._in_hand and hash_ not in self) or self.is_due(hash_)

    def take(self, hashes: Iterable[int]) -> None:
        """The page of these addresses is read, and on its way to a batch: see release()."""
        self._in_hand.update(hashes)

    def release(self, hashes: Iterable[int]) -> None:
        """The page that was taken with these addresses is in a batch, which is to settle them."""
        for hash_ in hashes:
            if self._in_hand[hash_] > 1:
                self._in_hand[hash_] -= 1
            else:
                del self._in_hand[hash_]

    def awaits(self, hash_: int) -> bool:
        """Whether a page of this address may still come in this run: it is wanted or in hand."""
        return hash_ in self._in_hand or self.wants(hash_)

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

        Returns them with all that waited for them, directly or through others: what the batch is to settle. What is in
        hand is left to its own page.
        """
        settled: set[int] = set()
        following = set(hashes) - self._in_hand.keys()
        while following:
            settled |= following
            following = set().union(*(self._waiting.pop(hash_, set()) for hash_ in following))
            following -= settled | self._in_hand.keys()
        self._settled |= settled
        return settled
