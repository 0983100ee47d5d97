"""What is refused before any connection: other schemes, and addresses in every notation; every refusal is counted."""

import pytest
from scrapy import Request

from crawler.egress import Egress, RefusedAddress
from crawler.middlewares.guard import GuardMiddleware
from crawler.report import CrawlReport
from yuqing.contracts import now


def check(url: str, *, allow_private: bool = False) -> CrawlReport:
    report = CrawlReport("run", "site", now())
    guard = GuardMiddleware(report, Egress(allow_private=allow_private))
    try:
        guard.process_request(Request(url))
    except RefusedAddress as refused:
        guard.process_exception(Request(url), refused)
    guard.process_exception(Request(url), OSError())
    return report


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://192.168.1.1:8080/x",
        "http://169.254.169.254/latest/meta-data/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://2130706433/",
        "http://0x7f.1/",
        "http://0177.0.0.1/",
        "http://user:password@10.0.0.1/",
        "http://example.1/",
        "file:///etc/passwd",
        "ftp://example.cn/",
    ],
)
def test_refused_and_counted(url: str) -> None:
    assert check(url).refused_addresses == 1


@pytest.mark.parametrize("url", ["http://1.1.1.1/", "http://[2606:4700:4700::1111]/", "http://www.example.cn/"])
def test_public_addresses_and_names_pass(url: str) -> None:
    assert check(url).refused_addresses == 0


def test_a_site_may_allow_private_addresses_but_not_other_schemes() -> None:
    assert check("http://127.0.0.1/", allow_private=True).refused_addresses == 0
    assert check("file:///etc/passwd", allow_private=True).refused_addresses == 1
    assert check("http://169.254.169.254/", allow_private=True).refused_addresses == 1
