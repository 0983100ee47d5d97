"""What is counted of the requests that are not needed."""

from scrapy import Request
from scrapy.http import Response

from crawler.batches import BatchWriter
from crawler.canonical import url_hash
from crawler.middlewares.seen_urls import SeenUrlsSpiderMiddleware
from crawler.report import CrawlReport
from crawler.retries import Retries, Try
from crawler.scratch_store import ScratchStore
from crawler.seen import SeenUrls
from crawler.site_crawler import ARTICLE, SiteCrawler
from crawler.spiders.base import SiteSpider
from tests.crawler.seen.conftest import a_site
from yuqing.contracts import now
from yuqing.settings import CrawlerSettings


def article(url: str, kind: str = "site") -> Request:
    return Request(url, meta={"role": ARTICLE, "found_by": kind})


def test_only_what_was_announced_is_found_or_skipped() -> None:
    store = ScratchStore()
    seen, report = SeenUrls(), CrawlReport("run", "one", now())
    seen.settle([url_hash("http://example.cn/known"), url_hash("http://example.cn/late")])
    retries = Retries("one", address=url_hash, settled=seen.__contains__)
    crawler = SiteCrawler(
        SiteSpider,
        {},
        site=a_site(),
        settings=CrawlerSettings(),
        store=store,
        seen=seen,
        batches=BatchWriter(store, "one", report, retries, seen, pages=1, seconds=1, size=1),
        report=report,
        browsers=None,
    )
    middleware = SeenUrlsSpiderMiddleware(crawler)
    listing = Response("http://example.cn/")
    assert middleware.get_processed_request(article("http://example.cn/new"), listing)
    assert middleware.get_processed_request(article("http://example.cn/known"), listing) is None
    # Settled meanwhile under another name: nobody has announced what earlier runs could not get.
    assert middleware.get_processed_request(article("http://example.cn/late"), None) is None
    assert (report.found, report.seen_skipped, report.found_new) == (2, 1, 1)
    # Whichever announces it first: it counts once in all, and for each kind of source.
    assert middleware.get_processed_request(article("http://example.cn/new", "feed"), listing) is None
    assert (report.found, [crawler.announced.count([kind]) for kind in ("site", "feed")]) == (2, [2, 1])
    for attempts in (1, 2):
        retries.failed("http://example.cn/bad", "HTTP 503", outcome=Try.IN_VAIN)
        retries._in_vain_now.clear()  # the next run
        assert retries.rests(url_hash("http://example.cn/bad")) is (attempts == 2)
    assert middleware.get_processed_request(article("http://example.cn/bad"), listing) is None
    assert (report.found, report.found_new, report.resting) == (3, 2, 1)
    assert middleware.get_processed_request(article("http://./"), listing) is None
    assert report.errors == [{"url": "http://./", "reason": "an address without a host"}]
