"""Sends a site's requests through its proxies, and tells their health by what comes back."""

from __future__ import annotations

from typing import Self

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.crawler import Crawler
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    NotConfigured,
    ResponseDataLossError,
)
from scrapy.http import Response

from crawler.browser import ProxyFailed
from crawler.site_crawler import SiteCrawler, of

_USED, _FAILED = "proxy_used", "proxies_failed"  # request.meta: numbers in the site's file, which tell no password
# The proxy itself: it is away, has no such name, or refuses the tunnel.
_CERTAIN = (DownloadConnectionRefusedError, CannotResolveHostError, TunnelError, ProxyFailed)
# The proxy, or the site behind it.
_POSSIBLE = (DownloadTimeoutError, DownloadFailedError, ResponseDataLossError)
_GATEWAY = frozenset({502, 504})


class ProxyMiddleware:
    """Sets meta["proxy"], from which Scrapy's own middleware takes user and password, for the browsers and recordings too.

    What is certainly the proxy's fault (no connection, no tunnel, 407) is at once tried through each of the others, before
    it counts as a failure of the site. Time-outs, broken connections, 502 and 504 may be either's: they count, and the
    site's retries take another proxy. A refusal by the site (403, 429, 503, a captcha) is no fault of the proxy and changes
    nothing: proxies are not there to get round it. Inside a tunnel every status is the site's.
    """

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler
        self.pool = crawler.proxies

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        site_crawler = of(crawler)
        if not site_crawler.proxies:
            raise NotConfigured  # without a reason, which Scrapy would log as a warning
        return cls(site_crawler)

    def process_request(self, request: Request) -> None:
        """Choose the proxy of this try."""
        number = self.pool.choose(request.meta.get(_FAILED, ()))
        request.meta[_USED] = number
        request.meta["proxy"] = self.pool.proxies[number].url

    def process_response(self, request: Request, response: Response) -> Response | Request:
        """The answer, or the same request through another proxy when this one wants other credentials."""
        if response.status == 407:
            return self._failed(request, "HTTP 407: it wants another user or password", certain=True) or response
        if response.status in _GATEWAY and not request.url.startswith("https:") and "browser" not in request.meta:
            self._failed(request, f"HTTP {response.status}", certain=False)
        else:
            self.pool.success(request.meta[_USED])
        return response

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """The same request through another proxy when the fault is this one's; None: the retries decide."""
        if _USED not in request.meta:
            return None
        if isinstance(exception, _CERTAIN):
            return self._failed(request, str(exception) or type(exception).__name__, certain=True)
        if isinstance(exception, _POSSIBLE):
            self._failed(request, str(exception) or type(exception).__name__, certain=False)
        return None

    def _failed(self, request: Request, problem: str, *, certain: bool) -> Request | None:
        number = request.meta[_USED]
        self.pool.failure(number, problem)
        failed = request.meta[_FAILED] = (*request.meta.get(_FAILED, ()), number)
        if not certain or set(failed) >= set(range(len(self.pool))):
            return None
        self.crawler.circuits.release(request)  # a trial of the site's circuit did not reach the site
        return request.replace(dont_filter=True)
