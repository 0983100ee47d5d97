"""Sitemaps, news sitemaps and indexes: what changed of late."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.http import Response

from crawler.canonical import join
from crawler.feeds import parse_sitemap
from crawler.site_crawler import SITEMAP
from crawler.spiders.article import content_type
from crawler.spiders.source import Source
from yuqing.contracts import now

if TYPE_CHECKING:
    from crawler.spiders.base import SiteSpider

_A_TURN = 200  # articles, of the 50,000 that a sitemap may have, after which other sites have their turn


class Sitemaps(Source):
    """`sitemaps`, and those that indexes name, at most crawler.sitemaps of the latter a run: the newest first.

    Then those without a date, in an order that every run draws anew: nothing says that they are old, and where they are
    too many for one run, each has its turn. The report says how many were left out.
    """

    name = "sitemap"
    role = SITEMAP

    def __init__(self, spider: SiteSpider) -> None:
        super().__init__(spider)
        self._left = spider.site_crawler.options.sitemaps
        self._oldest = now() - timedelta(days=self.site.sitemap_days)

    def start(self) -> Iterator[Request]:
        for url in self.site.sitemaps:
            yield self.request(url, self.parse)

    async def parse(self, response: Response) -> AsyncIterator[Request]:
        """Articles of a sitemap, and the sitemaps of an index."""
        sitemap = await self.read(lambda: parse_sitemap(response.body, content_type(response)), response)
        if sitemap is None:
            return
        children = [child for child in sitemap.children if self._recent(child.modified)]
        random.shuffle(children)
        children.sort(key=lambda child: child.modified or self._oldest, reverse=True)  # stable: the drawn order stays
        for child in children:
            absolute = join(response.url, child.url)
            if absolute and self._left > 0:
                self._left -= 1
                yield self.request(absolute, self.parse, response)
            elif absolute:
                self.report.cut("crawler.sitemaps", "", absolute)
                self.spider.site_crawler.announced.sampled.add(self.name)
        recent = (entry for entry in sitemap.entries if self._recent(entry.modified or entry.published_at))
        for number, request in enumerate(self.articles(recent, response)):
            if number % _A_TURN == 0:
                await asyncio.sleep(0)
            yield request

    def _recent(self, moment: datetime | None) -> bool:
        return moment is None or moment >= self._oldest
