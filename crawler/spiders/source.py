"""A kind of source: a way in which sites announce their articles."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from scrapy import Request
from scrapy.http import Response

from crawler.feeds import BrokenFeed, Entry
from crawler.spiders.listing import BrokenList

if TYPE_CHECKING:
    from crawler.spiders.base import SiteSpider

T = TypeVar("T")

_AT_ONCE = 256 * 1024  # bytes of XML that are read in some 10 ms; more would keep all other sites waiting
MAX_LINKS = 50_000  # of one page; a sitemap may have so many (sitemaps.org), and a list that has more is a trap


class Source(ABC):
    """Yields the requests that a run begins with, and from their answers articles and further requests.

    A new kind is a subclass in a file of its own, and its name in `crawler.spiders.base.SOURCES`.
    """

    name: ClassVar[str]
    """What documents found in this way carry as their `spider`."""
    role: ClassVar[str]
    """What the requests are for (crawler.site_crawler)."""

    def __init__(self, spider: SiteSpider) -> None:
        self.spider = spider
        self.site = spider.site
        self.report = spider.report

    @abstractmethod
    def start(self) -> Iterator[Request]:
        """The requests with which this source begins, in every run."""

    def request(self, url: str, callback: Any, source: Response | None = None, **arguments: Any) -> Request:
        """A request of this source; `source` is the page on which its address was found."""
        return self.spider.request(url, self.role, callback, source, found_by=self.name, **arguments)

    async def read(self, parse: Callable[[], T], response: Response) -> T | None:
        """What a feed or sitemap holds; a large one is read in a thread. None when it is broken, which is an error."""
        try:
            return parse() if len(response.body) <= _AT_ONCE else await asyncio.to_thread(parse)
        except BrokenFeed as problem:
            self.report.error(response.url, f"{self.role}: {problem}")
            return None

    def articles(self, entries: Iterable[Entry], source: Response) -> Iterator[Request]:
        """Requests for the announced articles that are some by the site's patterns; a broken announcement is an error."""
        try:
            for number, entry in enumerate(entries):
                if number == MAX_LINKS:
                    self.report.cut("links of a page", "", source.url)
                    return
                yield from self.spider.article(entry, source, found_by=self.name)
        except (BrokenFeed, BrokenList) as problem:
            self.report.error(source.url, f"{self.role}: {problem}")
