"""What a page states for machines: <title>, headings, <meta>, <time> and JSON-LD, collected once."""

import json
from dataclasses import dataclass, field
from typing import Any

from lxml.html import HtmlElement


@dataclass
class Markup:
    """`meta` maps lower-case names to their values in the page's order; `times` are the datetimes of <time> elements."""

    title: str = ""
    headings: list[str] = field(default_factory=list)
    meta: dict[str, list[str]] = field(default_factory=dict)
    linked_data: list[dict[str, Any]] = field(default_factory=list)
    times: list[str] = field(default_factory=list)

    def stated(self, names: tuple[str, ...]) -> list[str]:
        """The values of these names, in the names' order."""
        return [value for name in names for value in self.meta.get(name, ())]


def read_markup(tree: HtmlElement) -> Markup:
    """Collect a page's statements."""
    found = Markup()
    scripts: list[Any] = []
    for node in tree.iter("title", "h1", "h2", "meta", "time", "script"):
        if node.tag == "title":
            found.title = found.title or spaced(node.text or "")
        elif node.tag == "meta":
            name = (node.get("property") or node.get("name") or node.get("itemprop") or "").strip().lower()
            if name and (value := (node.get("content") or "").strip()):
                found.meta.setdefault(name, []).append(value)
        elif node.tag == "time":
            if value := node.get("datetime"):
                found.times.append(value)
        elif node.tag == "script":
            if (node.get("type") or "").lower() == "application/ld+json" and node.text:
                try:
                    scripts.append(json.loads(node.text, strict=False))
                except (ValueError, RecursionError):
                    continue
        elif text := spaced(node.text_content()):
            found.headings.append(text)
    found.linked_data = _objects(scripts)
    return found


def _objects(items: list[Any]) -> list[dict[str, Any]]:
    """JSON-LD's objects, with those inside lists and @graph."""
    found: list[dict[str, Any]] = []
    waiting = list(items)
    while waiting:
        item = waiting.pop(0)
        if isinstance(item, list):
            waiting.extend(item)
        elif isinstance(item, dict):
            found.append(item)
            waiting.extend([item["@graph"]] if "@graph" in item else [])
    return found


def spaced(text: str) -> str:
    """One space for any run of white space."""
    return " ".join(text.split())
