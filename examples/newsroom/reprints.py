"""Reprints: the same article on another medium, with the small edits that desks make."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from examples.newsroom.watchlist import read_watchlist

if TYPE_CHECKING:
    from examples.newsroom.edition import Article, MediumName

_ROUTES: tuple[tuple[MediumName, MediumName, int], ...] = (
    ("finance", "portal", 4),
    ("portal", "finance", 2),
    ("tech", "portal", 2),
)
"""From, to, how many. Of each route half mention a watched company."""

SHORTEST, LONGEST = 500, 2000
"""Characters: in a shorter article a source line is more than a small edit."""

_WORDS = {
    "日前": "近日",
    "近日": "日前",
    "据悉": "据了解",
    "据了解": "据悉",
    "目前": "眼下",
    "并且": "而且",
    "表示，": "称，",
    "此外": "另外",
}
"""What a desk swaps without changing the meaning."""


def choose_reprints(articles: Sequence[Article]) -> list[tuple[Article, MediumName]]:
    """The articles that another medium takes over, with that medium, in a fixed order."""
    companies = read_watchlist()
    chosen: list[tuple[Article, MediumName]] = []
    for origin, target, count in _ROUTES:
        suitable = [
            article
            for article in articles
            if article.medium == origin and article.number is not None and SHORTEST <= len(article.text) <= LONGEST
        ]
        watched = [a for a in suitable if any(company.is_mentioned(a.text) for company in companies)]
        others = [a for a in suitable if a not in watched]
        chosen += [(article, target) for article in watched[: count // 2] + others[: count - count // 2]]
    return chosen


def edited(title: str, paragraphs: Sequence[str], source: str, medium: str) -> tuple[str, tuple[str, ...]]:
    """Title and paragraphs as `medium` prints what `source` wrote: a lead, swapped words, a source line."""
    body = list(paragraphs)
    for word, other in _WORDS.items():
        for position, paragraph in enumerate(body):
            if word in paragraph:
                body[position] = paragraph.replace(word, other, 1)
                break
    body[0] = f"{medium}讯 {body[0]}"
    return f"{title.rstrip('!！')}｜转载", (*body, f"（来源：{source}）")
