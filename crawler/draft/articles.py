"""Which of a site's links are articles, and the patterns of their addresses."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import median

from crawler.draft.page import Link
from crawler.shapes import DATED, IDENTIFYING, atoms, grouped, key, pattern, shape

_TITLE = 8  # characters: channels have two to six, headlines of Chinese media ten to thirty
_SURE_TITLE = 10
_FEW = 3
_LONG_NUMBER = 5  # digits: fewer are also those of pages, channels and years
_EXTENSION = re.compile(r"\.s?html?$")
MAX_PATTERNS = 8
# Numbered, titled and yet no articles: topics, authors, tags, photographs of the staff, pages of lists.
_OTHERS = re.compile(
    r"/(?:tags?|topics?|authors?|users?|search|special|zt|zhuanti|index|list|page|about|help|login|column|media|company|stock/\d)(?:[/_-]|$)"
)


@dataclass(frozen=True)
class Articles:
    """Links of one shape: the pattern that matches them, examples, and why they were taken for articles."""

    pattern: str
    urls: tuple[str, ...]
    why: str


def find_articles(links: Iterable[Link], announced: Iterable[str] = ()) -> list[Articles]:
    """The links that look like articles, by pattern, the most frequent first; `announced` are those of feeds and sitemaps.

    An article's address has what identifies it (a long number, a date, a hash), and the links to it have the length of
    headlines. What a feed or a sitemap announces needs no headline.
    """
    titles: dict[str, str] = {}
    for link in links:
        titles[link.url] = max(titles.get(link.url, ""), link.text, key=len)
    sure = set(announced)
    by_key: defaultdict[object, list[str]] = defaultdict(list)
    for url in dict.fromkeys((*titles, *sure)):
        by_key[key(url)].append(url)
    accepted = [url for urls in by_key.values() if _are_articles(urls, titles, sure) for url in urls]
    found = []
    for urls in grouped(accepted):
        dated = any(atom.kind in DATED for atom in atoms(urls[0]))
        lengths = [len(titles.get(url, "")) for url in urls if titles.get(url)]
        why = f"{len(urls)} links such as {urls[0]}"
        why += f"; their texts have {median(lengths):g} characters" if lengths else "; announced by a feed or sitemap"
        found.append(Articles(pattern(urls, any_word=dated), tuple(urls), why))
    return found[:MAX_PATTERNS]


def _are_articles(urls: Sequence[str], titles: dict[str, str], sure: set[str]) -> bool:
    found = atoms(urls[0])
    numbers = [
        min(len(atoms(url)[place].text) for url in urls) for place, atom in enumerate(found) if atom.kind == "number"
    ]
    identified = any(atom.kind in IDENTIFYING - {"number"} for atom in found) or any(n >= _LONG_NUMBER for n in numbers)
    dated = any(atom.kind in DATED for atom in found)
    if not (identified or dated or numbers):
        return False
    if sum(url in sure for url in urls) * 2 > len(urls):
        return True
    if _OTHERS.search(urls[0]) and not dated:
        return False
    length = median(len(titles.get(url, "")) for url in urls)
    if dated or (identified and _EXTENSION.search(urls[0])):
        return length >= _TITLE
    return length >= _SURE_TITLE and len(urls) >= _FEW


def counted_shapes(links: Iterable[Link]) -> str:
    """The most frequent shapes of links, for an error message."""
    groups = grouped({link.url for link in links})[:5]
    return "; ".join(f"{shape(urls[0])} ({len(urls)})" for urls in groups) or "none at all"
