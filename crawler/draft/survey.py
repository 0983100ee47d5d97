"""The visit to a site of which nothing is known but an address, through the same requests as a crawl's."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urljoin

from scrapy import Request
from scrapy.http import Response
from scrapy.http.request import NO_CALLBACK

from crawler.canonical import canonicalise, join
from crawler.draft.articles import Articles, counted_shapes, find_articles
from crawler.draft.page import Link, Page, same_site
from crawler.draft.sources import (
    FurtherPages,
    SearchForm,
    channel_candidates,
    feed_candidates,
    further_pages,
    mobile_host,
    search_form,
    sitemap_candidates,
)
from crawler.egress import RefusedAddress
from crawler.feeds import BrokenFeed, parse_feed, parse_sitemap
from crawler.middlewares.robots import ForbiddenByRobots
from crawler.process import crawl
from crawler.scratch_store import ScratchStore
from crawler.site_crawler import FEED, LIST, SiteCrawler
from crawler.spiders.article import content_type, not_text, read_text
from crawler.spiders.base import SiteSpider
from crawler.spiders.search import search_address
from crawler.text_length import text_length
from yuqing.errors import YuqingError
from yuqing.settings import Settings
from yuqing.sites import BrowserRule, Search, Site

_MAX_LISTS = 12
_MAX_FEEDS = 6
_LIST_ARTICLES = 3  # links to articles from which a page is a list
_SAMPLES = 2  # article pages of each pattern
_SAMPLED_PATTERNS = 3
_ARTICLE_CHARACTERS = 100  # as `yuqing sites check` asks for
_HAN = re.compile(r"[\u4e00-\u9fff]{4}")


class DraftError(YuqingError):
    """No site's file can be drafted from the address; the message says what was met there."""


@dataclass(frozen=True)
class Source:
    """A feed or sitemap that answered: its address, how many addresses it announces, the newest time among them."""

    url: str
    entries: int
    newest: datetime | None


@dataclass(frozen=True)
class Channel:
    """A page that lists articles: how many it links to, and how it goes on."""

    link: Link
    articles: int
    further: FurtherPages | None


@dataclass
class Survey:
    """What was found; `notes` are for the person who reads the draft."""

    url: str
    home: Page | None = None
    articles: list[Articles] = field(default_factory=list)
    home_articles: int = 0
    home_further: FurtherPages | None = None
    feeds: list[Source] = field(default_factory=list)
    sitemaps: list[Source] = field(default_factory=list)
    channels: list[Channel] = field(default_factory=list)
    search: SearchForm | None = None
    search_works: bool = False
    samples: list[Page] = field(default_factory=list)
    mobile: str | None = None
    notes: list[str] = field(default_factory=list)
    problem: Exception | None = None


def survey(url: str, settings: Settings, *, browser: bool, allow_private: bool, delay: float) -> Survey:
    """Visit the page, what it announces and a few articles; some forty requests, `delay` seconds apart.

    With `browser` pages are loaded in Chromium; otherwise when the first one is clearly empty without JavaScript. Call it
    once a process and in its main thread. Raises DraftError and BrowserMissing.
    """
    chromium = browser or os.access(settings.crawler.chromium, os.X_OK)
    site = Site(
        name="survey",
        title="survey",
        start_urls=(url,),
        articles=("https?://",),
        browser=(BrowserRule(urls="https?://", network_quiet=True),) if chromium else (),
        delay=delay,
        concurrency=1,
        allow_private_addresses=allow_private,
    )
    found = Survey(url)
    (report,) = crawl(
        [site], ScratchStore(), settings, spider=SurveySpider, arguments={"survey": found, "browser": browser}
    )
    if found.problem:
        raise found.problem
    if report.reason != "finished":
        raise DraftError(f"the survey of {url} ended early ({report.reason})", cure="run it again")
    return found


class SurveySpider(SiteSpider):
    """Asks one page after the other, each because of what the last ones had."""

    def __init__(self, crawler: SiteCrawler, *, survey: Survey, browser: bool) -> None:
        super().__init__(crawler)
        self.survey = survey
        self._browser = browser

    async def start(self) -> AsyncIterator[Request]:
        """The whole survey; there is nothing to schedule."""
        try:
            await self._explore()
        except Exception as problem:  # noqa: BLE001 — raised again where the survey was asked for
            self.survey.problem = problem
        requests: list[Request] = []
        for request in requests:
            yield request

    async def _explore(self) -> None:
        found = self.survey
        home = found.home = await self._home()
        robots = await self._get(urljoin(home.url, "/robots.txt"))
        announced = await self._feeds(home)
        announced |= await self._sitemaps(home, robots.body.decode("utf-8", "replace") if robots else "")
        links = {link.url: link for link in home.links}
        articles = {url for group in find_articles(home.links, announced) for url in group.urls}
        for link in channel_candidates(home, articles)[:_MAX_LISTS]:
            page = await self._page(link.written)
            if page is None:
                continue
            known = {url for group in find_articles([*links.values(), *page.links], announced) for url in group.urls}
            count = sum(each.url in known for each in page.links)
            if count >= _LIST_ARTICLES and any(each.url in known and each.url not in links for each in page.links):
                found.channels.append(Channel(link, count, further_pages(page)))
            for each in page.links:
                links.setdefault(each.url, each)
        found.articles = find_articles(links.values(), announced)
        if not found.articles:
            raise DraftError(
                f"no links that look like articles were found on {home.url}; the shapes of its links are"
                f" {counted_shapes(home.links)}",
                cure="give the address of a channel that lists articles"
                + ("" if home.via_browser else ", or --browser when the page is made by JavaScript"),
            )
        await self._samples()
        known = {url for group in found.articles for url in group.urls}
        found.home_articles = sum(link.url in known for link in home.links)
        found.home_further = further_pages(home)
        await self._search(home, links)

    async def _home(self) -> Page:
        url = self.survey.url
        try:
            response = await self._fetch(url, browser=self._browser)
        except ForbiddenByRobots as problem:
            raise DraftError(f"{url}: {problem}", cure="the site does not want it read by programs") from problem
        except RefusedAddress as problem:
            raise DraftError(
                f"{url}: {problem}", cure="give --allow-private if the site is one of your own"
            ) from problem
        except Exception as problem:
            raise DraftError(
                f"{url} cannot be had: {problem or type(problem).__name__}",
                cure="open it in a browser; correct the address",
            ) from problem
        if response.status >= 400:
            trouble = response.status == 429 or response.status >= 500
            cure = "try again later" if trouble else "open it in a browser; correct the address"
            raise DraftError(f"{url} answers HTTP {response.status}", cure=cure)
        if refused := not_text(response):
            raise DraftError(
                f"{url} is no page: {refused}", cure="give the address of the site's front page or of a list"
            )
        page = self._read(response)
        if page.needs_javascript and not self._browser:
            if not self.site.browser:
                self.survey.notes.append("the page is empty without JavaScript, and Chromium is not installed here")
                return page
            self.survey.notes.append("the page is empty without JavaScript: it was loaded in Chromium")
            self._browser = True
            return await self._home()
        if not page.text.strip():
            raise DraftError(
                f"{url} is an empty page", cure="open it in a browser; if there is something, give --browser"
            )
        return page

    async def _feeds(self, home: Page) -> set[str]:
        announced: set[str] = set()
        for url in feed_candidates(home):
            if len(self.survey.feeds) >= _MAX_FEEDS:
                break
            response = await self._get(url)
            if response is None or response.status != 200:
                continue
            try:
                entries = list(parse_feed(response.body, content_type(response)))
            except BrokenFeed:
                continue
            own = self._own(response.url, [entry.url for entry in entries])
            if own and not own <= announced:
                times = [entry.published_at for entry in entries if entry.published_at]
                self.survey.feeds.append(Source(url, len(own), max(times, default=None)))
                announced |= own
        return announced

    async def _sitemaps(self, home: Page, robots: str) -> set[str]:
        announced: set[str] = set()
        for url in sitemap_candidates(home.url, robots):
            response = await self._get(url)
            if response is None or response.status != 200:
                continue
            try:
                sitemap = parse_sitemap(response.body, content_type(response))
                children = sorted(
                    (child for child in sitemap.children if child.modified), key=lambda c: str(c.modified)
                )
                last = children[-1:] or sitemap.children[-1:]
                entries = sitemap.entries
                if last and (address := join(response.url, last[0].url)) and (child := await self._get(address)):
                    entries = [*entries, *parse_sitemap(child.body, content_type(child)).entries]
            except BrokenFeed:
                continue
            times = [moment for entry in entries if (moment := entry.modified or entry.published_at)]
            own = self._own(response.url, [entry.url for entry in entries if entry.title or entry.published_at])
            if entries:
                self.survey.sitemaps.append(Source(url, len(entries), max(times, default=None)))
                announced |= own  # only a news sitemap's: another one has every page of the site
        return announced

    def _own(self, base: str, urls: list[str]) -> set[str]:
        joined = (join(base, url) for url in urls)
        return {canonicalise(url) for url in joined if url and same_site(url, self.survey.url)}

    async def _samples(self) -> None:
        """Read some articles of each pattern; a pattern whose pages have no text is taken out again."""
        kept = []
        for number, group in enumerate(self.survey.articles):
            pages = [await self._page(url) for url in group.urls[:_SAMPLES]] if number < _SAMPLED_PATTERNS else []
            read = [page for page in pages if page]
            if pages and not read and len(self.survey.articles) > 1:
                self.survey.notes.append(
                    f"pages of {group.pattern} may not be asked for, or fail: left out ({group.urls[0]})"
                )
                continue
            if read and all(text_length(page.text) < _ARTICLE_CHARACTERS for page in read):
                self.survey.notes.append(
                    f"pages of {group.pattern} have no text: not taken for articles ({read[0].url})"
                )
                continue
            kept.append(group)
            self.survey.samples += read
        if not kept:
            raise DraftError(
                f"the pages that {self.survey.url} links to as articles have no text, such as {self.survey.articles[0].urls[0]}",
                cure="give --browser when they are made by JavaScript",
            )
        self.survey.articles = kept
        self.survey.mobile = next((host for page in self.survey.samples if (host := mobile_host(page))), None)

    async def _search(self, home: Page, links: dict[str, Link]) -> None:
        """Try the search with a word of a headline."""
        form = self.survey.search = search_form(home)
        titles = [links[url].text for group in self.survey.articles for url in group.urls if url in links]
        words = next((match[0] for title in titles if (match := _HAN.search(title))), None)
        if form is None or words is None:
            return
        url = search_address(Search(url=form.url, encoding=form.encoding), words, 1)
        page = await self._page(url) if url else None
        known = {each for group in self.survey.articles for each in group.urls}
        self.survey.search_works = page is not None and any(
            link.url in known or any(re.match(group.pattern, link.url) for group in self.survey.articles)
            for link in page.links
        )

    async def _page(self, url: str) -> Page | None:
        """A page, or None when it is not to be had."""
        response = await self._get(url, browser=self._browser)
        return self._read(response) if response and response.status == 200 and not not_text(response) else None

    async def _get(self, url: str, *, browser: bool = False) -> Response | None:
        try:
            return await self._fetch(url, browser=browser)
        except Exception as problem:  # noqa: BLE001 — whatever happened, this guess was none
            self.report.error(url, str(problem) or type(problem).__name__)
            return None

    async def _fetch(self, url: str, *, browser: bool) -> Response:
        # The site's browser rule holds for pages of this role alone.
        request = Request(url, meta={"role": LIST if browser else FEED}, callback=NO_CALLBACK, dont_filter=True)
        return await self.site_crawler.engine.download_async(request)

    def _read(self, response: Response) -> Page:
        text, encoding = read_text(response, self.site)
        request = response.request
        return Page(response.url, text, encoding, via_browser=request is not None and "browser" in request.meta)
