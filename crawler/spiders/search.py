"""The site's own search, asked for the names on the watchlist: how mentions are found that no list shows any more."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

from parsel import Selector
from scrapy import Request
from scrapy.http import Response

from crawler.site_crawler import LIST
from crawler.spiders.listing import base_address, html_entries, json_entries
from crawler.spiders.source import Source
from yuqing.sites import NAME_PLACEHOLDER, PAGE_PLACEHOLDER, Search

if TYPE_CHECKING:
    from crawler.spiders.base import SiteSpider


class Searches(Source):
    """`search`, for each name and alias of the watchlist.

    Every run asks for all of them up to crawler.searches. Of more, each run draws that many at random: runs need not know
    of each other, and a name waits for len(names) / crawler.searches runs on average.
    """

    name = "search"
    role = LIST

    def __init__(self, spider: SiteSpider) -> None:
        super().__init__(spider)
        names, most = list(spider.site_crawler.names), spider.site_crawler.options.searches
        self._names = names if len(names) <= most else random.sample(names, most)

    def start(self) -> Iterator[Request]:
        if self.site.search:
            self.spider.site_crawler.announced.names = len(self._names)
        for rule in self.site.search:
            for name in self._names:
                for number in range(1, rule.pages + 1):
                    url = search_address(rule, name, number)
                    if url is None:
                        self.report.error(rule.url, f"search: {name!r} cannot be written in {rule.encoding}")
                        break
                    yield self.request(url, self.parse, rule=rule)

    def parse(self, response: Response, rule: Search) -> Iterator[Request]:
        """Articles that the search found."""
        text = self.spider.text(response)
        if rule.json_items:
            entries = json_entries(text, response.url, rule.json_items)
        else:
            page = Selector(text, type="html")
            entries = html_entries(page, base_address(page, response.url), rule.links)
        yield from self.articles(entries, response)


def search_address(rule: Search, name: str, number: int) -> str | None:
    """The address of a search's page, or None for a name that the site's encoding does not have."""
    try:
        written = quote(name.encode(rule.encoding), safe="")
    except UnicodeEncodeError:
        return None
    return rule.url.replace(NAME_PLACEHOLDER, written).replace(PAGE_PLACEHOLDER, str(number))
