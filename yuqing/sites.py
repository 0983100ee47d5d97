"""A site to crawl is one YAML file: its schema, its reader, and errors that say where and how to mend it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterable, Iterator
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from yuqing.errors import YuqingError

MediaType = Literal[
    "news",
    "finance",
    "securities",
    "technology",
    "video",
    "government",
    "social",
    "other",
]

PAGE_PLACEHOLDER = "{page}"


class SiteError(YuqingError):
    """A site's file cannot be used; the message names the file, the line and the field, the cure how to mend it."""


def _http_url(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("not a complete http(s) address; write it as https://www.example.cn/path")
    return value


def _address_pattern(value: str) -> str:
    try:
        re.compile(value)
    except re.error as problem:
        raise ValueError(f"not a regular expression: {problem}") from problem
    if not value.lstrip("^(").startswith(("http", ".*")):
        raise ValueError(r"must match from the scheme on; begin it as in https?://www\.example\.cn/news/\d+")
    return value


def _charset(value: str) -> str:
    try:
        return codecs.lookup(value).name
    except LookupError as problem:
        raise ValueError("an unknown charset; common ones are utf-8, gb18030 and big5") from problem


Url = Annotated[str, AfterValidator(_http_url)]
AddressPattern = Annotated[str, AfterValidator(_address_pattern)]
Charset = Annotated[str, AfterValidator(_charset)]


class _Rules(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ListPage(_Rules):
    """A channel page that lists articles. It is fetched on every run, and so are its further pages."""

    url: Url
    links: str | None = None
    """CSS selector of the links (`a`) or of a block that holds them; without it every link of the page counts."""
    next: str | None = None
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
        return self


class BrowserRule(_Rules):
    """Addresses that are empty without JavaScript and are therefore loaded in Chromium."""

    urls: AddressPattern
    wait_for: str | None = None
    """CSS selector that exists once the page is complete; without it the page's load event is waited for."""


class FieldSelectors(_Rules):
    """CSS selectors on the article page whose text becomes a hint of the raw document (the cleaning decides)."""

    title: str | None = None
    author: str | None = None
    published_at: str | None = None


class Site(_Rules):
    """One medium. Where to find its articles, how to recognise them, and how to behave there.

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

    start_urls: tuple[Url, ...] = ()
    """Hub pages, fetched on every run; every link on them that matches `articles` counts."""
    lists: tuple[ListPage, ...] = ()
    feeds: tuple[Url, ...] = ()
    """RSS or Atom."""
    sitemaps: tuple[Url, ...] = ()
    """Sitemaps, news sitemaps or sitemap indexes, also gzipped."""
    articles: tuple[AddressPattern, ...] = Field(min_length=1)
    exclude: tuple[AddressPattern, ...] = ()
    keep_parameters: tuple[str, ...] = ()
    """Query parameters that identify a page here although they are on the list of tracking parameters."""
    browser: tuple[BrowserRule, ...] = ()
    charset: Charset | None = None
    """Overrides what the pages say of themselves."""
    fields: FieldSelectors = FieldSelectors()

    delay: float = Field(default=1.0, ge=0, le=600)
    """Seconds between two requests to one host."""
    concurrency: int = Field(default=2, ge=1, le=64)
    """Requests to one host at the same time."""
    headers: dict[str, str] = Field(default_factory=dict)
    obey_robots: bool = True
    allow_private_addresses: bool = False
    """True lets the crawler connect to private and loopback addresses for this site."""

    @model_validator(mode="after")
    def _has_a_beginning(self) -> Site:
        if not (self.start_urls or self.lists or self.feeds or self.sitemaps):
            raise ValueError("has no beginning; give at least one of start_urls, lists, feeds or sitemaps")
        return self

    def is_article(self, canonical_url: str) -> bool:
        """Whether the address is an article by the site's patterns."""
        return any(re.match(pattern, canonical_url) for pattern in self.articles) and not any(
            re.match(pattern, canonical_url) for pattern in self.exclude
        )

    def browser_rule(self, url: str) -> BrowserRule | None:
        """The first rule that says that this address needs Chromium."""
        return next((rule for rule in self.browser if re.match(rule.urls, url)), None)


def load_sites(folders: Iterable[Path]) -> dict[str, Site]:
    """Read every *.yaml of the folders into {name: Site}, sorted by name.

    Raises SiteError for a folder that does not exist, a file that breaks the schema, and two files of one name.
    """
    sites: dict[str, Site] = {}
    origins: dict[str, Path] = {}
    for folder in folders:
        if not folder.is_dir():
            raise SiteError(
                f"the sites folder {folder} does not exist",
                cure="correct crawler.sites_folders in the settings",
            )
        for path in sorted(folder.glob("*.yaml")):
            site = load_site(path)
            if site.name in sites:
                raise SiteError(
                    f"{path}: the site {site.name!r} is already defined in {origins[site.name]}",
                    cure="give one of the two another name, or remove it",
                )
            sites[site.name], origins[site.name] = site, path
    return dict(sorted(sites.items()))


def load_site(path: Path) -> Site:
    """Read one site's YAML file; raises SiteError that names file, line, field and cure."""
    try:
        text = path.read_text(encoding="utf-8")
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        data = yaml.safe_load(text)
    except OSError as problem:
        raise SiteError(
            f"{path} cannot be read: {problem.strerror}",
            cure="check its path and permissions",
        ) from problem
    except UnicodeDecodeError as problem:
        raise SiteError(f"{path} is not UTF-8: {problem.reason}", cure="save it as UTF-8") from problem
    except yaml.YAMLError as problem:
        mark = getattr(problem, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = getattr(problem, "problem", None) or str(problem)
        raise SiteError(
            f"{path}{line}: not valid YAML: {reason}",
            cure="put patterns in single quotes and indent with spaces; docs/crawler.md has a full example",
        ) from problem
    if not isinstance(data, dict) or root is None:
        raise SiteError(
            f"{path}: not a mapping of fields",
            cure="docs/crawler.md has a full example",
        )
    try:
        return Site.model_validate(data)
    except ValidationError as problem:
        raise SiteError("\n".join(_complaints(path, root, problem)), cure=_cure(problem)) from problem


def _complaints(path: Path, root: yaml.Node, problem: ValidationError) -> Iterator[str]:
    for error in problem.errors(include_url=False):
        location = error["loc"]
        field = ".".join(str(part) for part in location) or "the site"
        message = error["msg"].removeprefix("Value error, ")
        given = error.get("input")
        value = f" (given: {given!r})" if isinstance(given, str | int | float) and error["type"] != "missing" else ""
        yield f"{path}, line {_line(root, location)}: {field}: {message}{value}"


def _cure(problem: ValidationError) -> str:
    if any(error["type"] == "extra_forbidden" for error in problem.errors()):
        return f"the fields of a site are: {', '.join(Site.model_fields)}; docs/crawler.md explains each"
    return "correct the fields named; docs/crawler.md explains each, with a full example"


def _line(root: yaml.Node, location: tuple[Any, ...]) -> int:
    """The line (from 1) of the deepest part of the location that the file has."""
    node, line = root, root.start_mark.line
    for part in location:
        found: yaml.Node | None = None
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    found, line = value, key.start_mark.line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = node.value[part]
            line = found.start_mark.line
        if found is None:
            break
        node = found
    return line + 1
