"""A site's proxies: one for a run, another when it fails, their health in the report and their passwords nowhere."""

import json
import random
import socket
from typing import Any

import pytest
from scrapy import Request

from crawler.proxies import ProxyPool
from examples.newsroom.recordings import FOLDER
from tests.crawler.conftest import Answer, Crawl, WebServer
from tests.crawler.proxy_server import local_proxy
from yuqing.settings import CrawlerSettings

OPTIONS = CrawlerSettings(proxy_failures=3, proxy_bench_s=30)
URLS = [f"http://user:hush@p{number}.example.cn:3128" for number in range(3)]


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def pool(urls: list[str] | None = None, seed: int = 1) -> tuple[ProxyPool, Clock]:
    clock = Clock()
    return ProxyPool(URLS if urls is None else urls, OPTIONS, random.Random(seed), clock), clock


def test_a_run_keeps_its_proxy_and_runs_have_different_ones() -> None:
    first = set()
    for seed in range(30):
        proxies, _ = pool(seed=seed)
        number = proxies.choose()
        for _ in range(10):
            assert proxies.choose() == number
            proxies.success(number)
        first.add(number)
    assert first == {0, 1, 2}
    direct, _ = pool([])
    request = Request("https://a.cn/")
    direct.assign(request)
    assert not request.meta
    assert not direct.all_benched


def test_a_proxy_that_fails_three_times_in_a_row_is_benched_for_a_while() -> None:
    proxies, clock = pool()
    bad = proxies.choose()
    for _ in range(2):
        proxies.failure(bad, "refused")
    proxies.success(bad)
    for _ in range(2):
        proxies.failure(bad, "refused")
    assert proxies.choose() == bad, "not three in a row"
    assert proxies.choose(avoid=[bad]) != bad
    assert proxies.choose() == bad, "one request's way round changes nothing for the others"
    proxies.failure(bad, "refused")
    other = proxies.choose()
    assert other != bad
    proxies.success(other)
    clock.now += 31
    assert proxies.choose() == other, "the address is not changed back"
    assert [row["benched"] for row in proxies.as_json()] == [False] * 3
    # Tried again: a single failure benches it anew, for twice as long.
    proxies.failure(bad, "refused")
    clock.now += 45
    assert [row["benched"] for row in proxies.as_json()][bad]
    clock.now += 20
    proxies.success(bad)
    assert proxies.proxies[bad].benchings == 0


def test_with_all_benched_the_least_bad_is_used() -> None:
    proxies, clock = pool()
    order = [2, 0, 1]
    for number in order:
        for _ in range(3):
            proxies.failure(number, "down")
        clock.now += 1
    assert proxies.all_benched
    assert proxies.choose() == 2, "the one whose bench ends first"
    assert proxies.choose(avoid=[2]) == 0
    assert proxies.choose(avoid=[0, 1, 2]) == 2


def test_the_report_shows_no_password() -> None:
    proxies, _ = pool([*URLS, "https://user@[2001:db8::1]"])
    proxies.failure(0, "refused")
    shown = proxies.as_json()
    assert "hush" not in str(shown)
    assert "user" not in str(shown)
    assert [row["proxy"] for row in shown][2:] == ["http://p2.example.cn:3128", "https://[2001:db8::1]:443"]
    assert shown[0] == {
        "proxy": "http://p0.example.cn:3128",
        "requests": 1,
        "failures": 1,
        "benched": False,
        "problem": "refused",
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def articles(web: WebServer, count: int) -> None:
    for number in range(count):
        web.article(f"/a/{number}")
    web.hub([f"/a/{number}" for number in range(count)])


@pytest.mark.service
def test_a_crawl_through_proxies_of_which_some_are_dead(crawl: Crawl, web: WebServer) -> None:
    for number in range(12):
        web.article(f"/a/{number}")
    web.article("/a/sound", text='<audio src="/one.mp3"></audio>')
    web.article("/a/js")
    web.hub([*(f"/a/{number}" for number in range(12)), "/a/sound", "/a/js"])
    web.answers["/one.mp3"] = Answer(
        (FOLDER / "morning-bulletin.mp3").read_bytes(), headers={"Content-Type": "audio/mpeg"}
    )
    with local_proxy(wants="reader:hush word") as good, local_proxy(wants="other:hush") as strict:
        dead = f"http://127.0.0.1:{free_port()}"
        crawl.define(
            web.site(
                proxies=[dead, "http://wrong:hush@" + strict.url[7:], "http://${PROXY_LOGIN}@" + good.url[7:]],
                concurrency=2,
                browser=[{"urls": r"http://127\.0\.0\.1:\d+/a/js"}],
            )
        )
        crawl.environment |= {"PROXY_LOGIN": "reader:hush%20word"}
        process = crawl.start("local")
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
    (report,) = [crawl.store.get(item.key).decode() for item in crawl.store.list("reports/crawl/")]
    assert "hush" not in output + errors + report
    totals: dict[str, Any] = json.loads(output)
    (site,) = totals["sites"]
    assert totals["crawled"] == 14
    assert totals["errors"] == 0, site["errors"]
    # Everything that reached the site came through the good proxy, recordings and Chromium, too.
    through = [line.split()[1].removeprefix(web.url) for line in good.asked if web.url in line]
    assert sorted(through) == sorted(path for path, count in web.asked.items() for _ in range(count))
    assert {"/robots.txt", "/one.mp3", "/a/js"} <= set(through)
    health = {row["proxy"]: row for row in site["proxies"]}
    assert health[good.url]["failures"] == 0
    # Three in a row, and one that was on its way meanwhile.
    for bad in (health[dead], health[strict.url]):
        assert bad["failures"] == bad["requests"] <= 4, f"benched after three failures: {health}"


@pytest.mark.service
def test_without_a_proxy_that_works_nothing_is_asked_for_directly(crawl: Crawl, web: WebServer) -> None:
    articles(web, 2)
    with local_proxy(refuse=503) as refusing:
        secure = web.url.replace("http:", "https:")
        crawl.define(
            web.site(
                proxies=[f"http://127.0.0.1:{free_port()}", refusing.url],
                start_urls=[f"{secure}/"],
                obey_robots=False,
                concurrency=1,
            )
        )
        totals = crawl.run(status=1, retries="1", backoff_base_s="0.1")
    assert not web.asked
    assert any(line.startswith("CONNECT ") for line in refusing.asked)
    assert totals["crawled"] == 0
    (site,) = totals["sites"]
    assert all(row["failures"] == row["requests"] > 0 for row in site["proxies"])
