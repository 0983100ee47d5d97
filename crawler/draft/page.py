"""A fetched page as the guesses need it: its tree, and its links with their titles."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from urllib.parse import urlsplit

from parsel import Selector

from crawler.canonical import canonicalise, join
from crawler.domains import registrable_domain
from crawler.spiders.listing import base_address
from crawler.text_length import text_length

_ADDRESS = re.compile(r"[\d.]+|\[.*\]")
_FILES = re.compile(
    r"\.(?:css|js|json|xml|rss|png|jpe?g|gif|webp|svg|ico|pdf|docx?|xlsx?|zip|apk|exe|mp[34]|m3u8)$", re.IGNORECASE
)
_EMPTY_CHARACTERS = 200  # of text outside links; with fewer, hardly a link and a script the page is made by the script
_EMPTY_LINKS = 5


@dataclass(frozen=True)
class Link:
    """A link to the same site: the canonical address, the address as written, and the longest text that leads there."""

    url: str
    written: str
    text: str


@dataclass(frozen=True)
class Page:
    """A page as text; `url` is where redirects ended, `encoding` how it was read."""

    url: str
    text: str
    encoding: str
    via_browser: bool = False

    @cached_property
    def tree(self) -> Selector:
        """The parsed page."""
        return Selector(self.text, type="html")

    @cached_property
    def base(self) -> str:
        """What its links are relative to."""
        return base_address(self.tree, self.url)

    @cached_property
    def links(self) -> list[Link]:
        """The page's links within the site, in order, each once."""
        found: dict[str, Link] = {}
        for node in self.tree.xpath("//a[@href]"):
            url = join(self.base, node.attrib["href"])
            if url is None or not same_site(url, self.url) or _FILES.search(urlsplit(url).path):
                continue
            text = " ".join((node.xpath("string()").get("") or "").split()) or node.attrib.get("title", "").strip()
            canonical = canonicalise(url).partition("#")[0]
            if canonical not in found or len(text) > len(found[canonical].text):
                found[canonical] = Link(canonical, url, text)
        return list(found.values())

    @property
    def title(self) -> str:
        """What the page's <title> says."""
        return " ".join(self.tree.xpath("string(//title)").get("").split())

    @property
    def needs_javascript(self) -> bool:
        """Whether the page is clearly empty before its scripts have run."""
        return (
            len(self.links) < _EMPTY_LINKS
            and text_length(self.text) < _EMPTY_CHARACTERS
            and "<script" in self.text.lower()
        )


def same_site(url: str, other: str) -> bool:
    """Whether two addresses are of one site: of one registered domain and, where the host is a number, of one port."""
    first, second = urlsplit(url), urlsplit(other)
    if registrable_domain(first.hostname or "") != registrable_domain(second.hostname or ""):
        return False
    return not _ADDRESS.fullmatch(first.hostname or "") or first.netloc == second.netloc
