"""RSS, Atom and sitemaps: which articles a site announces, and what it says of them."""

from __future__ import annotations

import re
import zlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from email.utils import parsedate_to_datetime

from lxml import etree

from crawler.decode import decode

CHINA = timezone(timedelta(hours=8))
_WEB_YEAR = 1991  # in which the first site was published
_LONGEST = 10_000  # characters of an element that are read; addresses and titles are far shorter
_GZIP = b"\x1f\x8b"
_RECORDING = ("audio/", "video/", "application/vnd.apple.mpegurl", "application/x-mpegurl", "application/ogg")
_DECLARATION = re.compile(r"^\s*<\?xml[^>]*\?>")


@dataclass(frozen=True)
class Entry:
    """An article as announced: its address and, where given, its title, author, times of publication and last change,
    and the addresses of its recordings."""

    url: str
    title: str | None = None
    author: str | None = None
    published_at: datetime | None = None
    modified: datetime | None = None
    media: tuple[str, ...] = ()


@dataclass(frozen=True)
class ChildSitemap:
    """A sitemap that an index names, and the time of its last change where given."""

    url: str
    modified: datetime | None = None


@dataclass(frozen=True)
class Sitemap:
    """A sitemap's articles, and the sitemaps that an index names."""

    entries: list[Entry] = field(default_factory=list)
    children: list[ChildSitemap] = field(default_factory=list)


class BrokenFeed(ValueError):
    """A feed or sitemap has no readable XML."""


def parse_feed(body: bytes, content_type: str = "") -> Iterator[Entry]:
    """The entries of an RSS 0.9-2.0 or Atom feed, in its order. Raises BrokenFeed when the first is asked for."""
    for node in _outermost(_root(body, content_type), ("item", "entry")):
        found: dict[str, str] = {}
        for child in node:
            name = _name(child)
            if name == "link" and child.get("href"):
                if child.get("rel", "alternate") == "alternate":
                    found.setdefault("link", child.get("href", ""))
            elif name == "author" and len(child):
                found.setdefault("author", " ".join(_text(part) for part in child if _name(part) == "name"))
            elif name not in found and (text := _text(child)):
                found[name] = text
        url = found.get("link") or _permanent(found.get("guid", ""))
        if url:
            time = next((found[key] for key in ("pubdate", "published", "date", "updated") if key in found), None)
            author = found.get("author") or found.get("creator")
            yield Entry(url, found.get("title"), author, parse_time(time), media=tuple(_recordings(node)))


def parse_sitemap(body: bytes, content_type: str = "", *, limit: int = 50 * 2**20) -> Sitemap:
    """A sitemap, news sitemap or index, also gzipped (at most `limit` bytes unpacked; sitemaps.org allows 50 MiB).

    Raises BrokenFeed.
    """
    result = Sitemap()
    for node in _root(_gunzip(body, limit), content_type):
        found: dict[str, str] = {}
        for child in node:
            # <news:news> has its own elements; those of images and recordings would be taken for the page's.
            for part in child if _name(child) == "news" else (child,):
                if text := _text(part):
                    found.setdefault(_name(part), text)
        if not found.get("loc"):
            continue
        if _name(node) == "sitemap":
            result.children.append(ChildSitemap(found["loc"], parse_time(found.get("lastmod"))))
        elif _name(node) == "url":
            published, modified = parse_time(found.get("publication_date")), parse_time(found.get("lastmod"))
            result.entries.append(Entry(found["loc"], found.get("title"), None, published, modified))
    return result


def parse_time(text: str | None) -> datetime | None:
    """RFC 822 or ISO 8601; a time without a zone is China's. None when it is neither, or not plausible."""
    if not text:
        return None
    for read in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            time = read(text.strip())
        except (ValueError, IndexError, TypeError, OverflowError):
            continue
        return plausible(time if time.tzinfo else time.replace(tzinfo=CHINA))
    return None


def _recordings(item: etree._Element) -> Iterator[str]:
    """Enclosures of RSS and Atom and media:content (Media RSS), alone or in groups, that say that they are recordings."""
    for node in (part for child in item for part in (child, *child)):
        name = _name(node)
        link = node.get("href") if name == "link" and node.get("rel") == "enclosure" else node.get("url")
        if not link or name not in ("link", "enclosure", "content"):
            continue
        if node.get("medium") in ("audio", "video") or node.get("type", "").lower().startswith(_RECORDING):
            yield link


def _outermost(root: etree._Element, names: Collection[str]) -> Iterator[etree._Element]:
    """The elements of these names that are inside no other of them: nested ones would be read once a level."""
    walk = etree.iterwalk(root, events=("start",))
    for _, node in walk:
        if _name(node) in names:
            walk.skip_subtree()
            yield node


def plausible(time: datetime | None) -> datetime | None:
    """The time, unless nothing can have been published then: before the Web was, or more than a day from now."""
    if time is None or not _WEB_YEAR <= time.year < 9999:  # further off, a time cannot be compared with others
        return None
    return time if time < datetime.now(UTC) + timedelta(days=1) else None


def _root(body: bytes, content_type: str) -> etree._Element:
    # Decoded by our own rules first: feeds lie about their charset as pages do.
    text = _DECLARATION.sub("", decode(body, content_type)[0].lstrip("\ufeff"), count=1)
    if "<!ENTITY" in text:
        raise BrokenFeed("declares entities, as XML bombs do and feeds have no reason to")
    parser = etree.XMLParser(
        encoding="utf-8",
        recover=True,
        resolve_entities=False,
        no_network=True,
        huge_tree=False,
    )
    try:
        root = etree.fromstring(text.strip().encode("utf-8", "replace"), parser)
    except (etree.XMLSyntaxError, ValueError) as problem:
        raise BrokenFeed(f"no readable XML: {problem}") from problem
    if root is None:
        raise BrokenFeed("no readable XML")
    return root


def _gunzip(body: bytes, limit: int) -> bytes:
    if not body.startswith(_GZIP):
        return body
    unpacker = zlib.decompressobj(wbits=31)
    try:
        unpacked = unpacker.decompress(body, limit)
    except zlib.error as problem:
        raise BrokenFeed(f"broken gzip: {problem}") from problem
    if unpacker.unconsumed_tail:
        raise BrokenFeed(f"larger than {limit} bytes unpacked")
    return unpacked


def _name(node: etree._Element) -> str:
    # Not etree.QName, which raises for the names that broken XML has.
    return node.tag.rpartition("}")[2].lower() if isinstance(node.tag, str) else ""


def _text(node: etree._Element) -> str:
    parts: list[str] = []
    length = 0
    for text in node.itertext():
        parts.append(str(text))
        length += len(text)
        if length > _LONGEST:
            break
    return "".join(parts)[:_LONGEST].strip()


def _permanent(guid: str) -> str:
    return guid if guid.startswith(("http://", "https://")) else ""
