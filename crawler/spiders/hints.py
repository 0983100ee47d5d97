"""What the site's file says of an article page's title, author and time: read by CSS, XPath or JSON path."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import datetime
from functools import lru_cache
from typing import Any

import jmespath
from parsel import Selector

from crawler.feeds import CHINA, Entry, plausible
from crawler.report import storable
from crawler.spiders.listing import moment
from yuqing.site_values import JSON_PREFIX
from yuqing.sites import FieldSelectors

_ASSIGNMENT = re.compile(r"=\s*(?=[{\[])")
# As pages write it, with words before and behind: 发布时间：2026年11月20日 10:05 来源：...
_CHINESE_TIME = re.compile(
    r"((?:19|20)\d\d)\s*[年/.-]\s*(\d{1,2})\s*[月/.-]\s*(\d{1,2})\s*日?(?:[\sT]*(\d{1,2})[:：时](\d{2})(?:[:：分](\d{2}))?)?"
)
_MOST_SCRIPTS = 500  # of a page; the state of one stands in one of some dozens
_LONGEST = 2_000  # characters of a hint; a selector that takes the whole page is a mistake


def hints(text: str, entry: Entry, fields: FieldSelectors) -> dict[str, Any]:
    """{title, author, published_at}: what the listing said, or else what the site's selectors find on the page."""
    found: dict[str, Any] = {"title": entry.title, "author": entry.author, "published_at": entry.published_at}
    missing = [name for name in found if getattr(fields, name) and not found[name]]
    if missing:
        page = _Page(text)
        for name in missing:
            value = page.find(getattr(fields, name))
            found[name] = _time(value) if name == "published_at" else _line(value)
    found["published_at"] = plausible(found["published_at"])
    for name in ("title", "author"):
        found[name] = _line(found[name])
    return found


def find_value(text: str, selector: str) -> Any:
    """What a selector of the site's file finds on a page, before anything is made of it; empty or None for nothing."""
    value = _Page(text).find(selector)
    return " ".join(value.split())[:_LONGEST] if isinstance(value, str) else value


class _Page:
    """A page of which the tree and the JSON are read when first needed."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tree: Selector | None = None
        self._json: list[Any] | None = None

    def find(self, selector: str) -> Any:
        if selector.startswith(JSON_PREFIX):
            expression = _compiled(selector.removeprefix(JSON_PREFIX))
            if self._json is None:
                self._json = list(_json_values(self._text))
            return next((value for item in self._json if (value := expression.search(item)) is not None), None)
        self._tree = self._tree or Selector(self._text, type="html")
        nodes = self._tree.xpath(selector) if selector.startswith("/") else self._tree.css(selector)
        if not nodes:
            return ""
        # An attribute's value or a text, or an element's whole text.
        return nodes[0].get() if isinstance(nodes[0].root, str) else nodes[0].xpath("string()").get("")


@lru_cache(maxsize=256)
def _compiled(expression: str) -> Any:
    return jmespath.compile(expression)


def _json_values(text: str) -> Iterator[Any]:
    """The page itself when it is JSON; otherwise its JSON scripts and the objects that scripts assign, in their order."""
    if text.lstrip()[:1] in ("{", "["):
        yield from _parsed(text)
        return
    for script in Selector(text, type="html").xpath(f"(//script)[position() <= {_MOST_SCRIPTS}]"):
        content = script.xpath("string()").get("")
        if "json" in script.attrib.get("type", ""):
            yield from _parsed(content)
        elif match := _ASSIGNMENT.search(content):
            yield from _parsed(content[match.end() :])


def _parsed(text: str) -> Iterator[Any]:
    try:
        yield json.JSONDecoder().raw_decode(text.lstrip())[0]
    except (ValueError, RecursionError):
        return


def _line(value: Any) -> str | None:
    if isinstance(value, dict):  # JSON-LD: {"@type": "Person", "name": ...}
        value = value.get("name")
    if not isinstance(value, str | int | float):
        return None
    return " ".join(storable(str(value), " ").split())[:_LONGEST] or None


def _time(value: Any) -> datetime | None:
    if not isinstance(value, str):
        return moment(value)
    found = moment(" ".join(value.split()))
    if found is None and (match := _CHINESE_TIME.search(value)):
        year, month, day, hour, minute, second = (int(part or 0) for part in match.groups())
        try:
            return datetime(year, month, day, hour, minute, second, tzinfo=CHINA)
        except ValueError:
            return None
    return found
