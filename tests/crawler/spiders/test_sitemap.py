"""Sitemap indexes that name more than a run reads."""

import asyncio
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from scrapy.http import Response

from crawler.report import CrawlReport
from crawler.spiders.sitemap import Sitemaps
from crawler.yields import Announced
from yuqing.contracts import now
from yuqing.settings import CrawlerSettings
from yuqing.sites import Site


async def read(index: str) -> tuple[list[str], CrawlReport]:
    """The sitemaps that a run reads of an index, in their order, and its report."""
    report = CrawlReport("run", "a", now())
    site = Site(name="a", title="a", articles=("http://a.cn/",), sitemaps=("http://a.cn/index.xml",))
    announced = Announced()
    spider: Any = SimpleNamespace(
        site=site,
        report=report,
        site_crawler=SimpleNamespace(options=CrawlerSettings(sitemaps=5), announced=announced),
        request=lambda url, *_, **__: url,
    )
    answer = Response("http://a.cn/index.xml", body=f"<sitemapindex>{index}</sitemapindex>".encode())
    found: list[Any] = [url async for url in Sitemaps(spider).parse(answer)]
    assert announced.sampled == ({"sitemap"} if report.traps else set())
    return found, report


def test_every_sitemap_has_its_turn() -> None:
    today = now()
    dated = [f"http://a.cn/{days}.xml" for days in range(3)]
    undated = {f"http://a.cn/undated-{number}.xml" for number in range(12)}
    index = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in sorted(undated)) + "".join(
        f"<sitemap><loc>{url}</loc><lastmod>{(today - timedelta(days=days)).isoformat()}</lastmod></sitemap>"
        for days, url in enumerate(dated)
    )

    async def scenario() -> None:
        later: set[str] = set()
        for _ in range(200):  # one is missed by all of them with a probability of less than 12 * (10 / 12) ** 200
            first, report = await read(index)
            assert first[:3] == dated, "what is known to be new comes first"
            assert len(first) == 5
            later |= set(first[3:])
        assert later == undated
        (trap,) = report.traps
        assert (trap["limit"], trap["count"]) == ("crawler.sitemaps", 10)

    asyncio.run(scenario())


def test_nothing_is_said_when_nothing_is_left_out() -> None:
    found, report = asyncio.run(read("<sitemap><loc>/1.xml</loc></sitemap>" * 5))
    assert len(found) == 5 and not report.traps
