"""What the crawler must know of a site: where it announces articles, how to recognise them, how to behave there."""

from __future__ import annotations

import re
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from yuqing.site_values import (
    AddressPattern,
    BrowserSelector,
    Charset,
    CookieValue,
    Cron,
    CssSelector,
    HeaderName,
    HeaderValue,
    JsonPath,
    MarkupSelector,
    Proxy,
    Selector,
    Url,
)

MediaType = Literal["news", "finance", "securities", "technology", "video", "government", "social", "other"]

PAGE_PLACEHOLDER = "{page}"
NAME_PLACEHOLDER = "{name}"


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class JsonItems(_Rules):
    """Where a JSON answer has its articles: JMESPath expressions, those of the fields relative to an item."""

    items: JsonPath
    """The list of items: data.list[*]"""
    url: JsonPath = "url"
    """An item's address, absolute or relative to the list's; join('/', ['/a', id]) makes one up from a string."""
    title: JsonPath | None = None
    author: JsonPath | None = None
    published_at: JsonPath | None = None
    """An ISO 8601 or RFC 822 time, or seconds or milliseconds since 1970."""


class ListPage(_Rules):
    """A channel page that lists articles. It is fetched on every run, and so are its further pages."""

    url: Url
    links: CssSelector | None = None
    """CSS selector of the links (`a`) or of a block that holds them; without it every link of the page counts."""
    json_items: JsonItems | None = Field(default=None, alias="json")
    """The page is the answer of an API, not HTML."""
    next: CssSelector | None = None
    """CSS selector of the link to the next page."""
    page_urls: Url | None = None
    """Address of the further pages with {page} where the number goes (2, 3, ...); instead of `next`."""
    pages: int = Field(default=1, ge=1, le=1000)
    """At most this many pages a run, the first one included."""

    @model_validator(mode="after")
    def _pagination_is_complete(self) -> ListPage:
        if self.next and self.page_urls:
            raise ValueError("has both `next` and `page_urls`; keep the one that the site needs")
        if self.page_urls and PAGE_PLACEHOLDER not in self.page_urls:
            raise ValueError("`page_urls` has no {page}; write {page} where the page's number goes")
        if self.pages > 1 and not (self.next or self.page_urls):
            raise ValueError("`pages` needs `next` (a CSS selector) or `page_urls` (an address with {page})")
        if self.pages == 1 and (self.next or self.page_urls):
            raise ValueError("has pagination but reads one page; set `pages` to how many a run may read")
        if self.json_items and (self.links or self.next):
            raise ValueError("a `json` list has no `links` and no `next`; it pages by `page_urls`")
        return self


class Search(_Rules):
    """The site's search, asked for the names and aliases of the watchlist.

    Every run asks for all of them up to crawler.searches (200); of more, for so many drawn at random.
    """

    url: Url
    """With {name} where the searched name goes, and {page} where its pages have numbers."""
    links: CssSelector | None = None
    json_items: JsonItems | None = Field(default=None, alias="json")
    encoding: Charset = "utf-8"
    """How the site wants the name's bytes before they are percent-encoded; older ones want gb18030."""
    pages: int = Field(default=1, ge=1, le=100)

    @model_validator(mode="after")
    def _has_its_places(self) -> Search:
        if NAME_PLACEHOLDER not in self.url:
            raise ValueError("`url` has no {name}; write {name} where the searched name goes")
        if self.pages > 1 and PAGE_PLACEHOLDER not in self.url:
            raise ValueError("`pages` needs {page} in `url`, where the page's number goes")
        if self.json_items and self.links:
            raise ValueError("a `json` search has no `links`")
        return self


class LoadMore(_Rules):
    """A button that adds to a page, pressed until it is gone or has been pressed `times` times."""

    selector: BrowserSelector
    times: int = Field(default=3, ge=1, le=100)


class BrowserRule(_Rules):
    """Addresses that are empty without JavaScript and are therefore loaded in Chromium."""

    urls: AddressPattern
    wait_for: BrowserSelector | None = None
    """CSS selector that exists once the page is complete; without it the page's load event is waited for."""
    network_quiet: bool = False
    """Wait, too, until the page has asked the network for nothing for half a second."""
    load_more: LoadMore | None = None
    scroll: int = Field(default=0, ge=0, le=100)
    """Infinite scroll: go to the page's end so many times, or until nothing is added."""


class FieldSelectors(_Rules):
    """Where an article page has what becomes a hint of the raw document (the cleaning decides).

    A CSS selector, an XPath (begins with /), or json: and a JMESPath into a page that is JSON or holds a JSON script.
    """

    title: Selector | None = None
    author: Selector | None = None
    published_at: Selector | None = None
    text: MarkupSelector | None = None
    """The elements with the main text, CSS or XPath; for sites where the cleaning takes too much or too little."""


class Rewrite(_Rules):
    """Addresses of one page on another host: those that match are rewritten before anything else is done with them."""

    match: AddressPattern
    to: str
    r"""The replacement; \1, \2 ... are the groups of `match`."""

    @model_validator(mode="after")
    def _has_its_groups(self) -> Rewrite:
        groups = re.compile(self.match).groups
        try:
            re.sub(self.match, self.to, "")
            used = [int(number) for number in re.findall(r"\\(\d+)", self.to)]
        except (re.error, IndexError) as problem:
            raise ValueError(f"`to` is no replacement: {problem}") from problem
        if any(number > groups for number in used):
            raise ValueError(f"`to` uses a group that `match` does not have (it has {groups})")
        if re.match(self.match, re.sub(r"\\\d+", "", self.to)):
            raise ValueError("`to` matches `match` again; an address would be rewritten for ever")
        return self


class Revisit(_Rules):
    """Articles that a list still shows are fetched again, so that corrections are seen; without it they never are."""

    after_hours: float = Field(gt=0)
    """Since the article was last fetched."""
    until_days: float = Field(gt=0, le=90)
    """Since it was first fetched; older articles are left alone."""


class Limits(_Rules):
    """What keeps a run from following a trap (calendars, endless parameters) for ever."""

    pages: int = Field(default=5000, ge=1)
    """Requests a run, of whatever kind; the rest is left to the next run."""
    depth: int = Field(default=20, ge=1)
    """Links from a beginning to a page, counting further list pages."""
    pages_per_pattern: int = Field(default=2000, ge=1)
    """Requests a run for addresses that differ in nothing but numbers and parameters' values."""


class Site(_Rules):
    """One medium.

    A pattern (`articles`, `exclude`, `browser[].urls`) is a regular expression that must match the canonical
    address from its scheme on (`re.match`).
    """

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")
    """Its folder under raw/ and seen/ on S3; never change it later."""
    title: str = Field(min_length=1)
    media_type: MediaType = "news"
    weight: float = Field(default=1.0, gt=0, le=10)
    """Influence of the medium compared with an ordinary one (1.0), used in rankings."""
    verified: date | None = None
    """The day on which the rules were last seen to work; null: never."""
    schedule: Cron = "*/10 * * * *"
    """When a cluster crawls it: five cron fields, China's time."""

    start_urls: tuple[Url, ...] = ()
    """Hub pages, fetched on every run; every link on them that matches `articles` counts."""
    lists: tuple[ListPage, ...] = ()
    feeds: tuple[Url, ...] = ()
    """RSS or Atom."""
    sitemaps: tuple[Url, ...] = ()
    """Sitemaps, news sitemaps or sitemap indexes, also gzipped."""
    sitemap_days: float = Field(default=30, gt=0)
    """Entries of sitemaps whose lastmod or publication date is older are left out, and so are older sitemaps."""
    search: tuple[Search, ...] = ()

    articles: tuple[AddressPattern, ...] = Field(min_length=1)
    exclude: tuple[AddressPattern, ...] = ()
    keep_parameters: tuple[str, ...] = ()
    """Query parameters that identify a page here although they are on the list of tracking parameters."""
    canonical_links: bool = True
    """Whether a page is the one that its rel=canonical names; false where templates name the same one on all."""
    rewrite: tuple[Rewrite, ...] = ()
    """Mobile to desktop addresses, http to https, old hosts."""
    browser: tuple[BrowserRule, ...] = ()
    charset: Charset | None = None
    """Overrides what the pages say of themselves."""
    fields: FieldSelectors = FieldSelectors()
    revisit: Revisit | None = None
    limits: Limits = Limits()

    delay: float = Field(default=1.0, ge=0, le=600)
    """Seconds between two requests to one host."""
    concurrency: int = Field(default=2, ge=1, le=64)
    """Requests to one host at the same time."""
    headers: dict[HeaderName, HeaderValue] = Field(default_factory=dict)
    """Sent to the site's own hosts; ${NAME} is taken from the environment. A User-Agent goes to all, in a browser's place."""
    cookies: dict[str, CookieValue] = Field(default_factory=dict)
    """Sent to the site's own hosts; ${NAME} is taken from the environment."""
    proxies: tuple[Proxy, ...] = ()
    """A run keeps to one, drawn at random, until that one fails; ${NAME} is taken from the environment."""
    obey_robots: bool = True
    allow_private_addresses: bool = False
    """True lets the crawler connect to private and loopback addresses for this site."""

    _file: Path | None = PrivateAttr(default=None)

    @property
    def file(self) -> Path | None:
        """Where the site was read from, for messages."""
        return self._file

    @model_validator(mode="after")
    def _has_a_beginning(self) -> Site:
        if not (self.start_urls or self.lists or self.feeds or self.sitemaps or self.search):
            raise ValueError("has no beginning; give at least one of start_urls, lists, feeds, sitemaps or search")
        return self

    @cached_property
    def _patterns(self) -> tuple[list[re.Pattern[str]], list[re.Pattern[str]]]:
        return [re.compile(pattern) for pattern in self.articles], [re.compile(pattern) for pattern in self.exclude]

    def is_article(self, canonical_url: str) -> bool:
        """Whether the address is an article by the site's patterns."""
        articles, excluded = self._patterns
        return any(pattern.match(canonical_url) for pattern in articles) and not any(
            pattern.match(canonical_url) for pattern in excluded
        )

    def browser_rule(self, url: str) -> BrowserRule | None:
        """The first rule that says that this address needs Chromium."""
        return next((rule for rule in self.browser if re.match(rule.urls, url)), None)
