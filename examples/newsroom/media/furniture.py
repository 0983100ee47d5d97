"""What stands around the text on a news page: related links, popular articles, comments; and pages of a list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from examples.newsroom.edition import Article
from examples.newsroom.selection import drawn

FOLDER = Path(__file__).parents[1]
STATIC = FOLDER / "static"
ENVIRONMENT = Environment(
    loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True
)

_READERS = [
    "风清扬路",
    "一叶知秋",
    "早起的鸟",
    "南城旧事",
    "打酱油的路人",
    "橘子汽水",
    "慢半拍",
    "山里人家",
    "网友7731",
    "北岸灯火",
]
_COMMENTS = (
    "先占个座，等后续。",
    "说得有道理，支持一下。",
    "希望有关部门尽快给个说法。",
    "写得挺清楚的，转给家里人看看。",
    "看完只想说，大家都不容易。",
    "这种事以前也听说过，没想到离自己这么近。",
    "标题有点长，内容还行。",
    "小编辛苦了，能不能多写点细节？",
    "每天都来这里看新闻，习惯了。",
    "不评价，看看就好。",
)


@dataclass(frozen=True)
class Comment:
    """A reader's comment under an article."""

    reader: str
    text: str
    likes: int


@dataclass(frozen=True)
class ListPage:
    """One page of a paginated list; numbers start at 1."""

    articles: Sequence[Article]
    number: int
    last: int


def pages_of(articles: Sequence[Article], size: int) -> list[ListPage]:
    """Cut a list into pages of `size`; an empty list has one empty page."""
    last = max(1, -(-len(articles) // size))
    return [ListPage(articles[(n - 1) * size : n * size], n, last) for n in range(1, last + 1)]


def related(article: Article, others: Sequence[Article], count: int = 5) -> list[Article]:
    """Some other articles of the medium, always the same for the same article."""
    candidates = [other for other in others if other.path != article.path]
    return sorted(candidates, key=lambda other: drawn("related", article.path, other.path))[:count]


def comments(article: Article, count: int = 3) -> list[Comment]:
    """Readers' comments, always the same for the same article. None names a company."""
    order = sorted(range(len(_COMMENTS)), key=lambda index: drawn("comment", article.identifier, index))
    return [
        Comment(
            reader=_READERS[drawn("reader", article.identifier, index) % len(_READERS)],
            text=_COMMENTS[index],
            likes=drawn("likes", article.identifier, index) % 200,
        )
        for index in order[:count]
    ]
