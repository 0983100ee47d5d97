"""What a page that lists articles holds: links of HTML, items of JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jmespath
from parsel import Selector

from crawler.canonical import join
from crawler.feeds import Entry, parse_time
from yuqing.sites import JsonItems

_SECONDS = range(10**9, 10**10)  # since 1970: 2001 to 2286; smaller numbers are dates such as 20261120
_MILLISECONDS = range(10**12, 10**13)


class BrokenList(ValueError):
    """A list that should be JSON is not, or has no items where the site's file says."""


def html_entries(page: Selector, base: str, links: str | None) -> Iterator[Entry]:
    """An entry for each distinct link of the nodes that the CSS selector finds, of the whole page without one."""
    for url in linked_addresses(page.css(links) if links else [page], base):
        yield Entry(url)


def linked_addresses(nodes: Any, base: str) -> list[str]:
    """Absolute addresses of the links that the nodes are or hold, in their order, each once."""
    found = (link for node in nodes for link in node.xpath("descendant-or-self::a/@href").getall())
    return list(dict.fromkeys(url for link in found if (url := join(base, link))))


def base_address(page: Selector, url: str) -> str:
    """What the page's links are relative to: its <base>, or else its own address."""
    return join(url, page.xpath("//base/@href").get("")) or url


def json_entries(text: str, base: str, rule: JsonItems) -> Iterator[Entry]:
    """The entries of a JSON answer, also of JSONP. Items without an address are left out. Raises BrokenList."""
    items = jmespath.search(rule.items, parse_json(text))
    if not isinstance(items, list):
        raise BrokenList(f"`items` ({rule.items}) finds {'nothing' if items is None else 'no list'} in the answer")
    for item in items:
        url = join(base, _string(rule.url, item) or "")
        if url and url != base:
            yield Entry(
                url,
                _plain(_string(rule.title, item)),
                _plain(_string(rule.author, item)),
                moment(jmespath.search(rule.published_at, item)) if rule.published_at else None,
            )


def parse_json(text: str) -> Any:
    """JSON, or the argument of a JSONP call. Raises BrokenList."""
    stripped = text.strip().removesuffix(";").rstrip()
    if stripped.endswith(")") and "(" in stripped:
        stripped = stripped[stripped.index("(") + 1 : -1]
    try:
        return json.loads(stripped)
    except (ValueError, RecursionError) as problem:
        raise BrokenList(f"no JSON: {problem}") from problem


def moment(value: Any) -> datetime | None:
    """A time as APIs give it: ISO 8601 or RFC 822, or seconds or milliseconds since 1970 (also as digits)."""
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        number = 0
    if number in _SECONDS:
        return datetime.fromtimestamp(number, UTC)
    if number in _MILLISECONDS:
        return datetime.fromtimestamp(number / 1000, UTC)
    return parse_time(value) if isinstance(value, str) else None


def _string(expression: str | None, item: Any) -> str | None:
    found = jmespath.search(expression, item) if expression else None
    return str(found) if isinstance(found, str | int) and not isinstance(found, bool) else None


def _plain(text: str | None) -> str | None:
    """Search results mark what was found with tags: 岚港<em>银行</em>."""
    if text and ("<" in text or "&" in text):
        text = Selector(text, type="html").xpath("string()").get("")
    return text.strip() or None if text else None
