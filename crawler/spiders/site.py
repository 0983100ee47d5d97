"""The rule-driven spider: lists with pagination, feeds and sitemaps lead to articles, all by the site's YAML file."""

from __future__ import annotations

import re
from base64 import b64encode
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncIterator, Iterator
from typing import Any, Self

from parsel import Selector
from scrapy import Request, Spider
from scrapy.crawler import Crawler
from scrapy.exceptions import IgnoreRequest
from scrapy.http import Response
from scrapy.spidermiddlewares.httperror import HttpError
from twisted.python.failure import Failure

from crawler.canonical import canonicalise, join, url_hash
from crawler.decode import decode
from crawler.egress import RefusedAddress
from crawler.feeds import BrokenFeed, Entry, parse_feed, parse_sitemap, parse_time
from crawler.media import find_media
from crawler.middlewares.seen_urls import GONE, AlreadySeen, address
from crawler.site_crawler import ARTICLE, FEED, LIST, SITEMAP, FetchedPage, SiteCrawler, of
from yuqing.contracts import now
from yuqing.sites import PAGE_PLACEHOLDER, ListPage

_CANONICAL_HINT = re.compile(r"""<link\b[^>]{0,500}\brel\s*=\s*["']?canonical""", re.IGNORECASE)
_TEXTUAL = re.compile(r"html|xml|json|javascript")
_MAX_SITEMAPS = 50  # sitemaps that the indexes of one run may add


class SiteSpider(Spider):
    """Crawls one site. What is an article, and where they are announced, stands in the site's file."""

    name = "site"

    def __init__(self, crawler: SiteCrawler, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.site_crawler = crawler
        self.site = crawler.site
        self.seen = crawler.seen
        self.report = crawler.report
        self._sitemaps = 0

    @classmethod
    def from_crawler(cls, crawler: Crawler, *_: Any, **keywords: Any) -> Self:
        """Scrapy's way in."""
        spider = cls(of(crawler), **keywords)
        spider._set_crawler(crawler)
        return spider

    async def start(self) -> AsyncIterator[Request]:
        """The beginnings: hub pages, lists, feeds, sitemaps. Their order is that of the file."""
        for url in self.site.start_urls:
            yield self._request(url, LIST, self.parse_list, rule=ListPage(url=url))
        for rule in self.site.lists:
            yield self._request(rule.url, LIST, self.parse_list, rule=rule)
            if rule.page_urls:
                for number in range(2, rule.pages + 1):
                    url = rule.page_urls.replace(PAGE_PLACEHOLDER, str(number))
                    yield self._request(url, LIST, self.parse_list, rule=rule)
        for url in self.site.feeds:
            yield self._request(url, FEED, self.parse_feed)
        for url in self.site.sitemaps:
            yield self._request(url, SITEMAP, self.parse_sitemap)

    def parse_list(self, response: Response, rule: ListPage, number: int = 1) -> Iterator[Request]:
        """Articles linked from a list, and the list's next page."""
        page = Selector(self._text(response)[0])
        base = join(response.url, page.xpath("//base/@href").get("")) or response.url
        links = page.css(rule.links) if rule.links else [page]
        for url in _links(links, base):
            yield from self._article(Entry(url), response)
        if rule.next and number < rule.pages:
            following = next(iter(_links(page.css(rule.next), base)), None)
            if following:
                yield self._request(following, LIST, self.parse_list, response, rule=rule, number=number + 1)

    def parse_feed(self, response: Response) -> Iterator[Request]:
        """Articles of an RSS or Atom feed, with what it says of them."""
        try:
            entries = parse_feed(response.body, _content_type(response))
        except BrokenFeed as problem:
            self.report.error(response.url, f"feed: {problem}")
            return
        for entry in entries:
            yield from self._article(entry, response)

    def parse_sitemap(self, response: Response) -> Iterator[Request]:
        """Articles of a sitemap, and the sitemaps that an index names."""
        try:
            sitemap = parse_sitemap(response.body, _content_type(response))
        except BrokenFeed as problem:
            self.report.error(response.url, f"sitemap: {problem}")
            return
        for url in sitemap.children:
            absolute = join(response.url, url)
            if absolute and self._sitemaps < _MAX_SITEMAPS:
                self._sitemaps += 1
                yield self._request(absolute, SITEMAP, self.parse_sitemap, response)
        for entry in sitemap.entries:
            yield from self._article(entry, response)

    def parse_article(self, response: Response, entry: Entry) -> Iterator[FetchedPage]:
        """The page as a raw document, unless it is another name of one that this run or an earlier one has."""
        request = response.request
        assert request is not None
        canonical = canonicalise(response.url, self.site.keep_parameters)
        if not self.site.is_article(canonical):
            first = request.meta.get("redirect_urls", [request.url])[0]
            self.report.error(first, f"leads to {response.url}, which is no article by the site's patterns")
            return
        hashes = {
            address(self.site_crawler, url)
            for url in (response.url, request.url, *request.meta.get("redirect_urls", []))
        }
        refused = _not_text(response)
        text, encoding = ("", "") if refused else self._text(response)
        if not refused and not text.strip():
            self.report.error(response.url, "an empty page")
            return
        canonical = self._declared_canonical(text, response.url) or canonical
        identity = url_hash(canonical)
        hashes.add(identity)
        if identity in self.seen:
            self.report.duplicates += 1
            self.site_crawler.batches.settle(self.seen.settle(hashes))
            return
        # At once, not when the batch is written: another address of this page may arrive in the meantime.
        hashes = self.seen.settle(hashes)
        record: dict[str, Any] = {
            "url": response.url,
            "canonical_url": canonical,
            "site": self.site.name,
            "spider": self.name,
            "kind": "page",
            "fetched_at": now(),
            "http_status": response.status,
            "content_type": _content_type(response),
            "encoding": encoding,
            "body": text,
            **self._hints(text, entry),
            "parent_url": request.meta.get("parent"),
            "depth": request.meta.get("depth", 0),
            "run_id": self.report.run_id,
        }
        if refused:
            record["body_base64"] = b64encode(response.body).decode()
            yield FetchedPage(record, settles=hashes, refused=refused)
        else:
            yield FetchedPage(record, find_media(text, response.url), hashes, via_browser="browser" in request.meta)

    def failed(self, failure: Failure) -> None:
        """Count what could not be had; it is not settled, so the next run tries again (but for what is gone)."""
        request: Request = failure.request  # type: ignore[attr-defined]
        problem = failure.value
        if isinstance(problem, HttpError):
            if problem.response.status not in GONE or request.meta["role"] != ARTICLE:
                self.report.error(request.url, f"HTTP {problem.response.status}")
        elif isinstance(problem, RefusedAddress):
            self.report.error(request.url, str(problem))
        elif isinstance(problem, IgnoreRequest) and "robots.txt" in str(problem):
            self.report.forbidden_by_robots += 1
        elif not isinstance(problem, AlreadySeen):
            self.report.error(request.url, str(problem) or type(problem).__name__)

    def _article(self, entry: Entry, source: Response) -> Iterator[Request]:
        url = join(source.url, entry.url)
        if url is None:
            return
        try:
            canonical = canonicalise(url, self.site.keep_parameters)
        except ValueError:
            return
        if self.site.is_article(canonical):
            yield self._request(url, ARTICLE, self.parse_article, source, entry=entry)

    def _request(self, url: str, role: str, callback: Any, source: Response | None = None, **arguments: Any) -> Request:
        # Articles before further list pages: what is found is brought in before more is looked for.
        return Request(
            url,
            callback=callback,
            errback=self.failed,
            cb_kwargs=arguments,
            meta={"role": role, "parent": source.url if source else None},
            priority=1 if role == ARTICLE else 0,
        )

    def _text(self, response: Response) -> tuple[str, str]:
        if response.request is not None and "browser" in response.request.meta:
            return response.body.decode("utf-8"), "utf-8"
        return decode(response.body, _content_type(response), self.site.charset)

    def _declared_canonical(self, text: str, url: str) -> str | None:
        """rel=canonical, where it can be believed: an article of this site, on the same host."""
        if not _CANONICAL_HINT.search(text):
            return None
        declared = join(url, Selector(text).xpath("//link[@rel='canonical']/@href").get(""))
        if not declared:
            return None
        try:
            canonical = canonicalise(declared, self.site.keep_parameters)
        except ValueError:
            return None
        same_host = canonical.split("/", 3)[2] == canonicalise(url).split("/", 3)[2]
        return canonical if same_host and self.site.is_article(canonical) else None

    def _hints(self, text: str, entry: Entry) -> dict[str, Any]:
        """What the listing said, or else the site's selectors find."""
        selectors = self.site.fields
        hints: dict[str, Any] = {"title": entry.title, "author": entry.author, "published_at": entry.published_at}
        wanted = [name for name in hints if getattr(selectors, name) and not hints[name]]
        if wanted:
            page = Selector(text)
            for name in wanted:
                found = " ".join(page.css(getattr(selectors, name)).xpath("string()").get("").split())
                hints[name] = parse_time(found) if name == "published_at" else found or None
        return hints


def _content_type(response: Response) -> str:
    return (response.headers.get("Content-Type") or b"").decode("latin-1")


def _not_text(response: Response) -> str | None:
    """Why the body is no text, or None. A missing type is given the benefit of the doubt, a NUL byte is not."""
    content_type = _content_type(response).partition(";")[0].strip().lower()
    if content_type and not content_type.startswith("text/") and not _TEXTUAL.search(content_type):
        return f"{content_type} is no text"
    if b"\0" in response.body[:1024] and response.body[:2] not in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "binary data"
    return None


def _links(nodes: Any, base: str) -> list[str]:
    """Absolute addresses of the links that the nodes are or hold, in their order, each once."""
    found = (link for node in nodes for link in node.xpath("descendant-or-self::a/@href").getall())
    return list(dict.fromkeys(url for link in found if (url := join(base, link))))
