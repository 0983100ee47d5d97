"""Hints by CSS, XPath and JSON path."""

from datetime import UTC, datetime

import pytest

from crawler.feeds import Entry
from crawler.spiders.hints import hints
from yuqing.sites import FieldSelectors

NOTHING = Entry("https://www.example.cn/a/1")
PAGE = """<html><head><meta name="author" content=" 梁 予 "><script>var a = 1;</script>
<script>window.__STATE__ = {"article": {"time": 1763600000, "who": "程一"}}; run();</script>
<script type="application/ld+json">{"@type": "NewsArticle", "headline": "头条", "author": {"name": "周二"}}</script>
</head><body><h1>岚港<b>银行</b>
 分红</h1><time datetime="2026-11-20T08:00:00+08:00">今天</time></body></html>"""


@pytest.mark.parametrize(
    ("field", "selector", "value"),
    [
        ("title", "h1", "岚港银行 分红"),
        ("title", "//h1/b", "银行"),
        ("title", "//h1/text()", "岚港"),
        ("title", "json:headline", "头条"),
        ("title", "h2", None),
        ("title", "json:nothing.here", None),
        ("author", "//meta[@name='author']/@content", "梁 予"),
        ("author", "meta[name=author]::attr(content)", "梁 予"),
        ("author", "json:author", "周二"),
        ("author", "json:article.who", "程一"),
        ("published_at", "time::attr(datetime)", datetime(2026, 11, 20, tzinfo=UTC)),
        ("published_at", "time", None),
        ("published_at", "json:article.time", datetime.fromtimestamp(1763600000, UTC)),
    ],
)
def test_selectors(field: str, selector: str, value: object) -> None:
    assert hints(PAGE, NOTHING, FieldSelectors(**{field: selector}))[field] == value


def test_what_the_listing_said_comes_first() -> None:
    entry = Entry("https://www.example.cn/a/1", title="列表说的")
    found = hints(PAGE, entry, FieldSelectors(title="h1", author="json:author"))
    assert found == {"title": "列表说的", "author": "周二", "published_at": None}


def test_a_page_that_is_json() -> None:
    found = hints('{"data": {"title": "标题"}}', NOTHING, FieldSelectors(title="json:data.title", author="json:data"))
    assert (found["title"], found["author"]) == ("标题", None)
    for text in ('{"data": "<h1>1</h1"}', "[]", "null", "7"):  # nothing is found, and nothing breaks
        assert hints(text, NOTHING, FieldSelectors(author="h2", published_at="//time"))["author"] is None


def test_broken_json_is_passed_over() -> None:
    page = '<script type="application/json">{"a": </script><script type="application/json">{"a": "好"}</script>'
    assert hints(page, NOTHING, FieldSelectors(title="json:a"))["title"] == "好"
