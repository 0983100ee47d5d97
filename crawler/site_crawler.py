"""What the parts of one site's crawl share: a Scrapy crawler that knows its site, and the item that runs through it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scrapy import Spider
from scrapy.crawler import Crawler

from crawler.circuits import Circuits
from crawler.egress import Egress
from crawler.proxies import ProxyPool
from crawler.yields import Announced

if TYPE_CHECKING:
    from crawler.batches import BatchWriter
    from crawler.browser import BrowserPool
    from crawler.report import CrawlReport
    from crawler.retries import Failure, Retries, Tried
    from crawler.seen import SeenUrls
    from yuqing.errors import YuqingError
    from yuqing.objects import ObjectStore
    from yuqing.settings import CrawlerSettings
    from yuqing.sites import Site

# request.meta["role"]: what the request is for.
LIST, ARTICLE, FEED, SITEMAP, MEDIA = "list", "article", "feed", "sitemap", "media"


@dataclass
class FetchedPage:
    """The one item of the spiders: an article page on its way to a batch.

    record: the fields of a RawDocument but for `media`; media_urls: recordings that the page names;
    settles: hashes of the addresses that need no request once this page is on S3; via_browser: Chromium loaded it;
    refused: why the page is no document, for which it goes to quarantine; recordings: what became of media_urls.
    """

    record: dict[str, Any] = field(repr=False)
    media_urls: list[str] = field(default_factory=list)
    settles: set[int] = field(default_factory=set)
    via_browser: bool = False
    refused: str | None = None
    recordings: list[Tried] = field(default_factory=list)


@dataclass
class LateRecordings:
    """The other item: recordings of one page that earlier runs could not get."""

    failures: list[Failure]


class SiteCrawler(Crawler):
    """One site's crawl. Its components find what they share here (see `of`).

    names: those of the watchlist, for the site's search.
    """

    def __init__(
        self,
        spider: type[Spider],
        scrapy_settings: dict[str, Any],
        *,
        site: Site,
        settings: CrawlerSettings,
        store: ObjectStore,
        seen: SeenUrls,
        batches: BatchWriter,
        report: CrawlReport,
        browsers: BrowserPool | None,
        names: Sequence[str] = (),
        max_pages: int | None = None,
    ) -> None:
        super().__init__(spider, scrapy_settings)
        self.site = site
        self.egress = Egress(allow_private=site.allow_private_addresses)
        self.options = settings
        self.store = store
        self.seen = seen
        self.batches = batches
        self.retries: Retries = batches.retries
        self.report = report
        self.browsers = browsers
        self.names = names
        self.proxies = ProxyPool(site.proxies, settings, random.Random())  # noqa: S311
        self.max_pages = max_pages
        self.circuits = Circuits(settings, report)
        self.announced = Announced()
        self._closing: asyncio.Task[None] | None = None

    @property
    def ending(self) -> bool:
        """Whether no further requests are sent, so that nothing should wait for its turn."""
        return self._closing is not None or not (self.engine and self.engine.running)

    def give_up(self, problem: YuqingError) -> None:
        """S3 is away: nothing that is fetched from now on could be kept. The command ends with this error."""
        self.batches.failure = self.batches.failure or problem
        self.report.error("", str(problem))
        if self.crawling and not self._closing:
            self._closing = asyncio.get_running_loop().create_task(
                self.engine.close_spider_async(reason="object_store_away")
            )


def of(crawler: Crawler) -> SiteCrawler:
    """The crawler as what it is here; for the from_crawler methods of our components."""
    if not isinstance(crawler, SiteCrawler):
        raise TypeError("this component belongs to `yuqing crawl`, which makes a SiteCrawler for each site")
    return crawler
