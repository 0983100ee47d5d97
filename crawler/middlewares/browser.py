"""Sends the pages that are empty without JavaScript to Chromium."""

from __future__ import annotations

from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler

from crawler.site_crawler import ARTICLE, LIST, of
from yuqing.sites import Site


class BrowserMiddleware:
    """Marks the lists and articles that a browser rule of the site matches.

    The download handler takes marked requests to the browser pool, so that the host's delay and concurrency and the
    retries hold for them as for all others.
    """

    def __init__(self, site: Site) -> None:
        self.site = site

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler).site)

    def process_request(self, request: Request) -> None:
        """Set meta["browser"] to the rule."""
        if request.meta.get("role") not in (LIST, ARTICLE):
            return
        rule = self.site.browser_rule(request.url)
        if rule is None:
            request.meta.pop("browser", None)  # a redirect may lead from a page with a rule to one without
        else:
            request.meta["browser"] = rule
