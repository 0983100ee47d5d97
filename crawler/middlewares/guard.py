"""Refuses what needs no connection to be refused, and counts every refused request, wherever it was refused."""

from __future__ import annotations

from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.utils.httpobj import urlparse_cached

from crawler.egress import Egress, RefusedAddress
from crawler.report import CrawlReport
from crawler.site_crawler import of


class GuardMiddleware:
    """Every request passes: pages, robots.txt, feeds, recordings and redirects.

    Here other schemes and addresses written as numbers end, before robots.txt is asked for; names are checked where the
    connection is made (crawler/egress.py).
    """

    def __init__(self, report: CrawlReport, egress: Egress) -> None:
        self.report = report
        self.egress = egress
        self._passed: set[str] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        site_crawler = of(crawler)
        return cls(site_crawler.report, site_crawler.egress)

    def process_request(self, request: Request) -> None:
        """Let the request pass, or raise RefusedAddress."""
        parts = urlparse_cached(request)
        if parts.scheme not in ("http", "https"):
            raise RefusedAddress(f"{parts.scheme}: is not a scheme to crawl")
        host = parts.hostname or ""
        if host not in self._passed:
            self.egress.check_literal(host)
            self._passed.add(host)

    def process_exception(self, request: Request, exception: Exception) -> None:
        """Count a request that was refused here, or by the connection that it needed."""
        if isinstance(exception, RefusedAddress):
            self.report.refused_addresses += 1
