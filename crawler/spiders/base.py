"""The spider of one site: it asks every kind of source that the site's file names, and reads the articles they announce."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from scrapy import Request, Spider, signals
from scrapy.crawler import Crawler
from scrapy.http import HtmlResponse, Response
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from crawler.blocked import EMPTY
from crawler.canonical import join, request_address, site_address
from crawler.circuits import CircuitOpen
from crawler.feeds import Entry
from crawler.middlewares.retry import Blocked
from crawler.middlewares.robots import ForbiddenByRobots, RobotsUnreachable
from crawler.middlewares.seen_urls import GONE, AlreadySeen
from crawler.retries import Try
from crawler.site_crawler import ARTICLE, FetchedPage, LateRecordings, SiteCrawler, of
from crawler.spiders.article import NoArticle, read_article, read_text
from crawler.spiders.feed import Feeds
from crawler.spiders.search import Searches
from crawler.spiders.site import Lists
from crawler.spiders.sitemap import Sitemaps
from crawler.spiders.source import Source
from yuqing.telemetry import get_logger

log = get_logger(__name__)

SOURCES: tuple[type[Source], ...] = (Lists, Feeds, Sitemaps, Searches)


class SiteSpider(Spider):
    """Crawls one site. What is an article, and where they are announced, stands in the site's file."""

    name = "site"

    def __init__(self, crawler: SiteCrawler, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.site_crawler = crawler
        self.site = crawler.site
        self.report = crawler.report
        self.sources = [kind(self) for kind in SOURCES]

    @classmethod
    def from_crawler(cls, crawler: Crawler, *_: Any, **keywords: Any) -> Self:
        """Scrapy's way in."""
        spider = cls(of(crawler), **keywords)
        spider._set_crawler(crawler)
        crawler.signals.connect(spider.lost, signals.item_error)
        return spider

    async def start(self) -> AsyncIterator[Request | LateRecordings]:
        """The beginnings of all sources; then, once all that they led to is there, what earlier runs could not get.

        Later, because what is new comes first, where --max-pages or the site's limits leave no room for both, and because
        a list that still shows a page says more of it than we remember.
        """
        for source in self.sources:
            for request in source.start():
                yield request
        retries = self.site_crawler.retries
        if retries.due() or retries.due_recordings():
            await self._quiet()
        for page in retries.due():
            if not self.site.is_article(site_address(self.site, page.url)):
                retries.drop(page)  # the site's patterns have changed since
                continue
            request = self.request(
                page.url, ARTICLE, self.parse_article, found_by=page.found_by, entry=page.entry or Entry(page.url)
            )
            request.meta["parent"] = page.parent
            yield request
        for recordings in retries.due_recordings():
            yield LateRecordings(recordings)

    async def _quiet(self) -> None:
        """Wait until nothing is scheduled, on its way or being read."""
        engine = self.site_crawler.engine
        scheduler, scraper = engine.scheduler, engine.scraper.slot
        assert scheduler is not None
        assert scraper is not None
        while engine.downloader.active or scheduler.has_pending_requests() or not scraper.is_idle():
            await self.site_crawler.signals.wait_for(signals.scheduler_empty)

    def article(self, entry: Entry, source: Response, *, found_by: str) -> Iterator[Request]:
        """The request for an article announced on a page, unless the site's patterns say that it is none."""
        url = join(source.url, entry.url)
        if url is None:
            return
        try:
            canonical = site_address(self.site, url)
        except ValueError:
            return
        if self.site.is_article(canonical):
            yield self.request(
                request_address(self.site, url), ARTICLE, self.parse_article, source, found_by=found_by, entry=entry
            )

    def request(
        self, url: str, role: str, callback: Any, source: Response | None = None, *, found_by: str, **arguments: Any
    ) -> Request:
        """A request with what the middlewares need to know of it; `source` is the page on which its address was found."""
        # Articles before further list pages: what is found is brought in before more is looked for.
        return Request(
            url,
            callback=callback,
            errback=self.failed,
            cb_kwargs=arguments,
            meta={
                "role": role,
                "parent": source.url if source else None,
                "referrer": source.url if isinstance(source, HtmlResponse) else None,  # nobody follows a link of a feed
                "found_by": found_by,
            },
            priority=1 if role == ARTICLE else 0,
        )

    def parse_article(self, response: Response, entry: Entry) -> Iterator[FetchedPage]:
        """The page as an item, unless it is known or none that can be kept."""
        request = response.request
        assert request is not None
        try:
            page = read_article(response, entry, self.site_crawler, request.meta["found_by"])
        except NoArticle as problem:
            self.no_article(request, problem)
            return
        except Exception as problem:
            log.exception("a page could not be read", url=response.url)
            self._lost(request, problem)
            return
        if page:
            yield page

    def no_article(self, request: Request, problem: NoArticle) -> None:
        """A page that cannot be kept is not settled, and later runs try again."""
        self._missed(request, str(problem))

    def failed(self, failure: Failure) -> None:
        """What could not be had is not settled, and later runs try again (but for what is gone)."""
        request: Request = failure.request  # type: ignore[attr-defined]
        problem = failure.value
        if isinstance(problem, HttpError):
            if problem.response.status not in GONE or request.meta["role"] != ARTICLE:
                self._missed(request, f"HTTP {problem.response.status}")
        elif isinstance(problem, ForbiddenByRobots):
            self.report.forbidden_by_robots += 1
        elif isinstance(problem, CircuitOpen):
            self.report.not_asked += 1
            self._keep(request, str(problem), Try.NOT_MADE)
        elif isinstance(problem, (Blocked, RobotsUnreachable)):
            # The site has not shown the page: however often that happens, nothing is known of it.
            shown = isinstance(problem, Blocked) and problem.reason == EMPTY
            self._missed(request, str(problem), Try.FAILED if shown else Try.IN_VAIN)
        elif not isinstance(problem, AlreadySeen):
            self._missed(request, str(problem) or type(problem).__name__)

    def lost(self, item: FetchedPage | LateRecordings, response: Response | None, failure: Failure) -> None:
        """A page that was read and then lost on its way to the batch, by a fault of ours or of this computer."""
        request = response.request if response is not None else None
        if isinstance(item, FetchedPage) and request is not None:
            self._lost(request, failure.value)
        else:
            url = item.failures[0].url if isinstance(item, LateRecordings) else ""
            self.report.error(url, _described(failure.value))

    def _lost(self, request: Request, problem: BaseException | None) -> None:
        self.report.error(_announced(request), _described(problem))
        self._keep(request, _described(problem), Try.IN_VAIN, read=True)

    def _missed(self, request: Request, reason: str, outcome: Try = Try.FAILED) -> None:
        self.report.error(_announced(request), reason)
        self._keep(request, reason, outcome)

    def _keep(self, request: Request, reason: str, outcome: Try, *, read: bool = False) -> None:
        """Keep an article for later runs, with what was said of it; lists, feeds and sitemaps are read in any case."""
        if request.meta["role"] == ARTICLE:
            self.site_crawler.retries.failed(
                _announced(request),
                reason,
                outcome=outcome,
                read=read,
                entry=request.cb_kwargs["entry"],
                parent=request.meta.get("parent"),
                found_by=request.meta["found_by"],
            )

    def text(self, response: Response) -> str:
        """A page's text, by the site's charset and what the page says of itself."""
        return read_text(response, self.site)[0]


def _described(problem: BaseException | None) -> str:
    return f"{type(problem).__name__}: {problem}"


def _announced(request: Request) -> str:
    """The address before any redirect."""
    first: str = request.meta.get("redirect_urls", [request.url])[0]
    return first
