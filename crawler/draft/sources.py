"""Where a site announces its articles: candidates for feeds, sitemaps, channel lists, further pages and the search."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

from parsel import Selector

from crawler.canonical import join
from crawler.draft.page import Link, Page, same_site

_FEED_TYPES = ("application/rss+xml", "application/atom+xml", "application/rdf+xml", "text/xml")
_WELL_KNOWN_FEEDS = ("/rss.xml", "/feed", "/rss", "/rss/", "/feed.xml", "/atom.xml", "/index.xml")
_WELL_KNOWN_SITEMAPS = ("/sitemap.xml", "/sitemap_index.xml", "/sitemap_news.xml", "/news_sitemap.xml")
_FEED_LINK = re.compile(r"rss|feed|atom|订阅", re.IGNORECASE)
_SITEMAP_LINE = re.compile(r"^[ \t]*sitemap[ \t]*:[ \t]*(\S+)", re.IGNORECASE | re.MULTILINE)
# Channels have short names; these are the short names of what is no channel.
_CHANNEL = re.compile(r"[\w·、&＆ ]{2,8}")
_NO_CHANNEL = re.compile(
    r"首页|登录|注册|关于|我们|广告|联系|招聘|诚聘|客户端|下载|APP|RSS|订阅|版权|法律|声明|隐私|协议|举报|投稿|帮助|反馈|网站地图|English|"
    r"微博|微信|公众号|更多|收藏|直播|专题|搜索|行情|数据|会员|商城|论坛|博客|上一页|下一页|末页|尾页",
    re.IGNORECASE,
)
_NO_CHANNEL_PATH = re.compile(r"/(?:tags?|authors?|users?|search|login|help|about)(?:[/_.-]|$)")
_NEXT = re.compile(
    r"\s*(?:下一页|下页|后一页|下一頁|查看更多|加载更多|更多|下一页\s*[>»›]+|next(?: page)?|[>»›]+)\s*[>»›]*\s*",
    re.IGNORECASE,
)
_LONGEST_NEXT = 30  # characters; the expression would take a time that grows with their square
_SECOND = re.compile(r"(?<!\d)2(?!\d)")
_TEXT_INPUTS = ("", "text", "search")


@dataclass(frozen=True)
class FurtherPages:
    """How a list goes on: a CSS selector of the link to the next page, or an address with {page}."""

    next: str | None = None
    page_urls: str | None = None


@dataclass(frozen=True)
class SearchForm:
    """A search by GET: its address with {name}, and the page's encoding in which the name is written."""

    url: str
    encoding: str


def feed_candidates(page: Page) -> list[str]:
    """Addresses that may be feeds: what the page declares, what it links to as RSS, and where feeds usually are."""
    declared = [
        node.attrib.get("href", "")
        for node in page.tree.xpath("//link[contains(concat(' ', @rel, ' '), ' alternate ')]")
        if node.attrib.get("type", "").lower() in _FEED_TYPES
    ]
    linked = [
        node.attrib["href"]
        for node in page.tree.xpath("//a[@href]")
        if _FEED_LINK.search(node.attrib["href"].rpartition("//")[2].partition("?")[0])
        or _FEED_LINK.search(node.xpath("string()").get(""))
    ]
    joined = (join(page.base, href) for href in (*declared, *linked[:5]))
    within = (url for url in joined if url and same_site(url, page.url))
    return list(dict.fromkeys((*within, *_at_root(page.url, _WELL_KNOWN_FEEDS))))


def sitemap_candidates(page_url: str, robots: str) -> list[str]:
    """Addresses that may be sitemaps: robots.txt's, or where sitemaps usually are."""
    named = [url for url in _SITEMAP_LINE.findall(robots) if url.startswith("http")]
    return list(dict.fromkeys(named)) or list(_at_root(page_url, _WELL_KNOWN_SITEMAPS))


def _at_root(url: str, paths: tuple[str, ...]) -> Iterator[str]:
    yield from (urljoin(url, path) for path in paths)


def channel_candidates(page: Page, articles: set[str]) -> list[Link]:
    """Links with the short names of channels, in the page's order."""
    return [
        link
        for link in page.links
        if link.url not in articles
        and _CHANNEL.fullmatch(link.text)
        and not _NO_CHANNEL.search(link.text)
        and not _NO_CHANNEL_PATH.search(urlsplit(link.url).path)
        and urlsplit(link.url).path.strip("/")
        and not urlsplit(link.url).query
        and link.url.rstrip("/") != page.url.rstrip("/")
    ]


def further_pages(page: Page) -> FurtherPages | None:
    """The link to the list's next page, as a selector that finds it, or as the addresses' common form."""
    for node in page.tree.xpath("//a[@href]"):
        text, classes = node.xpath("string()").get("").strip(), node.attrib.get("class", "").split()
        said = len(text) <= _LONGEST_NEXT and _NEXT.fullmatch(text)
        named = said or node.attrib.get("rel", "") == "next" or "next" in " ".join(classes).lower()
        href = node.attrib["href"]
        url = join(page.base, href)
        if not named or url is None or not same_site(url, page.url) or url.partition("#")[0] == page.url:
            continue
        for selector in _selectors(node):
            if page.tree.css(selector).getall()[:1] == [node.get()]:
                return FurtherPages(next=selector)
        path = url[len(urlsplit(url).scheme) + 3 + len(urlsplit(url).netloc) :]
        if numbers := list(_SECOND.finditer(path)):
            start, end = numbers[-1].span()
            return FurtherPages(page_urls=url[: len(url) - len(path)] + path[:start] + "{page}" + path[end:])
    return None


def _selectors(node: Selector) -> Iterator[str]:
    """CSS selectors that say what the link is, the most telling first."""
    if node.attrib.get("rel") == "next":
        yield 'a[rel="next"]'
    own = [f"a.{name}" for name in node.attrib.get("class", "").split() if re.fullmatch(r"[A-Za-z][\w-]*", name)]
    if node.attrib.get("id") and re.fullmatch(r"[A-Za-z][\w-]*", node.attrib["id"]):
        yield f"a#{node.attrib['id']}"
    yield from (selector for selector in own if "next" in selector or "more" in selector)
    for parent in node.xpath("ancestor::*[@class or @id][position() <= 3]")[::-1]:
        names = [f"#{parent.attrib['id']}"] if parent.attrib.get("id") else []
        names += [f".{name}" for name in parent.attrib.get("class", "").split()]
        for name in names:
            if re.fullmatch(r"[#.][A-Za-z][\w-]*", name):
                yield from (f"{name} {selector}" for selector in own)


def search_form(page: Page) -> SearchForm | None:
    """A form of one text input that is sent by GET."""
    for form in page.tree.xpath("//form"):
        inputs = [node for node in form.xpath(".//input[@name]") if node.attrib.get("type", "").lower() in _TEXT_INPUTS]
        action = join(page.base, form.attrib.get("action", "")) or page.url
        if len(inputs) != 1 or form.attrib.get("method", "get").lower() != "get":
            continue
        hidden = form.xpath(".//input[@name][@type='hidden']")
        others = "".join(f"&{node.attrib['name']}={node.attrib.get('value', '')}" for node in hidden)
        encoding = form.attrib.get("accept-charset") or page.encoding
        url = f"{action.partition('#')[0].rstrip('?')}{'&' if '?' in action else '?'}{inputs[0].attrib['name']}={{name}}{others}"
        return SearchForm(url, "gb18030" if encoding.lower().startswith("gb") else encoding.lower())
    return None


def mobile_host(page: Page) -> str | None:
    """The host of the page's mobile form, where it differs from the page in nothing but its host."""
    declared = page.tree.xpath("//link[@rel='alternate'][contains(@media, 'max-width')]/@href").getall()
    # Baidu's way: <meta name="mobile-agent" content="format=html5; url=https://m.example.cn/1.html">
    declared += page.tree.xpath("//meta[@name='mobile-agent']/@content").re(r"url\s*=\s*([^\s;]+)")
    for link in declared:
        url = join(page.base, link)
        if url and urlsplit(url).netloc != urlsplit(page.url).netloc and urlsplit(url).path == urlsplit(page.url).path:
            return urlsplit(url).netloc
    return None
