"""Lists of HTML and JSON, and the times that APIs give."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from parsel import Selector

from crawler.feeds import Entry
from crawler.spiders.listing import BrokenList, base_address, html_entries, json_entries, moment, parse_json
from yuqing.sites import JsonItems

PAGE = """<base href="/news/"><ul class=l><li><a href="1.html">一</a><li><a href="2.html">二</a><li><a href="1.html">又一</a>
<li><a href="mailto:x@y">信</a></ul><a href="https://elsewhere.example/3.html">三</a><a>无</a>"""
API = """{"data": {"list": [
  {"id": 7, "title": "岚港<em>银行</em>&amp;分红", "source": "岚港财经", "ctime": 1763600000},
  {"id": 8, "title": "", "ctime": "2026-11-20 08:00:00"},
  {"title": "没有编号"},
  "不是对象"]}}"""
RULE = JsonItems(
    items="data.list[*]",
    url="id && join('', ['/doc-', to_string(id), '.html'])",
    title="title",
    author="source",
    published_at="ctime",
)


def test_links_of_a_page_or_of_a_block() -> None:
    page = Selector(PAGE)
    base = base_address(page, "https://www.example.cn/index.html")
    every = [entry.url for entry in html_entries(page, base, None)]
    assert every == [
        "https://www.example.cn/news/1.html",
        "https://www.example.cn/news/2.html",
        "https://elsewhere.example/3.html",
    ]
    assert [entry.url for entry in html_entries(page, base, "ul.l")] == every[:2]
    assert [entry.url for entry in html_entries(page, base, "ul.l li:first-child a")] == every[:1]


def test_items_of_an_api() -> None:
    first, second = json_entries(API, "https://api.example.cn/list?p=1", RULE)
    assert first == Entry(
        "https://api.example.cn/doc-7.html", "岚港银行&分红", "岚港财经", datetime.fromtimestamp(1763600000, UTC)
    )
    assert second.title is None
    assert second.published_at == datetime(2026, 11, 20, 8, tzinfo=timezone(timedelta(hours=8)))


@pytest.mark.parametrize(
    "text", ["", "<html>", "{", "callback(", '{"data": 5}', '{"data": {"list": null}}', "[" * 9999]
)
def test_what_is_no_list_is_an_error(text: str) -> None:
    with pytest.raises(BrokenList):
        list(json_entries(text, "https://api.example.cn/", RULE))


def test_jsonp() -> None:
    assert parse_json('jQuery_17("a");') == "a"
    assert parse_json(' cb({"a": "(x)"}) ') == {"a": "(x)"}
    assert parse_json('{"a": "x)"}') == {"a": "x)"}


@pytest.mark.parametrize(
    ("value", "year"),
    [
        (1763600000, 2025),
        ("1763600000", 2025),
        (1763600000123, 2025),
        ("20261120", 2026),
        ("2026-11-20T00:00:00Z", 2026),
    ],
)
def test_times_of_apis(value: object, year: int) -> None:
    found = moment(value)
    assert found is not None
    assert found.year == year
    assert found.tzinfo is not None


@given(st.one_of(st.none(), st.integers(), st.floats(), st.text(), st.lists(st.integers()), st.booleans()))
def test_no_value_breaks_a_time(value: object) -> None:
    found = moment(value)
    assert found is None or found.tzinfo is not None
