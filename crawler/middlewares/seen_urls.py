"""Nothing twice: articles that are settled are not requested, and what a run learns about addresses is settled."""

from __future__ import annotations

from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.spidermiddlewares.base import BaseSpiderMiddleware

from crawler.canonical import site_address, url_hash
from crawler.site_crawler import ARTICLE, SiteCrawler, of

GONE = frozenset({404, 410})


class AlreadySeen(IgnoreRequest):
    """A redirect leads to an article that is settled."""


def address(crawler: SiteCrawler, url: str) -> int:
    """The hash of an address in this site's canonical form. Raises ValueError for what is no http(s) address."""
    return url_hash(site_address(crawler.site, url))


class SeenUrlsSpiderMiddleware(BaseSpiderMiddleware):
    """Drops requests before they are scheduled: anything twice in one run, and articles that are settled, unless
    the site's revisit policy asks for them again, or that failed and are to rest.

    Lists, feeds and sitemaps are fetched in every run. `max_pages` is kept here too, by counting article requests.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.site_crawler = of(crawler)
        self._articles = 0

    def get_processed_request(self, request: Request, response: Response | None) -> Request | None:
        """The request, or None when it is not needed."""
        try:
            hash_ = address(self.site_crawler, request.url)
        except ValueError as problem:  # raised further, it would end the reading of the page that names this one
            self.site_crawler.report.error(request.url, str(problem))
            return None
        article = request.meta.get("role") == ARTICLE
        if article and response is not None:
            self.site_crawler.announced.add(request.meta["found_by"], hash_)
        if not self.site_crawler.seen.claim(hash_):
            return None
        if article:
            # What earlier runs could not get comes without a response: nobody has announced it in this run.
            self.site_crawler.report.found += response is not None
            if not self.site_crawler.seen.wants(hash_):
                self.site_crawler.report.seen_skipped += response is not None  # or it would count against found_new
                return None
            if self.site_crawler.retries.rests(hash_):
                self.site_crawler.report.resting += 1
                return None
            limit = self.site_crawler.max_pages
            if limit is not None and self._articles >= limit:
                return None
            self._articles += 1
            if self.site_crawler.seen.is_due(hash_):
                self.site_crawler.report.revisited += 1
        return request


class SeenUrlsDownloaderMiddleware:
    """Settles articles that are gone (404, 410), and spares redirects whose target is known or on its way already."""

    def __init__(self, crawler: SiteCrawler) -> None:
        self.crawler = crawler

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler))

    def process_request(self, request: Request) -> None:
        """Spare the second half of a redirect to an article that needs no further request; raises AlreadySeen."""
        if request.meta.get("role") != ARTICLE or not request.meta.get("redirect_urls"):
            return
        seen, target = self.crawler.seen, address(self.crawler, request.url)
        sources = {address(self.crawler, url) for url in request.meta["redirect_urls"]}
        if target in sources or request.meta.get("claimed") == target:
            return  # a redirect to itself, as for a cookie, or a further try of a target that is ours
        if seen.wants(target) and seen.claim(target):
            request.meta["claimed"] = target
            return
        self.crawler.batches.settle_names(target, sources)
        self.crawler.report.duplicates += 1
        raise AlreadySeen(f"leads to {request.url}, which is known or on its way")

    def process_response(self, request: Request, response: Response) -> Response:
        """Remember what does not exist any more."""
        if response.status in GONE and request.meta.get("role") == ARTICLE:
            urls = [request.url, *request.meta.get("redirect_urls", [])]
            self.crawler.batches.settle(address(self.crawler, url) for url in urls)
            self.crawler.report.gone += 1
        return response
