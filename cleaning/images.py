"""Pictures that stand in an article: which address is the picture's own, and which are furniture. Nothing is downloaded."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urljoin

from lxml.html import HtmlElement

from cleaning.markup import spaced
from yuqing.contracts import ImageReference

MOST = 100  # galleries have some dozens; more are a page of thumbnails
SMALLEST = 50  # pixels declared as width or height; icons and faces have 16-40, counters 1
LONGEST_ALT = 200  # characters; captions have fewer, and keyword lists of spam more
LONGEST_ADDRESS = 2048

# Lazy loading keeps the picture's address here, and a placeholder in src; in the order in which they are believed.
# `zoomfile` and `file` are Discuz's, `_src` UEditor's.
_ADDRESSES = (
    "data-original", "data-src", "data-lazy-src", "data-lazyload", "data-actualsrc", "data-echo", "data-url",
    "zoomfile", "file", "_src", "original", "src",
)  # fmt: skip
_FURNITURE = re.compile(
    "(?<![a-z])(?:logos?|icons?|ico|qr(?:code)?|erweima|ewm|avatars?|touxiang|blank|spacer|pixel|loading|placeholder|"
    "grey|arrow|emoji|smil(?:ey|ies)|biaoqing|share|btn|button)(?![a-z])",
    re.IGNORECASE,
)
_NAMES_FURNITURE = re.compile("二维码|logo|头像|扫码|扫一扫", re.IGNORECASE)
_PIXELS = re.compile(r"\s*(\d{1,6})\s*(?:px\s*)?$", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """A picture that stands before, or in, the page's block of that number; its address as the page writes it."""

    block: int
    address: str
    alt: str


def picture(element: HtmlElement, block: int) -> Picture | None:
    """What an <img> shows, or None for icons, counters, codes to scan and addresses that are none."""
    alt = spaced(element.get("alt") or element.get("title") or "")[:LONGEST_ALT]
    if _FURNITURE.search(element.get("class") or "") or _NAMES_FURNITURE.search(alt):
        return None
    for name in ("width", "height"):
        if (size := _PIXELS.match(element.get(name) or "")) and int(size[1]) < SMALLEST:
            return None
    for name in _ADDRESSES:
        address = (element.get(name) or "").strip()
        if not (0 < len(address) <= LONGEST_ADDRESS) or not ("/" in address or "." in address):
            continue
        file = address.partition("?")[0].rstrip("/").rpartition("/")[2]
        if not address.startswith("data:") and not _FURNITURE.search(file):
            return Picture(block, address, alt)
    return None


def base_address(tree: HtmlElement, url: str) -> str:
    """What a page's relative addresses are relative to: its <base>, or its own address."""
    stated = tree.find(".//base[@href]")
    try:
        return urljoin(url, stated.get("href") or "") if stated is not None else url
    except ValueError:
        return url


def references(pictures: Sequence[Picture], base: str) -> tuple[ImageReference, ...]:
    """The pictures' full addresses in the article's order, each once, at most MOST; see `base_address`."""
    found: dict[str, ImageReference] = {}
    for item in pictures:
        try:
            address = urljoin(base, item.address)
        except ValueError:  # such as an unclosed [ of an IPv6 address
            continue
        if len(address) > LONGEST_ADDRESS or address in found:
            continue
        if address.startswith(("http://", "https://")):
            found[address] = ImageReference(url=address, alt=item.alt)
    return tuple(found.values())[:MOST]
