"""Whether an answer is the page that was asked for, or a captcha, a challenge, a refusal or nothing at all.

The rules are data (crawler/data/blocked.yaml). What decides is how little else there is: an article about captchas has
a page's worth of text around the word, a captcha has not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import yaml
from lxml import etree
from scrapy.http import Response

from crawler.decode import decode

# Characters that a reader sees, spaces included. Such pages hold a sentence or two; how little counts is a working value,
# tried on pages of both kinds (tests/crawler/test_blocked.py).
MARKUP_TEXT = 200  # markup counts on pages with at most so many,
TITLE_TEXT = 600  # titles with so many,
PHRASE_TEXT = 300  # and phrases with so many
_BYTES = 256 * 1024  # larger pages are not looked at: they have text, or are none of those known here
_CERTAIN = 3 * TITLE_TEXT  # bytes of text, from which a page has more than TITLE_TEXT characters in any encoding

EMPTY = "empty page"
# Statuses by which sites refuse readers; 405 is Aliyun's, 412 Ruishu's, 418 Douban's, 521 Jiasule's.
REFUSING = frozenset({401, 403, 405, 412, 418, 429, 521})
_ASCII = bytes(range(128))
_PROSE = re.compile(rb"<(?:p|h[1-6]|li|a|td|span|div)\b[^<>]*>([^<>]+)", re.IGNORECASE)
_UNSEEN = frozenset({"script", "style", "noscript", "template", "title", "textarea", "svg"})
_MEDIA = frozenset({"audio", "video", "iframe", "embed", "object"})  # a page may be nothing but these
_TEXTUAL = re.compile(r"text|html|xml|json|javascript")
# A script may hold the article itself: as JSON, in letters or in so many escapes.
_SCRIPT_BYTES, _SCRIPT_ESCAPES = 400, 100


@dataclass(frozen=True)
class Rule:
    """One kind of refusal: see crawler/data/blocked.yaml."""

    reason: str
    headers: dict[str, str] = field(default_factory=dict)
    urls: tuple[re.Pattern[str], ...] = ()
    titles: tuple[re.Pattern[str], ...] = ()
    markup: tuple[str, ...] = ()
    text: tuple[re.Pattern[str], ...] = ()


@cache
def rules() -> tuple[Rule, ...]:
    """The shipped rules."""
    entries: list[dict[str, Any]] = yaml.safe_load(
        files("crawler").joinpath("data/blocked.yaml").read_text(encoding="utf-8")
    )
    return tuple(
        Rule(
            entry["reason"],
            entry.get("headers", {}),
            _patterns(entry, "urls"),
            _patterns(entry, "titles"),
            tuple(entry.get("markup", ())),
            _patterns(entry, "text"),
        )
        for entry in entries
    )


def _patterns(entry: dict[str, Any], name: str) -> tuple[re.Pattern[str], ...]:
    return tuple(re.compile(pattern) for pattern in entry.get(name, ()))


def blocked_address(url: str) -> str | None:
    """Why a redirect to this address leads to no page of the site: a captcha's or a login's. None when it may."""
    return next((rule.reason for rule in rules() if any(pattern.search(url) for pattern in rule.urls)), None)


def blocked(response: Response, *, wants_text: bool = True) -> str | None:
    """Why the answer is no page of the site, or None.

    wants_text: a page without any text is none either (an article must have some, a list or a feed need not).
    """
    for rule in rules():
        for name, value in rule.headers.items():
            if (response.headers.get(name) or b"").decode("latin-1").startswith(value):
                return rule.reason
    body = response.body
    content_type = (response.headers.get("Content-Type") or b"").decode("latin-1")
    # Cheap for what nearly all answers are: pages with letters that are not ASCII, or with paragraphs of ASCII.
    if len(body) > _BYTES or len(body.translate(None, _ASCII)) > _CERTAIN:
        return None
    if sum(map(len, _PROSE.findall(body))) > _CERTAIN:
        return None
    if not body.strip():
        return EMPTY
    if b"\0" in body or (content_type and not _TEXTUAL.search(content_type.lower())):
        return None
    return _blocked_page(decode(body, content_type)[0], wants_text)


def _blocked_page(source: str, wants_text: bool) -> str | None:
    title, text, empty = _read(source)
    if len(text) > TITLE_TEXT:
        return None
    for rule in rules():
        if title and any(pattern.fullmatch(title) for pattern in rule.titles):
            return rule.reason
        if len(text) <= MARKUP_TEXT and any(part in source for part in rule.markup):
            return rule.reason
        if len(text) <= PHRASE_TEXT and any(pattern.search(text) for pattern in rule.text):
            return rule.reason
    return EMPTY if empty and wants_text else None


def _read(source: str) -> tuple[str, str, bool]:
    """(title, the text that a reader sees, whether there is nothing to see or hear, and no script with an article)."""
    if source.lstrip()[:1] != "<":
        return "", " ".join(source.split()), False
    parser = etree.HTMLParser(recover=True, remove_comments=True, remove_pis=True, encoding="utf-8")
    root = etree.fromstring(source.encode("utf-8", "replace"), parser)
    if root is None:
        return "", "", True
    title = ""
    seen: list[str] = []
    more = False
    walk = etree.iterwalk(root, events=("start", "end"))
    for event, node in walk:
        if event == "end":
            seen.append(node.tail or "")
        elif node.tag in _UNSEEN:
            content = "".join(node.itertext())
            if node.tag == "title":
                title = title or " ".join(content.split())
            more = more or (node.tag == "script" and _holds_text(content, node.get("type", "")))
            walk.skip_subtree()
        else:
            seen.append(node.text or "")
            more = more or node.tag in _MEDIA
    text = " ".join("".join(seen).split())
    # After a fatal error (libxml2 gives up on elements that lie too deep in one another) nothing is known of the rest.
    whole = not len(parser.error_log.filter_from_fatals())
    return title, text, whole and not text and not more


def _holds_text(script: str, kind: str) -> bool:
    letters = len(script.encode("utf-8", "replace").translate(None, _ASCII))
    return "json" in kind or letters > _SCRIPT_BYTES or script.count("\\u") > _SCRIPT_ESCAPES
