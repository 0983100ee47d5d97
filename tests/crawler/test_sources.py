"""Every kind of source in one crawl: JSON lists, the site's search, sitemaps with dates, fields."""

import json
from datetime import UTC, datetime, timedelta

import pytest

from tests.crawler.conftest import Answer, Crawl, WebServer
from yuqing.watchlist import KEY

pytestmark = pytest.mark.service
JSON = {"Content-Type": "application/json"}


def test_every_kind_of_source(crawl: Crawl, web: WebServer) -> None:
    companies = [
        {"id": 1, "name": "岚港银行", "aliases": ["岚银"], "exclude_words": []},
        {
            "id": 2,
            "name": "€公司",
            "aliases": [],
            "exclude_words": [],
        },  # not in gb18030's two-byte part, but in gb18030
        {"id": 3, "name": "岚银", "aliases": [], "exclude_words": []},  # the same word again: asked for once
    ]
    crawl.store.put(KEY, json.dumps(companies).encode())
    for number in range(10):
        web.article(f"/a/{number}", extra=f'<meta name="author" content="记者{number}">')

    web.answers["/api?p=1"] = Answer(
        json.dumps({"data": [{"id": 1, "t": "一", "at": 1763600000}, {"id": 2}]}), headers=JSON
    )
    web.answers["/api?p=2"] = Answer("cb(" + json.dumps({"data": [{"id": 3}]}) + ")", headers=JSON)
    web.answers["/api?p=3"] = Answer('{"error": "no such page"}', headers=JSON)
    # 岚港银行 is found by gb18030 bytes, 岚银 as JSON.
    web.hub(["/a/4", "/elsewhere"], "/so?q=%E1%B0%B8%DB%D2%F8%D0%D0&p=1")
    web.hub([], "/so?q=%E1%B0%B8%DB%D2%F8%D0%D0&p=2")
    web.answers["/find/%E5%B2%9A%E9%93%B6"] = Answer(
        json.dumps({"hits": [{"url": f"{web.url}/a/5", "title": "<em>岚银</em>涨"}]}), headers=JSON
    )

    now = datetime.now(UTC)
    old, new = (now - timedelta(days=9)).isoformat(), (now - timedelta(days=1)).isoformat()
    web.answers["/index.xml"] = Answer(
        f"<sitemapindex><sitemap><loc>{web.url}/old.xml</loc><lastmod>{old}</lastmod></sitemap>"
        f"<sitemap><loc>http://a.cn:99999/broken.xml</loc><lastmod>{new}</lastmod></sitemap>"
        f"<sitemap><loc>/new.xml</loc><lastmod>{new}</lastmod></sitemap></sitemapindex>"
    )
    web.answers["/new.xml"] = Answer(
        f"<urlset><url><loc>{web.url}/a/6</loc><lastmod>{new}</lastmod></url>"
        f"<url><loc>{web.url}/a/7</loc><lastmod>{old}</lastmod></url>"
        f"<url><loc>{web.url}/a/8</loc></url></urlset>"
    )
    crawl.define(
        web.site(
            start_urls=[],
            lists=[
                {
                    "url": f"{web.url}/api?p=1",
                    "page_urls": f"{web.url}/api?p={{page}}",
                    "pages": 3,
                    "json": {
                        "items": "data",
                        "url": "join('', ['/a/', to_string(id)])",
                        "title": "t",
                        "published_at": "at",
                    },
                }
            ],
            search=[
                {
                    "url": f"{web.url}/so?q={{name}}&p={{page}}",
                    "links": "li",
                    "encoding": "gb18030",
                    "pages": 2,
                },
                {"url": f"{web.url}/find/{{name}}", "json": {"items": "hits", "title": "title"}},
            ],
            sitemaps=[f"{web.url}/index.xml"],
            sitemap_days=5,
            fields={"author": "//meta[@name='author']/@content"},
        )
    )
    totals = crawl.run()
    documents = {document.url.rsplit("/", 1)[1]: document for document in crawl.documents()}
    assert {number: document.spider for number, document in documents.items()} == {
        **dict.fromkeys("123", "site"),
        **dict.fromkeys("45", "search"),
        **dict.fromkeys("68", "sitemap"),
    }
    assert documents["1"].title == "一"
    assert documents["1"].published_at == datetime.fromtimestamp(1763600000, UTC)
    assert documents["1"].author == "记者1"
    assert documents["5"].title == "岚银涨"
    assert "/old.xml" not in web.asked
    assert web.asked["/find/%E5%B2%9A%E9%93%B6"] == 1
    errors = {error["url"].removeprefix(web.url): error["reason"] for error in totals["sites"][0]["errors"]}
    assert "`items`" in errors.pop("/api?p=3")
    assert all(path.startswith(("/so", "/find")) for path in errors)  # names that the search does not know: 404

    web.asked.clear()
    assert crawl.run()["crawled"] == 0
    assert not [path for path in web.asked if path.startswith("/a/")]
    assert web.asked["/api?p=1"] == 1
