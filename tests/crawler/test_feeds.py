"""Feeds and sitemaps in the forms in which sites serve them."""

import contextlib
import gzip
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawler.feeds import BrokenFeed, parse_feed, parse_sitemap, parse_time

RSS = """<?xml version="1.0" encoding="gb2312"?>
<rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"><channel><title>频道</title><link>http://example.cn/</link>
<item><title>第一条</title><link> http://example.cn/1.html </link><dc:creator>张三</dc:creator>
<pubDate>Fri, 28 Feb 2025 14:05:00 +0800</pubDate></item>
<item><title><![CDATA[第二条 <b>]]></title><guid>http://example.cn/2.html</guid>
<pubDate>2025-02-28 14:06:00</pubDate></item>
<item><title>没有地址</title></item>
</channel></rss>"""
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><entry><title>原子</title><author><name>李四</name></author>
<link rel="self" href="http://example.cn/self"/><link href="http://example.cn/3.html"/>
<updated>2025-02-28T06:07:00Z</updated></entry></feed>"""
NEWS = """<?xml version="1.0" encoding="UTF-8"?>
<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9">
<url><loc>http://example.cn/4.html</loc><lastmod>2025-03-01</lastmod><news:news>
<news:publication><news:name>例</news:name></news:publication>
<news:publication_date>2025-02-28T14:05:00+08:00</news:publication_date><news:title>题</news:title></news:news></url>
<url><loc>http://example.cn/5.html</loc></url></urlset>"""
INDEX = """<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"><sitemap><loc>http://example.cn/news.xml</loc>
<lastmod>2025-02-28</lastmod></sitemap></sitemapindex>"""
BOMB = '<!DOCTYPE r [<!ENTITY a "{}">{}]><rss><channel><item><link>&z;</link></item></channel></rss>'


def test_rss_in_gb18030() -> None:
    first, second = parse_feed(RSS.encode("gb18030"), "text/xml")
    assert (first.url, first.title, first.author) == ("http://example.cn/1.html", "第一条", "张三")
    assert first.published_at == datetime(2025, 2, 28, 6, 5, tzinfo=UTC)
    assert (second.url, second.title) == ("http://example.cn/2.html", "第二条 <b>")
    assert second.published_at == datetime(2025, 2, 28, 6, 6, tzinfo=UTC)  # without a zone: China's time


def test_atom() -> None:
    (entry,) = parse_feed(ATOM.encode())
    assert (entry.url, entry.title, entry.author) == ("http://example.cn/3.html", "原子", "李四")
    assert entry.published_at == datetime(2025, 2, 28, 6, 7, tzinfo=UTC)


def test_news_sitemap_also_gzipped() -> None:
    for body in (NEWS.encode(), gzip.compress(NEWS.encode())):
        first, second = parse_sitemap(body).entries
        assert (first.url, first.title) == ("http://example.cn/4.html", "题")
        assert first.published_at == datetime(2025, 2, 28, 6, 5, tzinfo=UTC)
        assert (second.url, second.title, second.published_at) == ("http://example.cn/5.html", None, None)


def test_sitemap_index() -> None:
    sitemap = parse_sitemap(INDEX.encode())
    assert [child.url for child in sitemap.children] == ["http://example.cn/news.xml"]
    assert sitemap.entries == []


def test_a_broken_feed_gives_what_can_be_read() -> None:
    assert len(list(parse_feed(RSS.encode()[:500]))) >= 1


@pytest.mark.parametrize("body", [b"", b"   ", b"not xml at all"])
def test_no_xml_is_an_error(body: bytes) -> None:
    with pytest.raises(BrokenFeed):
        list(parse_feed(body))


def bombs() -> dict[str, str]:
    entities = "".join(
        f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghz", strict=True)
    )
    laughs = BOMB.format("x" * 1000, entities)
    return {
        "a billion laughs": laughs,
        "in an attribute": laughs.replace("<link>&z;</link>", '<link href="&z;"/>'),
        "one long entity, often": BOMB.format("x" * 10**6, "").replace("&z;", "&a;" * 1000),
        "a file": '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/hostname">]><rss><item><link>http://a.cn/&a;</link></item></rss>',
        "a parameter entity": '<!DOCTYPE r [<!ENTITY % a SYSTEM "http://127.0.0.1:9/x.dtd">%a;]><rss><item><link>x</link></item></rss>',
    }


@pytest.mark.parametrize("name", bombs())
def test_bombs_do_not_go_off(name: str) -> None:
    for parse in (lambda body: list(parse_feed(body)), parse_sitemap):
        with pytest.raises(BrokenFeed, match="declares entities"):
            parse(bombs()[name].encode())


def test_what_unpacks_to_too_much_is_refused() -> None:
    with pytest.raises(BrokenFeed, match="larger than"):
        parse_sitemap(gzip.compress(b"<urlset>" + b" " * 2_000_000), limit=1_000_000)
    with pytest.raises(BrokenFeed, match="broken gzip"):
        parse_sitemap(b"\x1f\x8b\x08" + b"junk" * 10)


def test_endless_depth_and_length_end() -> None:
    item = b"<item><link>http://example.cn/1.html</link>"
    assert len(list(parse_feed(b"<rss>" + item + b"</item>" + b"<a>" * 100_000))) == 1
    for entry in parse_feed(b"<rss>" + item * 240):  # an item within an item within an item
        assert entry.url == "http://example.cn/1.html"
    with contextlib.suppress(BrokenFeed):  # libxml2's own limit, by its version
        assert all(
            len(entry.url) <= 10_000
            for entry in parse_feed(b"<rss><item><link>" + b"h" * 11_000_000 + b"</link></item></rss>")
        )
    assert len(list(parse_feed(b"<rss>" + (item + b"</item>") * 20_000 + b"</rss>"))) == 20_000


@given(st.binary(max_size=300))
def test_anything_is_a_feed_or_broken(body: bytes) -> None:
    for text in (body, b"<rss><item><link>http://a.cn/</link>" + body):
        with contextlib.suppress(BrokenFeed):
            list(parse_feed(text))
        with contextlib.suppress(BrokenFeed):
            parse_sitemap(text)


@pytest.mark.parametrize(
    "text",
    [
        None,
        "",
        "昨天",
        "2025-13-45",
        "Fri",
        "2025-02-30",
        "Sun, 30 Feb 2025 10:00:00 +0800",
        "0001-01-01T00:00:00",
        "1970-01-01T00:00:00Z",  # what a zero means
        "9999-12-31T23:59:59-23:00",
        "2099-01-01T00:00:00+08:00",
        pytest.param((datetime.now(UTC) + timedelta(days=3)).isoformat(), id="in three days"),
        "2025-01-01T00:00:00+99:00",
    ],
)
def test_no_time(text: str | None) -> None:
    assert parse_time(text) is None


def test_a_clock_that_is_somewhat_fast_is_believed() -> None:
    soon = datetime.now(UTC) + timedelta(hours=23)
    assert parse_time(soon.isoformat()) == soon


@given(st.text(max_size=40) | st.datetimes().map(str))
def test_a_time_of_anything_can_be_compared_and_stored(text: str) -> None:
    time = parse_time(text)
    assert time is None or time.astimezone(UTC).year >= 1990


def test_entries_inside_entries_are_read_once() -> None:
    inner = "<item><link>http://example.cn/inner</link></item>" * 3
    rss = (
        f"<rss><item><link>http://example.cn/1</link>{inner}</item><item><link>http://example.cn/2</link></item></rss>"
    )
    assert [entry.url for entry in parse_feed(rss.encode())] == ["http://example.cn/1", "http://example.cn/2"]


def test_addresses_of_pictures_are_not_the_pages() -> None:
    page = (
        "<url><loc>http://example.cn/1</loc><image:image><image:loc>http://example.cn/p.jpg</image:loc></image:image>"
        "<news:news><news:publication_date>2025-02-28</news:publication_date><news:title>题</news:title></news:news></url>"
    )
    namespaces = 'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"'
    (entry,) = parse_sitemap(f"<urlset {namespaces}>{page}</urlset>".encode()).entries
    assert (entry.url, entry.title) == ("http://example.cn/1", "题")
    assert entry.published_at is not None
