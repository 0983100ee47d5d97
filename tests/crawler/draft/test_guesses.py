"""Guesses from pages as Chinese media have them: articles among other links, pagination, feeds, search, fields."""

import re

import pytest

from crawler.draft.articles import find_articles
from crawler.draft.fields import find_fields, media_type, site_name, site_title
from crawler.draft.page import Page, same_site
from crawler.draft.sources import (
    FurtherPages,
    SearchForm,
    channel_candidates,
    feed_candidates,
    further_pages,
    mobile_host,
    search_form,
    sitemap_candidates,
)

HEADLINE = "央行今日开展一千亿元逆回购操作"
FURNITURE = """
<div class="nav"><a href="/">首页</a><a href="/stock/">股票</a><a href="/finance/index.html">财经</a><a href="/tech/">科技</a>
<a href="/login">登录</a><a href="/about/about_us.html">关于我们</a><a href="/app.apk">客户端</a></div>
<div class="foot"><a href="/about/20200101.html">版权声明</a><a href="https://beian.miit.gov.cn/">京ICP备12345678号</a>
<a href="/jubao/10001">违法和不良信息举报电话</a><a href="/author/10086">记者</a></div>
"""


def page(links: list[str], more: str = "", url: str = "https://www.a.com.cn/", head: str = "") -> Page:
    listed = "".join(f'<li><a href="{link}">{HEADLINE}{number}</a></li>' for number, link in enumerate(links))
    return Page(url, f"<html><head>{head}</head><body>{FURNITURE}<ul>{listed}</ul>{more}</body></html>", "utf-8")


@pytest.mark.parametrize(
    ("links", "later", "others"),
    [
        (
            ["/2026-11-20/doc-abc123def4567.shtml", "/2026-11-19/doc-imkzenf1234567.shtml"],
            "https://www.a.com.cn/2027-01-31/doc-inhvwxy7654321.shtml",
            ["https://www.a.com.cn/2026-11-20/"],
        ),
        (
            [
                "http://finance.a.com.cn/n1/2026/1120/c1004-40012345.html",
                "http://society.a.com.cn/n1/2026/1120/c1008-40012346.html",
            ],
            "http://world.a.com.cn/n1/2026/0101/c99999-140012346.html",
            ["http://finance.a.com.cn/n1/2026/", "http://finance.b.com.cn/n1/2026/1120/c1004-40012345.html"],
        ),
        (
            ["/a/20261120/001.htm", "/a/20261120/002.htm", "/a/20261119/017.htm"],
            "https://www.a.com.cn/a/20270203/1.htm",
            ["https://www.a.com.cn/a/index.htm"],
        ),
        (
            ["/show?id=12345&amp;utm_source=home", "/show?id=12346", "/show?id=12347"],
            "https://www.a.com.cn/show?id=99999",
            ["https://www.a.com.cn/show?page=2"],
        ),
        (
            ["/article/123456789", "/article/123456790", "/article/123456791"],
            "https://www.a.com.cn/article/1234567890",
            ["https://www.a.com.cn/article/", "https://www.a.com.cn/author/123456789"],
        ),
        (
            ["/yw/202611/t20261120_1234567.html", "/gsxw/202611/t20261119_1234566.html"],
            "https://www.a.com.cn/jj/202701/t20270101_2234567.html",
            ["https://www.a.com.cn/yw/202611/", "https://www.a.com.cn/yw/index_1.html"],
        ),
        (
            [
                "/politics/20261120/4c2c72e299ef4561915d2e507393a81f/c.html",
                "/tech/20261120/e5da7c9099b04454a53b00502b5c6fca/c.html",
            ],
            "https://www.a.com.cn/fortune/20270101/00000000000000000000000000000abc/c.html",
            ["https://www.a.com.cn/politics/20261120/", "https://www.a.com.cn/politics/c.html"],
        ),
    ],
)
def test_articles_among_other_links(links: list[str], later: str, others: list[str]) -> None:
    found = find_articles(page(links).links)
    assert len(found) == 1, found
    assert len(found[0].urls) == len(links)
    assert re.match(found[0].pattern, later), found[0].pattern
    for url in others:
        assert not re.match(found[0].pattern, url), (found[0].pattern, url)


def test_what_a_feed_announces_needs_no_headline_and_navigation_is_none() -> None:
    assert find_articles(page([]).links) == []
    urls = [f"https://www.a.com.cn/p/{number}" for number in (271828182, 314159265)]
    (found,) = find_articles([], urls)
    assert found.pattern == r"https?://www\.a\.com\.cn/p/\d{8,}$"
    assert "feed" in found.why
    titled = [f"/tag/{number}" for number in range(20000, 20010)]
    assert find_articles(page(titled).links) == []


@pytest.mark.parametrize(
    ("html", "expected"),
    [
        ('<div class="pager"><a class="next" href="list_2.html">下一页</a></div>', FurtherPages(next="a.next")),
        ('<a rel="next" href="?p=2">></a>', FurtherPages(next='a[rel="next"]')),
        (
            '<div class="p"><a class="n" href="/x/1">1</a><a class="n" href="/x/2">下一页</a></div>',
            FurtherPages(page_urls="https://www.a.com.cn/x/{page}"),
        ),
        (
            '<p><a href="/stock/index_2.shtml">下一页</a></p>',
            FurtherPages(page_urls="https://www.a.com.cn/stock/index_{page}.shtml"),
        ),
        (
            '<a href="/list?channel=12&amp;page=2">下页 &gt;</a>',
            FurtherPages(page_urls="https://www.a.com.cn/list?channel=12&page={page}"),
        ),
        ('<a id="more" class="x" href="/list/2">查看更多</a>', FurtherPages(next="a#more")),
        ('<a href="javascript:void(0)">下一页</a>', None),
        (f'<a href="/list/2">{"&gt;" * 31}</a>', None),
        ('<a href="/stock/">股票</a><a href="https://elsewhere.cn/2">下一页</a>', None),
    ],
)
def test_further_pages(html: str, expected: FurtherPages | None) -> None:
    assert further_pages(Page("https://www.a.com.cn/", f"<html><body>{html}</body></html>", "utf-8")) == expected


def test_channels_feeds_sitemaps_and_search() -> None:
    links = [f"/a/20261120/{number:03}.htm" for number in range(5)]
    home = page(
        links,
        '<form action="/so/"><input type="hidden" name="c" value="news"><input name="kw"><input type="submit" name="go"></form>'
        '<a href="/rss/stock.xml">RSS</a><a href="https://elsewhere.cn/rss.xml">RSS</a>',
        head='<link rel="alternate" type="application/rss+xml" href="/feed/all.xml">',
    )
    articles = {url for group in find_articles(home.links) for url in group.urls}
    assert [link.text for link in channel_candidates(home, articles)] == ["股票", "财经", "科技"]
    feeds = feed_candidates(home)
    assert feeds[:2] == ["https://www.a.com.cn/feed/all.xml", "https://www.a.com.cn/rss/stock.xml"]
    assert not any("elsewhere" in url for url in feeds)
    robots = "User-agent: *\nSitemap: https://www.a.com.cn/map.xml\n"
    assert sitemap_candidates(home.url, robots) == ["https://www.a.com.cn/map.xml"]
    assert "https://www.a.com.cn/sitemap.xml" in sitemap_candidates(home.url, "")
    assert "https://b.cn/map.xml" not in sitemap_candidates(home.url, "Sitemap:\n\nhttps://b.cn/map.xml")
    assert search_form(home) == SearchForm("https://www.a.com.cn/so/?kw={name}&c=news", "utf-8")
    login = '<form method="post"><input name="user"></form><form><input name="a"><input name="b"></form>'
    assert search_form(Page(home.url, login, "gbk")) is None
    assert search_form(Page(home.url, '<form><input name="q"></form>', "gbk")) == SearchForm(
        "https://www.a.com.cn/?q={name}", "gb18030"
    )


def test_fields_that_hold_on_every_sample() -> None:
    def article(title: str, author: str, time: str, extra: str = "") -> Page:
        text = (
            f"<html><head><title>{title}_财经网</title>{extra}</head><body><h1>财经网</h1><h1 class='main-title'>{title}</h1>"
            f"<div class='info'><span class='pub-time'>{time} 来源：财经网</span><span class='article-author'>{author}</span></div>"
            "</body></html>"
        )
        return Page("https://www.a.com.cn/a/1", text, "utf-8")

    first = article(
        "央行开展逆回购", "记者 林望舒", "2026年11月20日 10:05", '<meta name="pubdate" content="2026-11-20">'
    )
    second = article("两市成交额破万亿", "记者 周以宁", "2026年11月20日 11:05")
    assert find_fields([first, second]) == {
        "title": "h1.main-title",
        "author": "span.article-author",
        "published_at": "span.pub-time",
    }
    assert find_fields([first])["published_at"] == '//meta[@name="pubdate"]/@content'
    assert find_fields([]) == {}


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        ('<link rel="alternate" media="only screen and (max-width: 640px)" href="https://m.a.cn/p/1.html">', "m.a.cn"),
        ('<meta name="mobile-agent" content="format=html5; url=https://3g.a.cn/p/1.html">', "3g.a.cn"),
        ('<meta name="mobile-agent" content="format=html5; url=https://m.a.cn/article?id=1">', None),
        ('<link rel="alternate" hreflang="en" href="https://en.a.cn/p/1.html">', None),
    ],
)
def test_the_mobile_host(head: str, expected: str | None) -> None:
    assert mobile_host(Page("https://www.a.cn/p/1.html", f"<html><head>{head}</head></html>", "utf-8")) == expected


def test_names() -> None:
    assert site_name("https://finance.sina.com.cn/stock/") == "finance-sina"
    assert site_name("http://www.21jingji.com/") == "21jingji"
    assert site_name("http://127.0.0.1:8800/") == "127-0-0-1-8800"
    assert site_name("https://www.gov.cn/") == "gov"
    assert same_site("https://finance.sina.com.cn/", "http://www.sina.com.cn/")
    assert not same_site("https://a.com.cn/", "https://b.com.cn/")
    assert not same_site("https://a.gz.cn/", "https://b.gz.cn/"), "of a province, under which names are registered"
    assert not same_site("http://127.0.0.1:1/", "http://127.0.0.1:2/")

    def titled(title: str, url: str = "https://www.a.cn/") -> Page:
        return Page(url, f"<title>{title}</title>", "utf-8")

    assert site_title(titled("首页_岚港财经")) == "岚港财经"
    assert site_title(titled("最新 - 弧光科技")) == "弧光科技"
    assert site_title(titled("")) == "www.a.cn"
    assert media_type(titled("岚港财经")) == "finance"
    assert media_type(titled("证券时报网")) == "securities"
    assert media_type(titled("汀洲新闻网")) == "news"
    assert media_type(titled("首页", "https://www.b.gov.cn/")) == "government"


def test_a_page_made_by_javascript() -> None:
    shell = '<html><body><div id="app"></div><script src="/app.js"></script></body></html>'
    assert Page("https://a.cn/", shell, "utf-8").needs_javascript
    assert not page([f"/{n}" for n in range(9)]).needs_javascript
    assert not Page("https://a.cn/", "<p>空</p>", "utf-8").needs_javascript
