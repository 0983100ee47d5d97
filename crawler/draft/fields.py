"""What a site is called and what it is about, and where its articles have title, author and time."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from urllib.parse import urlsplit

from crawler.draft.page import Page
from crawler.feeds import Entry
from crawler.spiders.hints import hints
from yuqing.sites import FieldSelectors, MediaType

_SEPARATORS = re.compile(r"\s*(?:[_|｜—–]|\s-\s|-{1,2}(?=[\u4e00-\u9fff]))+\s*")
# In the order in which they decide: a securities paper is also about finance, a ministry's site also about technology.
_SUBJECTS: tuple[tuple[MediaType, str], ...] = (
    ("government", r"\.gov\.cn|政府网|人民政府"),
    ("securities", r"证券|上市公司|cnstock|stcn"),
    ("finance", r"财经|金融|经济|股票|finance|caijing|money|fund"),
    ("technology", r"科技|数码|互联网|IT|tech|digital|36kr"),
    ("video", r"视频|video|\btv\b|影像"),
)
_GENERAL = frozenset({"首页", "主页", "最新", "新闻", "要闻", "头条", "资讯", "Home"})
_METAS = (
    "article:published_time",
    "article:create_at",
    "og:release_date",
    "publishdate",
    "pubdate",
    "PubDate",
    "datePublished",
)
_TIME_NAMES = re.compile(r"time|date|pub", re.IGNORECASE)
_AUTHOR_NAMES = re.compile(r"author|writer|reporter|byline", re.IGNORECASE)
_NAME = re.compile(r"[A-Za-z][\w-]*")
_LONGEST_AUTHOR = 40  # characters
_NO_NAME = re.compile(r"^(?:www|m|wap|h5|mobile)$")
_SUFFIXES = frozenset({"com", "cn", "net", "org", "gov", "edu", "tv", "cc"})


def site_name(url: str) -> str:
    """A name for the site's folder, from its host: https://finance.sina.com.cn/ -> finance-sina."""
    parts = urlsplit(url)
    labels = [label for label in (parts.hostname or "").split(".") if not _NO_NAME.match(label)]
    while len(labels) > 1 and labels[-1] in _SUFFIXES:
        labels.pop()
    name = "-".join([*labels, str(parts.port)] if parts.port else labels)
    return re.sub(r"[^a-z0-9_-]+", "-", name.lower()).strip("-")[:64] or "site"


def site_title(page: Page) -> str:
    """The medium's name: og:site_name, or the last part of the page's title, or the host."""
    declared = page.tree.xpath("//meta[@property='og:site_name']/@content").get("").strip()
    parts = [part for part in _SEPARATORS.split(page.title) if part and part not in _GENERAL]
    return declared or (min(parts[:1] + parts[-1:], key=len) if parts else "") or (urlsplit(page.url).hostname or "")


def media_type(page: Page) -> MediaType:
    """By what the address, the title and the description name."""
    described = page.tree.xpath("//meta[@name='description' or @name='keywords']/@content").getall()
    for text in (f"{urlsplit(page.url).hostname} {page.title}", " ".join(described)[:200]):
        for kind, words in _SUBJECTS:
            if re.search(words, text):
                return kind
    return "news"


def find_fields(samples: Sequence[Page]) -> dict[str, str]:
    """{title, author, published_at: selector} of those for which one selector finds a value on every sample."""
    if not samples:
        return {}
    candidates = {"title": _titles(samples[0]), "author": _authors(samples[0]), "published_at": _times(samples[0])}
    found = {}
    for name, selectors in candidates.items():
        chosen = next(
            (selector for selector in selectors if all(_good(name, selector, page) for page in samples)), None
        )
        if chosen:
            found[name] = chosen
    return found


def _good(name: str, selector: str, page: Page) -> bool:
    value = hints(page.text, Entry(page.url), FieldSelectors.model_validate({name: selector}))[name]
    if value is None:
        return False
    if name == "title":
        return page.title.startswith(str(value)[:6])  # the headline comes first, and the site's name last
    return name != "author" or (len(value) <= _LONGEST_AUTHOR and value not in page.title)  # not the site itself


def _titles(page: Page) -> Iterator[str]:
    for node in page.tree.xpath("//h1"):
        yield from _selectors_of("h1", node.attrib)
    yield '//meta[@property="og:title"]/@content'


def _authors(page: Page) -> Iterator[str]:
    yield '//meta[@name="author"]/@content'
    yield "json:author"
    yield "json:author.name"
    yield from _named(page, _AUTHOR_NAMES)


def _times(page: Page) -> Iterator[str]:
    for name in _METAS:
        yield from (f'//meta[@{attribute}="{name}"]/@content' for attribute in ("property", "name", "itemprop"))
    yield "json:datePublished"
    yield "//time/@datetime"
    yield from _named(page, _TIME_NAMES)
    yield "time"


def _named(page: Page, names: re.Pattern[str]) -> Iterator[str]:
    for node in page.tree.xpath("//body//*[@id or @class]"):
        if names.search(f"{node.attrib.get('id', '')} {node.attrib.get('class', '')}"):
            yield from _selectors_of(node.root.tag, node.attrib)


def _selectors_of(tag: str, attributes: dict[str, str]) -> Iterator[str]:
    if _NAME.fullmatch(attributes.get("id", "")):
        yield f"#{attributes['id']}"
    yield from (f"{tag}.{name}" for name in attributes.get("class", "").split() if _NAME.fullmatch(name))
    if not attributes.get("id") and not attributes.get("class"):
        yield tag
