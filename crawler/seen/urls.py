"""What one run knows about the addresses of its site."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from crawler.seen.hashes import Hashes, SortedHashes, not_among


class SeenUrls:
    """The settled addresses of one site, and those that this run has taken on.

    An address is `claimed` once a run requests it, so that a run requests it once; it is `settled` when its page is in
    the open batch or is known not to exist. Only what is settled is ever written, after its batch.

    stored: what earlier runs settled, in as many arrays as it was loaded in; due: those of them that the site's revisit
    policy asks for again.
    """

    def __init__(self, stored: Sequence[SortedHashes] = (), due: SortedHashes | None = None) -> None:
        self._stored = tuple(array for array in stored if len(array))
        self._due = due if due is not None and len(due) else None
        self._settled: set[int] = set()
        self._claimed: set[int] = set()
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
        return self._due is not None and hash_ in self._due and hash_ not in self._settled

    def wants(self, hash_: int) -> bool:
        """Whether a page of this address is wanted: it was never settled, or it is due for a revisit."""
        return hash_ not in self or self.is_due(hash_)

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
