"""What an answer says of its host and whether it is asked for again: retries with back-off, Retry-After, blocks.

Takes the place of Scrapy's retries, whose further tries follow at once.
"""

from __future__ import annotations

import random
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.retry import get_retry_request
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.utils.misc import load_object

from crawler.blocked import EMPTY, REFUSING, blocked, blocked_address
from crawler.circuits import TRIAL, CircuitOpen, Held, host_of
from crawler.middlewares.circuit_breaker import is_direct, sleep
from crawler.scheduler import WAIT_S
from crawler.site_crawler import ARTICLE, FEED, LIST, SITEMAP, SiteCrawler, of

_TRANSIENT = frozenset({408, 425, 429})  # and 5xx: RFC 9110 15.5.9, RFC 8470 5.2, RFC 6585 4
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LOOKED_AT = frozenset({ARTICLE, LIST, FEED, SITEMAP})  # recordings are told by their content, robots.txt by its rules


class Blocked(IgnoreRequest):
    """The site answered with a captcha, a challenge, a refusal or an empty page; `reason` is what the report counts."""

    def __init__(self, reason: str, where: str) -> None:
        super().__init__(f"blocked: {reason} ({where})")
        self.reason = reason


class RetryMiddleware:
    """Asks again, later, for what may come later; tells the host's circuit how it went."""

    def __init__(self, crawler: SiteCrawler, chance: random.Random) -> None:
        self.crawler = crawler
        self.options = crawler.options
        self.circuits = crawler.circuits
        self._chance = chance
        self._exceptions = tuple(
            load_object(name) if isinstance(name, str) else name
            for name in crawler.settings.getlist("RETRY_EXCEPTIONS")
        )

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler), random.Random())  # noqa: S311

    def process_request(self, request: Request) -> None:
        """Raises Blocked for a redirect that leads to a captcha or a login."""
        redirected = request.meta.get("redirect_urls") and request.meta.get("role") in _LOOKED_AT
        if redirected and (reason := blocked_address(request.url)):
            raise Blocked(reason, f"redirected to {request.url}")

    async def process_response(self, request: Request, response: Response) -> Response | Request:
        """The answer, or a further try. Raises Blocked when the last try brings a captcha or nothing."""
        role = request.meta.get("role")
        reason = None
        if role in _LOOKED_AT and response.status not in _REDIRECTS and response.status not in (404, 410):
            reason = blocked(response, wants_text=role == ARTICLE)
            if reason == EMPTY and response.status != 200:
                reason = None  # a refusal without words; its status says enough
        status = f"HTTP {response.status}"
        transient = response.status in _TRANSIENT or response.status >= 500
        if reason or transient or response.status in REFUSING:
            self.circuits.failure(request, reason or status)
        else:
            self.circuits.success(request)
            return response
        if reason or transient:
            pause = self._retry_after(request, response)
            further = await self._again(request, reason or status, pause)
            if further is not None:
                return further
        if role in _LOOKED_AT and (reason or response.status in REFUSING):
            self.crawler.report.blocked[reason or status] += 1
        if reason:
            raise Blocked(reason, status)
        return response

    async def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """A further try after a time-out, a broken connection or a redirect to a captcha; None when there is none left."""
        if isinstance(exception, (Held, CircuitOpen)):
            return None
        if isinstance(exception, Blocked):
            return await self._after_redirect(request, exception)
        if isinstance(exception, self._exceptions):
            reason = str(exception) or type(exception).__name__
            self.circuits.failure(request, reason)
            return await self._again(request, reason, None)
        self.circuits.release(request)
        return None

    async def _after_redirect(self, request: Request, problem: Blocked) -> Request | None:
        urls = request.meta["redirect_urls"]
        origin = request.replace(url=urls[0])  # the captcha's host has done nothing
        for name in ("redirect_urls", "redirect_times", "redirect_ttl", "redirect_reasons", "download_slot"):
            origin.meta.pop(name, None)
        self.circuits.failure(origin, problem.reason)
        further = await self._again(origin, problem.reason, None)
        if further is None:
            self.crawler.report.blocked[problem.reason] += 1
        return further

    def _retry_after(self, request: Request, response: Response) -> float | None:
        """Pause the whole host for as long as it asks; 429 alone asks for one, too."""
        seconds = retry_after((response.headers.get("Retry-After") or b"").decode("latin-1"), datetime.now(UTC))
        if seconds is None and response.status != 429:
            return None
        if seconds is None:
            seconds = self._back_off(request)
        seconds = min(seconds, self.options.retry_after_max_s)
        self.circuits.pause(host_of(request), seconds, f"HTTP {response.status}")
        return seconds

    async def _again(self, request: Request, reason: str, pause: float | None) -> Request | None:
        spider = self.crawler.spider
        assert spider is not None
        if request.meta.get("dont_retry") or self.crawler.ending:
            return None
        further = get_retry_request(request, spider=spider, reason=reason)
        if further is None:
            return None
        further.meta.pop(TRIAL, None)
        if is_direct(request):
            await sleep(self.crawler, self._back_off(request) if pause is None else 0.0)
        elif pause is None:
            further.meta[WAIT_S] = self._back_off(request)
        return further

    def _back_off(self, request: Request) -> float:
        """Seconds before the next try: exponential, with full jitter.

        uniform(0, min(cap, base * 2 ** tries)), from M. Brooker, Exponential Backoff And Jitter, AWS Architecture Blog,
        2015: of the variants compared there, the one with the least work for the server.
        """
        tries = request.meta.get("retry_times", 0)
        return self._chance.uniform(0, min(self.options.backoff_max_s, self.options.backoff_base_s * 2**tries))


def retry_after(value: str, now: datetime) -> float | None:
    """Seconds from a Retry-After header, which holds seconds or a date (RFC 9110, 10.2.3); None when it holds neither."""
    value = value.strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        moment = parsedate_to_datetime(value)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - now).total_seconds())
