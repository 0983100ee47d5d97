"""A small crawl of one site that is looked at and not kept: every source once, and a few of the articles found there."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Self

from scrapy import Request, signals
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from crawler.canonical import join, site_address
from crawler.feeds import Entry
from crawler.middlewares.robots import ForbiddenByRobots
from crawler.middlewares.seen_urls import AlreadySeen
from crawler.process import crawl
from crawler.scratch_store import ScratchStore
from crawler.site_crawler import ARTICLE, FetchedPage, SiteCrawler
from crawler.spiders.article import NoArticle, content_type, declared_canonical, not_text, read_text
from crawler.spiders.base import SiteSpider
from yuqing.errors import YuqingError
from yuqing.settings import Settings
from yuqing.sites import ListPage, Search, Site
from yuqing.watchlist import KEY, WatchedCompany

_PAGES_OF_A_LIST = 2  # enough to see whether the pagination works
_SITEMAPS = 3  # of those that indexes name


class CheckInterrupted(YuqingError):
    """The small crawl did not come to its end, so that nothing can be said of the rules."""


@dataclass
class Visit:
    """A page of a source: which rule asked for it, what came, and the addresses that it announced.

    `status` is None when nothing came, for which `problem` is the reason; `links` are all addresses, `articles` those
    that are some by the site's patterns.
    """

    rule: str
    url: str
    status: int | None = None
    problem: str | None = None
    text: str = ""
    body: bytes = b""
    content_type: str = ""
    links: list[str] = field(default_factory=list)
    articles: list[str] = field(default_factory=list)


@dataclass
class ArticleVisit:
    """An article page: which rule announced it and what came."""

    rule: str
    url: str
    status: int | None = None
    problem: str | None = None
    record: dict[str, Any] = field(default_factory=dict)
    media: int = 0
    via_browser: bool = False


@dataclass
class Canary:
    """What a canary's crawl has seen."""

    visits: list[Visit] = field(default_factory=list)
    articles: list[ArticleVisit] = field(default_factory=list)
    forbidden: list[str] = field(default_factory=list)
    canonicals: dict[str, str | None] = field(default_factory=dict)
    """What each article page that came declares as its canonical address, by its own."""


def send(site: Site, settings: Settings, *, pages: int, name: str | None) -> Canary:
    """Visit every source of the site, and about `pages` articles, at least one of each source; writes nowhere.

    `name` is what the site's search is asked for; None leaves it out. Call it once a process and in its main thread.
    Raises BrowserMissing and CheckInterrupted.
    """
    store = ScratchStore()
    if name:
        company = WatchedCompany(id=0, name=name)
        store.put(KEY, json.dumps([company.model_dump()], ensure_ascii=False).encode())
    canary = Canary()
    sources = len(rules(site))
    settings = settings.model_copy(update={"crawler": settings.crawler.model_copy(update={"sitemaps": _SITEMAPS})})
    (report,) = crawl(
        [_shortened(site)],
        store,
        settings,
        spider=CanarySpider,
        arguments={"canary": canary, "articles_of_a_rule": max(1, math.ceil(pages / sources))},
        max_pages=max(pages, sources),
    )
    if report.reason != "finished":
        raise CheckInterrupted(f"the check of {site.name} ended early ({report.reason})", cure="run it again")
    return canary


def rules(site: Site) -> dict[str, str]:
    """{the rule's name in the file: its address} of all sources: lists.0, feeds.2, ..."""
    groups = (
        ("start_urls", site.start_urls),
        ("lists", [rule.url for rule in site.lists]),
        ("feeds", site.feeds),
        ("sitemaps", site.sitemaps),
        ("search", [rule.url for rule in site.search]),
    )
    return {f"{group}.{number}": url for group, urls in groups for number, url in enumerate(urls)}


def _shortened(site: Site) -> Site:
    def shorter(rule: Any) -> Any:
        return rule.model_copy(update={"pages": min(rule.pages, _PAGES_OF_A_LIST)})

    changes = {"lists": tuple(map(shorter, site.lists)), "search": tuple(map(shorter, site.search))}
    return site.model_copy(update=changes)


class CanarySpider(SiteSpider):
    """The site's spider, watched: it notes what each rule brought, and takes only a few articles of each."""

    def __init__(self, crawler: SiteCrawler, *, canary: Canary, articles_of_a_rule: int) -> None:
        super().__init__(crawler)
        self.canary = canary
        self._most = articles_of_a_rule
        self._taken: Counter[str] = Counter()
        self._chosen: set[str] = set()

    @classmethod
    def from_crawler(cls, crawler: Crawler, *_: Any, **keywords: Any) -> Self:
        """Scrapy's way in."""
        spider = super().from_crawler(crawler, **keywords)
        crawler.signals.connect(spider.arrived, signals.response_received)
        return spider

    def request(
        self, url: str, role: str, callback: Any, source: Response | None = None, *, found_by: str, **arguments: Any
    ) -> Request:
        """As a crawl's, with the rule that is behind it."""
        request = super().request(url, role, callback, source, found_by=found_by, **arguments)
        request.meta["rule"] = self._rule(url, source, found_by, arguments.get("rule"))
        return request

    def _rule(self, url: str, source: Response | None, found_by: str, rule: ListPage | Search | None) -> str:
        if source is not None:
            return str(source.meta["rule"])
        if isinstance(rule, Search):
            return f"search.{self.site.search.index(rule)}"
        if isinstance(rule, ListPage):
            if rule in self.site.lists:
                return f"lists.{self.site.lists.index(rule)}"
            return f"start_urls.{self.site.start_urls.index(rule.url)}"
        group, urls = ("feeds", self.site.feeds) if found_by == "feed" else ("sitemaps", self.site.sitemaps)
        return f"{group}.{urls.index(url)}"

    def arrived(self, response: Response, request: Request) -> None:
        """Note the answer for a source."""
        if request.meta.get("role") in (None, ARTICLE) or "rule" not in request.meta:
            return
        visit = Visit(request.meta["rule"], _first(request), response.status, body=response.body)
        visit.content_type = content_type(response)
        visit.text = read_text(response, self.site)[0]
        request.meta["visit"] = visit
        self.canary.visits.append(visit)

    def article(self, entry: Entry, source: Response, *, found_by: str) -> Iterator[Request]:
        """Note the address; ask for it when its rule has not given enough."""
        visit: Visit = source.meta["visit"]
        if url := join(source.url, entry.url):
            visit.links.append(url)
        for request in super().article(entry, source, found_by=found_by):
            address = site_address(self.site, request.url)
            visit.articles.append(address)
            if self._taken[visit.rule] < self._most and address not in self._chosen:
                self._taken[visit.rule] += 1
                self._chosen.add(address)
                yield request

    def parse_article(self, response: Response, entry: Entry) -> Iterator[FetchedPage]:
        """Note what the page has; its recordings are counted and not fetched."""
        assert response.request is not None
        if not not_text(response):
            text = read_text(response, self.site)[0]
            self.canary.canonicals[response.url] = declared_canonical(text, response.url)
        for page in super().parse_article(response, entry):
            article = self._article(response.request, response.status)
            article.record, article.problem = page.record, page.refused
            article.media, article.via_browser = len(page.media_urls), page.via_browser
            page.media_urls.clear()
            yield page

    def no_article(self, request: Request, problem: NoArticle) -> None:
        """Note why the page is none."""
        self._article(request, 200).problem = str(problem)

    def failed(self, failure: Failure) -> None:
        """Note why nothing came."""
        request: Request = failure.request  # type: ignore[attr-defined]
        problem = failure.value
        if isinstance(problem, AlreadySeen):
            return
        status = problem.response.status if isinstance(problem, HttpError) else None
        reason = f"HTTP {status}" if status else str(problem) or type(problem).__name__
        if isinstance(problem, ForbiddenByRobots):
            self.canary.forbidden.append(_first(request))
        if request.meta["role"] == ARTICLE:
            self._article(request, status).problem = reason
            return
        visit: Visit | None = request.meta.get("visit")
        if visit is None:
            visit = Visit(request.meta["rule"], _first(request), status)
            self.canary.visits.append(visit)
        visit.problem = reason

    def _article(self, request: Request, status: int | None) -> ArticleVisit:
        article = ArticleVisit(request.meta["rule"], _first(request), status)
        self.canary.articles.append(article)
        return article


def _first(request: Request) -> str:
    """The address that was asked for before any redirect."""
    return str(request.meta.get("redirect_urls", [request.url])[0])
