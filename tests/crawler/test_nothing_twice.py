"""Whole crawls: two at a time with a compaction beside them, and the revisit policy."""

import gzip
import time
from collections import Counter

import pytest

from crawler.canonical import site_address, url_hash
from crawler.seen import pack
from crawler.seen.compaction import compact
from tests.crawler.conftest import Answer, Crawl, WebServer
from tests.crawler.seen.conftest import DAY, History
from yuqing.sites import Site

pytestmark = pytest.mark.service
PAGES = 60


def test_two_crawls_of_one_site_beside_a_compaction(crawl: Crawl, web: WebServer) -> None:
    def late(path: str) -> Answer:
        time.sleep(0.1)
        return Answer(f"<p>{path}</p>")

    paths = [f"/a/{number}" for number in range(PAGES)]
    for path in paths:
        web.answers[path] = lambda path=path: late(path)  # type: ignore[misc]
    web.hub(paths)
    site = Site.model_validate(web.site(concurrency=2))
    crawl.define(web.site(concurrency=2))
    history = History(crawl.store)
    for number in range(10):  # known from earlier runs
        settled = pack([url_hash(site_address(site, f"{web.url}{paths[number]}"))])
        crawl.store.put(f"seen/local/{history.name((2 + number) * DAY)}.u64", settled)
    processes = [crawl.start("local", batch_pages="3", batch_seconds="0.3") for _ in range(2)]
    compactions = []
    while any(process.poll() is None for process in processes):
        compactions.append(compact(crawl.store, site, grace_hours=24).merged)
        time.sleep(0.05)
    for process in processes:
        _, errors = process.communicate()
        assert process.returncode == 0, errors
    assert sum(compactions) == 10
    found = Counter(document.url.removeprefix(web.url) for document in crawl.documents())
    assert set(found) == set(paths[10:])
    assert max(found.values()) <= 2
    asked = dict(web.asked)
    assert not set(asked) & set(paths[:10])
    assert crawl.run("local")["crawled"] == 0
    assert {path: count for path, count in web.asked.items() if path in paths} == {
        path: asked[path] for path in paths[10:]
    }


def test_articles_that_a_list_still_shows_are_revisited(crawl: Crawl, web: WebServer) -> None:
    web.article("/a/1", "第一稿")
    web.article("/a/2", extra='<link rel="canonical" href="/a/3">')
    web.answers["/a/4"] = Answer(status=301, headers={"Location": "/a/1?from=x"})
    web.hub(["/a/1", "/a/2", "/a/4"])
    soon = {"after_hours": 1 / 3600, "until_days": 1}
    crawl.define(web.site(revisit=soon))
    assert crawl.run("local")["crawled"] == 2
    web.article("/a/1", "更正")
    totals = crawl.run("local")
    assert totals["crawled"] == 2
    assert totals["sites"][0]["revisited"] == 3
    assert Counter(document.canonical_url.removeprefix(web.url) for document in crawl.documents()) == {
        "/a/1": 2,
        "/a/3": 2,
    }
    assert "更正" in crawl.documents()[-1].body + crawl.documents()[-2].body
    crawl.define(web.site(revisit={"after_hours": 1, "until_days": 1}))
    assert crawl.run("local")["crawled"] == 0


def test_what_is_damaged_of_one_site_stops_no_other(crawl: Crawl, web: WebServer) -> None:
    web.article("/a/1")
    web.hub(["/a/1"])
    crawl.define(web.site(name="broken"), web.site(name="torn"), web.site(name="whole"))
    crawl.store.put("seen/broken/2026/01/01/01J00000000000000000000000.u64", b"7 bytes")
    torn = gzip.compress(b"{}")[:10] + b"\xff" * 20
    crawl.store.put("raw/torn/2026/01/01/01J00000000000000000000000.jsonl.gz", torn)
    crawl.store.put("retries/torn/01J00000000000000000000000.jsonl.gz", torn)
    totals = crawl.run("--all", status=1)
    reports = {report["site"]: report for report in totals["sites"]}
    assert {name: report["new_articles"] for name, report in reports.items()} == {"broken": 0, "torn": 1, "whole": 1}
    assert [flag["site"] for flag in totals["flags"]] == ["broken"]
    assert "01J00000000000000000000000.u64 is damaged" in reports["broken"]["errors"][0]["reason"]
    assert len(list(crawl.store.list("reports/crawl/broken/"))) == 1
