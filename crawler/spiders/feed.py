"""RSS and Atom feeds: articles with what the feed says of them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from scrapy import Request
from scrapy.http import Response

from crawler.feeds import parse_feed
from crawler.site_crawler import FEED
from crawler.spiders.article import content_type
from crawler.spiders.source import Source


class Feeds(Source):
    """`feeds`."""

    name = "feed"
    role = FEED

    def start(self) -> Iterator[Request]:
        for url in self.site.feeds:
            yield self.request(url, self.parse)

    async def parse(self, response: Response) -> AsyncIterator[Request]:
        """Articles of a feed."""
        entries = await self.read(lambda: list(parse_feed(response.body, content_type(response))), response)
        for request in self.articles(entries or (), response):
            yield request
