"""From an article's response to a raw document: its text, its identity, its other names."""

from __future__ import annotations

import re
from base64 import b64encode
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from enum import Enum
from typing import TYPE_CHECKING, Any

from parsel import Selector
from scrapy.http import Response

from crawler.canonical import drops_identity, join, site_address, url_hash
from crawler.decode import decode
from crawler.feeds import Entry
from crawler.media.find import find_media
from crawler.middlewares.seen_urls import address
from crawler.site_crawler import FetchedPage
from crawler.spiders.hints import hints
from crawler.spiders.listing import base_address
from yuqing.contracts import now
from yuqing.sites import Site

if TYPE_CHECKING:
    from crawler.site_crawler import SiteCrawler

# Not past the next tag: on a page of nothing but <link it would look at each character five hundred times.
_CANONICAL_HINT = re.compile(r"""<link\b[^<>]{0,500}\brel\s*=\s*["']?canonical""", re.IGNORECASE)
_REFUSED_BYTES = 65_536  # kept of a body that is no text: enough to see what it is
_TEXTUAL = re.compile(r"html|xml|json|javascript")


class Doubt(Enum):
    """Why a rel=canonical is not believed: it would lose pages, or lead to what the crawler would not keep."""

    DROPS_IDENTITY = "it leaves out what may be the page's number"
    OTHER_HOST = "it is on another host"
    NO_ARTICLE = "it is no article by the site's patterns"


class NoArticle(Exception):
    """The page is none that can be kept; the message says why. It is not settled: the next run tries again."""


def read_article(response: Response, entry: Entry, crawler: SiteCrawler, found_by: str) -> FetchedPage | None:
    """The page as a raw document; None when it is another name of one that this run or an earlier one has.

    The page's names are in hand from here on (see SeenUrls), since another of them may arrive before it is in a batch.
    Raises NoArticle.
    """
    site, seen, request = crawler.site, crawler.seen, response.request
    assert request is not None
    canonical = site_address(site, response.url)
    if not site.is_article(canonical):
        raise NoArticle(f"leads to {response.url}, which is no article by the site's patterns")
    redirects = request.meta.get("redirect_urls", [])
    hashes = {address(crawler, url) for url in (response.url, request.url, *redirects)}
    refused = not_text(response)
    text, encoding = ("", "") if refused else read_text(response, site)
    if not refused and not text.strip():
        raise NoArticle("an empty page")
    declared = declared_canonical(text, response.url) if site.canonical_links else None
    if declared and isinstance(believed := believe(declared, response.url, site), str):
        canonical = believed
    identity = url_hash(canonical)
    hashes.add(identity)
    if not seen.wants(identity):
        crawler.report.duplicates += 1
        crawler.batches.settle_names(identity, hashes)
        return None
    record: dict[str, Any] = {
        "url": response.url,
        "canonical_url": canonical,
        "site": site.name,
        "spider": found_by,
        "kind": "page",
        "fetched_at": now(),
        "http_status": response.status,
        "content_type": content_type(response),
        "encoding": encoding,
        "body": text,
        **hints(text, entry, site.fields),
        "text_selector": site.fields.text,
        "parent_url": request.meta.get("parent"),
        "depth": request.meta.get("depth", 0),
        "run_id": crawler.report.run_id,
    }
    media = [] if refused else find_media(text, response.url, entry.media)
    seen.take(hashes)  # the last of all: what raised above is not in hand
    if refused:
        record["body_bytes"] = len(response.body)
        record["body_base64"] = b64encode(response.body[:_REFUSED_BYTES]).decode()
        return FetchedPage(record, settles=hashes, refused=refused)
    return FetchedPage(record, media, hashes, via_browser="browser" in request.meta)


def read_text(response: Response, site: Site) -> tuple[str, str]:
    """(text, name of the encoding) of a page; Chromium's are UTF-8 already."""
    if response.request is not None and "browser" in response.request.meta:
        return response.body.decode("utf-8"), "utf-8"
    return decode(response.body, content_type(response), site.charset)


def content_type(response: Response) -> str:
    """The Content-Type header, "" without one."""
    return (response.headers.get("Content-Type") or b"").decode("latin-1")


def not_text(response: Response) -> str | None:
    """Why the body is no text, or None. A missing type is given the benefit of the doubt, a NUL byte is not."""
    kind = content_type(response).partition(";")[0].strip().lower()
    if kind and not kind.startswith("text/") and not _TEXTUAL.search(kind):
        return f"{kind} is no text"
    if b"\0" in response.body[:1024] and response.body[:2] not in (BOM_UTF16_LE, BOM_UTF16_BE):
        return "binary data"
    return None


def declared_canonical(text: str, url: str) -> str | None:
    """The address that the page's rel=canonical names; None when it names none."""
    if not _CANONICAL_HINT.search(text):
        return None
    page = Selector(text, type="html")  # without the type, a text that happens to be JSON is no page
    link = page.xpath("//link[@rel='canonical']/@href").get("")
    return join(base_address(page, url), link) if link else None


def believe(declared: str, url: str, site: Site) -> str | Doubt:
    """The canonical address that the page at `url` declares, in the site's form; or why it is not believed."""
    try:
        canonical = site_address(site, declared)
    except ValueError:
        return Doubt.NO_ARTICLE
    own = site_address(site, url)
    if drops_identity(own, canonical):
        return Doubt.DROPS_IDENTITY
    if canonical.split("/", 3)[2] != own.split("/", 3)[2]:
        return Doubt.OTHER_HOST
    return canonical if site.is_article(canonical) else Doubt.NO_ARTICLE
