"""How much text a page has: by it pages are told apart that are empty, or no articles."""

from __future__ import annotations

from parsel import Selector

_SILENT = "//script | //style | //noscript | //template | //a | //select | //option | //button"


def text_length(html: str) -> int:
    """Characters of a page's text outside links, scripts and forms: a rough measure of its main text."""
    page = Selector(html, type="html")
    page.xpath(_SILENT).drop()
    return sum(len("".join(text.split())) for text in page.xpath("//body//text()").getall())
