"""Scrapy's downloader, which keeps to a host's concurrency."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from scrapy import Request
from scrapy.core.downloader import Downloader, Slot
from scrapy.http import Response
from twisted.internet.defer import Deferred


class ExactDownloader(Downloader):
    """Counts a request as under way from the moment that it is taken from its host's queue; slows hosts down that ask for it.

    Scrapy (2.19) counts it when its task first runs, and meanwhile takes others from the queue: without a delay up to
    CONCURRENT_REQUESTS at once, whatever CONCURRENT_REQUESTS_PER_DOMAIN says.
    """

    def _wait_for_download(
        self, slot: Slot, request: Request, queue_dfd: Deferred[Response]
    ) -> Coroutine[Any, Any, None]:
        slot.transferring.add(request)
        return super()._wait_for_download(slot, request, queue_dfd)

    def slow_down(self, host: str, seconds: float) -> None:
        """Leave at least so much between two requests to the host from now on; the site's own delay where that is longer."""
        known = self.per_slot_settings.get(host, {}).get("delay", self._delay * (1 - self._jitter))
        if seconds <= known:
            return
        # Without the jitter, which would go below; for the slot that is there, and for those after it, since Scrapy forgets
        # hosts that were not asked for a minute.
        settings = self.per_slot_settings[host] = {"delay": max(seconds, self._delay), "jitter": 0.0}
        if slot := self.slots.get(host):
            slot.delay, slot.jitter = settings["delay"], settings["jitter"]
