"""Scrapy's scheduler, with patience: requests that must wait are kept here, where they take no place of the downloader.

A request waits for its own back-off (request.meta["wait_s"]), or because its host is left alone (crawler/circuits.py). Were
it to wait in a downloader middleware instead, sixteen of them would keep every other host of the site from being asked.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from typing import Any

from scrapy import Request, Spider
from scrapy.core.scheduler import Scheduler
from twisted.internet.defer import Deferred

from crawler.circuits import CircuitOpen, host_of
from crawler.site_crawler import of

WAIT_S = "wait_s"  # request.meta: seconds until the request may be sent


class PatientScheduler(Scheduler):
    """Keeps delayed requests beside the queues and puts them in when their time has come."""

    def open(self, spider: Spider) -> Deferred[None] | None:
        """Prepare the queues."""
        self._delayed = 0
        self._held: defaultdict[str, list[Request]] = defaultdict(list)
        self._timers: dict[object, asyncio.TimerHandle] = {}
        self._crawler = of(spider.crawler)
        self._crawler.circuits.on_change = self._release
        return super().open(spider)

    def close(self, reason: str) -> Deferred[None] | None:
        """Forget what still waits: it is not settled, and the next run asks for it."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._held.clear()
        self._delayed = 0
        return super().close(reason)

    def enqueue_request(self, request: Request) -> bool:
        """Queue a request, at once or when meta["wait_s"] is over."""
        seconds = request.meta.pop(WAIT_S, 0.0)
        if not seconds:
            return super().enqueue_request(request)
        self._delayed += 1
        self._timers[request] = self._later(seconds, self._come, request)
        return True

    def next_request(self) -> Request | None:
        """The next request whose host may be asked now; None when there is none."""
        while (request := super().next_request()) is not None:
            try:
                seconds = self._crawler.circuits.admit(request)
            except CircuitOpen:
                return request  # the middleware refuses it, so that its errback learns why
            if not seconds:
                return request
            host = host_of(request)
            self._held[host].append(request)
            if host not in self._timers:
                self._timers[host] = self._later(seconds, self._release, host)
        return None

    def __len__(self) -> int:
        return super().__len__() + self._delayed + sum(map(len, self._held.values()))

    def has_pending_requests(self) -> bool:
        """Whether anything is queued or waits."""
        return bool(self._delayed or self._held) or super().has_pending_requests()

    def _later(self, seconds: float, call: Any, argument: object) -> asyncio.TimerHandle:
        return asyncio.get_running_loop().call_later(seconds, call, argument)

    def _come(self, request: Request) -> None:
        self._timers.pop(request, None)
        self._delayed -= 1
        self._crawler.engine.crawl(request)

    def _release(self, host: str) -> None:
        if timer := self._timers.pop(host, None):
            timer.cancel()
        for request in self._held.pop(host, []):
            self._crawler.engine.crawl(request)
