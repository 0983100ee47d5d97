"""Asks again through another proxy what one proxy has certainly spoiled."""

from __future__ import annotations

from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import NotConfigured
from scrapy.http import Response

from crawler.proxies import CERTAIN, REFUSED_LOGIN, USED
from crawler.site_crawler import SiteCrawler, of


class ProxyMiddleware:
    """The download handler has the proxy chosen and its health noted (crawler/proxies.py); here is what follows.

    What is certainly the proxy's fault (no connection, no tunnel, 407) is at once tried through each of the others, before
    it counts as a failure of the site. Time-outs, broken connections, 502 and 504 may be either's: the site's retries take
    another proxy. A refusal by the site (403, 429, 503, a captcha) is no fault of the proxy and changes nothing: proxies are
    not there to get round it.
    """

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        site_crawler = of(crawler)
        if not site_crawler.proxies:
            raise NotConfigured  # without a reason, which Scrapy would log as a warning
        return cls(site_crawler)

    def process_request(self, request: Request) -> None:
        """Forget an earlier try's proxy, with its password."""
        request.meta["proxy"] = None
        request.meta.pop(USED, None)
        request.headers.pop("Proxy-Authorization", None)

    def process_response(self, request: Request, response: Response) -> Response | Request:
        """The answer, or the same request when its proxy wanted another user or password."""
        return (self._again(request) if response.status == REFUSED_LOGIN else None) or response

    def process_exception(self, request: Request, exception: Exception) -> Request | None:
        """The same request when its proxy could not be used; None: the retries decide."""
        return self._again(request) if isinstance(exception, CERTAIN) else None

    def _again(self, request: Request) -> Request | None:
        if USED not in request.meta or not self.crawler.proxies.others_left(request):
            return None
        self.crawler.circuits.release(request)  # a trial of the site's circuit did not reach the site
        return request.replace(dont_filter=True)
