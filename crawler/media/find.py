"""The recordings that a page names: in tags, for sharing, in structured data, in its feed entry, or in a player's settings."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

from parsel import Selector

from crawler.canonical import join

MAX_PER_PAGE = 10
# A player's settings name one recording in several qualities, and often the next ones on the list.
_MAX_INLINE = 3
_EXTENSIONS = (
    "mp3",
    "m4a",
    "mp4",
    "m3u8",
    "aac",
    "wav",
    "ogg",
    "oga",
    "opus",
    "flac",
    "webm",
    "flv",
    "amr",
    "m4v",
    "mov",
)


def _any_case(text: str) -> str:
    return "".join(f"[{character}{character.upper()}]" if character.isalpha() else character for character in text)


# Looked for first: parsing every page to find that most have no recording would double the cost of a page. Patterns that
# begin with a plain character, without IGNORECASE: 0.2 ms for 75,000 characters, where folding the page took 0.6 ms.
_NAME = rf"\.(?:{'|'.join(map(_any_case, _EXTENSIONS))})"
_HINTS = (re.compile(_NAME), re.compile(rf"<(?:{_any_case('audio')}|{_any_case('video')})\b"))
_WORDS = ("og:audio", "og:video", "player:stream", "AudioObject", "VideoObject")
_TAGS = "//audio | //video"
_SHARED = (
    "//meta[@property='og:audio' or @property='og:audio:url' or @property='og:audio:secure_url'"
    " or @property='og:video' or @property='og:video:url' or @property='og:video:secure_url'"
    " or @name='og:audio' or @name='og:video'"
    " or @property='twitter:player:stream' or @name='twitter:player:stream']/@content"
)
_SHARED_TYPE = "//meta[@property='og:video:type' or @name='og:video:type']/@content"
_JSON_LD = "//script[@type='application/ld+json']/text()"
_SETTINGS = "//script[not(@src) and not(@type='application/ld+json')]/text() | //@*[starts-with(name(), 'data-')]"
# In settings: the extension of an address, up to the quote or blank that ends it.
_EXTENSION = re.compile(rf"{_NAME}(?=[\"'`\s?#&<\\]|$)[^\"'`\s<>\\]*")
_QUOTES = "\"'` \t\r\n<>(),;="
_LONGEST = 2000  # characters of an address; none is longer that servers and browsers would take
_ESCAPES = re.compile(r"\\u([0-9a-fA-F]{4})|\\x([0-9a-fA-F]{2})|\\(/)")
_DEPTH = 20  # of structured data


def find_media(html: str, base_url: str, announced: Sequence[str] = ()) -> list[str]:
    """Addresses of the recordings that a page names, each once, at most MAX_PER_PAGE.

    announced: those that the feed named with the page; they come first. A player's settings are read only where nothing
    else names a recording, since they tend to name others' as well.
    """
    found: list[str] = [url for link in announced if (url := join(base_url, link))]
    if any(hint.search(html) for hint in _HINTS) or any(word in html for word in _WORDS):
        page = Selector(html, type="html")
        links = [*_tags(page), *_shared(page), *_structured(page)]
        found += [url for link in links if link.strip() and (url := join(base_url, link))]
        if not found:
            inline = (url for link in _inline(page) if (url := join(base_url, link)))
            found = list(dict.fromkeys(inline))[:_MAX_INLINE]
    return list(dict.fromkeys(found))[:MAX_PER_PAGE]


def _tags(page: Selector) -> Iterator[str]:
    """The address of each <audio> and <video>, or the first of its sources: the others are the same in other formats."""
    for tag in page.xpath(_TAGS):
        links = tag.xpath("@src | .//source/@src").getall()
        yield from (link for link in links[:1] if not link.startswith("blob:"))


def _shared(page: Selector) -> Iterator[str]:
    """Open Graph and Twitter. og:video is often a page with a player in it, and then says so."""
    kinds = page.xpath(_SHARED_TYPE).getall()
    player = any("html" in kind.lower() or "flash" in kind.lower() for kind in kinds)
    for node in page.xpath(_SHARED):
        if not player or _EXTENSION.search(node.get()):
            yield node.get()


def _structured(page: Selector) -> Iterator[str]:
    """contentUrl of the AudioObjects and VideoObjects of JSON-LD, however deep they are."""
    for text in page.xpath(_JSON_LD).getall():
        try:
            yield from _content_urls(json.loads(text, strict=False), 0)
        except (ValueError, RecursionError):
            continue


def _content_urls(node: Any, depth: int) -> Iterator[str]:
    if depth > _DEPTH:
        return
    if isinstance(node, list):
        for each in node:
            yield from _content_urls(each, depth + 1)
    elif isinstance(node, dict):
        kinds = node.get("@type", [])
        if {"AudioObject", "VideoObject"} & set(kinds if isinstance(kinds, list) else [kinds]):
            for each in _as_list(node.get("contentUrl")):
                if isinstance(each, str):
                    yield each
        for each in node.values():
            yield from _content_urls(each, depth + 1)


def _inline(page: Selector) -> Iterator[str]:
    """Addresses with the extension of a recording in scripts and data attributes, as JSON and JavaScript escape them."""
    for text in page.xpath(_SETTINGS).getall():
        if "." not in text:
            continue
        plain = _ESCAPES.sub(_unescape, text) if "\\" in text else text
        for match in _EXTENSION.finditer(plain):
            begin = max(plain.rfind(quote, max(0, match.start() - _LONGEST), match.start()) for quote in _QUOTES) + 1
            link = plain[begin : match.end()]
            if match.start() > begin and ("/" in link):
                yield link


def _unescape(match: re.Match[str]) -> str:
    code = match[1] or match[2]
    return chr(int(code, 16)) if code else "/"


def _as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
