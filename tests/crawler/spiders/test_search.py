"""Addresses of searches."""

from types import SimpleNamespace
from typing import Any

from crawler.spiders.search import Searches, search_address
from yuqing.settings import CrawlerSettings
from yuqing.sites import Search


def test_addresses() -> None:
    rule = Search(url="https://so.example.cn/s?q={name}&p={page}", pages=3)
    assert (
        search_address(rule, "岚港 银行&", 2)
        == "https://so.example.cn/s?q=%E5%B2%9A%E6%B8%AF%20%E9%93%B6%E8%A1%8C%26&p=2"
    )
    old = Search(url="https://so.example.cn/{name}/", encoding="gbk")
    assert search_address(old, "银行", 1) == "https://so.example.cn/%D2%F8%D0%D0/"
    assert search_address(old, "€𠮷", 1) is None


def test_a_name_cannot_ask_for_another_page() -> None:
    rule = Search(url="https://so.example.cn/?p={page}&q={name}")
    assert search_address(rule, "{page}", 1) == "https://so.example.cn/?p=1&q=%7Bpage%7D"


def test_a_long_watchlist_is_asked_for_in_samples() -> None:
    def drawn(names: list[str]) -> list[str]:
        shared = SimpleNamespace(names=names, options=CrawlerSettings(searches=3))
        spider: Any = SimpleNamespace(site=None, report=None, site_crawler=shared)
        return Searches(spider)._names

    assert drawn(["甲", "乙", "丙"]) == ["甲", "乙", "丙"]
    samples = [drawn(["甲", "乙", "丙", "丁"]) for _ in range(200)]
    assert {len(set(sample)) for sample in samples} == {3}
    assert {name for sample in samples for name in sample} == set("甲乙丙丁")
