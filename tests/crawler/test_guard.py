"""Private addresses are refused in every spelling, unless the site allows them."""

import asyncio

import pytest
from scrapy import Request

from crawler.egress import RefusedAddress
from crawler.middlewares.guard import GuardMiddleware
from crawler.report import CrawlReport
from yuqing.contracts import now


def check(url: str, *, allow_private: bool = False) -> CrawlReport:
    report = CrawlReport("run", "site", now())
    guard = GuardMiddleware(report, allow_private=allow_private)
    asyncio.run(guard.process_request(Request(url)))
    return report


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost/",
        "http://10.1.2.3/",
        "http://192.168.1.1:8080/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://100.64.0.1/",
        "http://0.0.0.0/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://[fe80::1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "file:///etc/passwd",
        "ftp://example.cn/",
    ],
)
def test_refused(url: str) -> None:
    with pytest.raises(RefusedAddress):
        check(url)


@pytest.mark.parametrize("url", ["http://1.1.1.1/", "http://[2606:4700:4700::1111]/"])
def test_public_addresses_pass(url: str) -> None:
    assert check(url).refused_addresses == 0


def test_a_site_may_allow_them_but_not_other_schemes() -> None:
    assert check("http://127.0.0.1/", allow_private=True).refused_addresses == 0
    with pytest.raises(RefusedAddress):
        check("file:///etc/passwd", allow_private=True)
