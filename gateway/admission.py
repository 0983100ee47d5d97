"""Who may enter: keys that were looked up a moment ago, and requests taken from their limits a few at a time.

A script that asks a hundred times a second would otherwise ask the database a hundred times who it is. A process knows a key
for `gateway.key_cache_s` seconds and no longer; what is changed through this process is forgotten at once.
"""

import asyncio
import time
from dataclasses import dataclass, field
from weakref import WeakValueDictionary

from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.queries import keys
from yuqing.contracts import now

# Requests that a process takes from a limit at once, at most; of a small burst a sixteenth, so that several processes all get
# some of it, and what is left unused when the key is forgotten is no loss.
LEASE = 64
_SHARE_OF_BURST = 16
# Keys that a process knows at most; beyond it all are looked up again.
_KNOWN = 10_000


@dataclass
class _Held:
    """A key as it was read, the requests that were taken for it then, and how many of them are left."""

    record: keys.KeyRecord
    until: float
    taken: int
    left: int


@dataclass
class Admission:
    """What one process knows of keys, for so many seconds (0: nothing)."""

    seconds: float
    _held: dict[str, _Held] = field(default_factory=dict)
    _asking: WeakValueDictionary[str, asyncio.Lock] = field(default_factory=WeakValueDictionary)

    async def enter(self, pool: AsyncEngine, sha256: str, limit: keys.Limit) -> keys.KeyRecord | None:
        """The valid key with this SHA-256, with one request taken from its limit; see `keys.enter_by_hash`."""
        if record := self._known(sha256):
            return record
        async with self._asking.setdefault(sha256, asyncio.Lock()):  # of many requests at once one asks for all
            if record := self._known(sha256):
                return record
            requests = self._next_lease(sha256, limit)
            async with pool.connect() as connection:
                record = await keys.enter_by_hash(connection, sha256, limit, requests)
                if record and record.wait_s > 0 and requests > 1:
                    requests = 1
                    record = await keys.enter_by_hash(connection, sha256, limit, requests)
            if record and record.wait_s == 0 and self.seconds:
                if len(self._held) >= _KNOWN:
                    self._held.clear()
                self._held[sha256] = _Held(record, time.monotonic() + self.seconds, requests, requests - 1)
            return record

    def forget(self) -> None:
        """Know no key any more: one of them has been changed."""
        self._held.clear()

    def _known(self, sha256: str) -> keys.KeyRecord | None:
        held = self._held.get(sha256)
        if held is None or not held.left or time.monotonic() >= held.until:
            return None
        if held.record.expires_at is not None and held.record.expires_at <= now():
            return None
        held.left -= 1
        return held.record

    def _next_lease(self, sha256: str, limit: keys.Limit) -> int:
        """Twice what was used of the last lease, so that a key that asks seldom is charged for what it asks."""
        held = self._held.get(sha256)
        used = held.taken - held.left if held else 0
        return max(1, min(2 * used, LEASE, limit.burst // _SHARE_OF_BURST))
