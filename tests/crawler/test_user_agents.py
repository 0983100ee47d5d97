"""Header sets that a browser could have sent."""

import random
import re

from scrapy import Request

from crawler.middlewares.user_agent import UserAgentMiddleware
from crawler.user_agents import user_agents
from yuqing.sites import Site

SITE = Site(
    name="one",
    title="一",
    start_urls=("http://example.cn/",),
    articles=(r"http://example\.cn/\d+",),
    headers={"X-Reader": "1", "Accept": "text/plain"},
)


def test_the_headers_of_a_profile_agree_with_each_other() -> None:
    for profile in user_agents().profiles:
        headers = dict(profile.headers)
        agent = headers["User-Agent"]
        assert headers["Accept-Language"].startswith("zh-CN")
        version = re.search(r"Chrome/(\d+)", agent)
        assert profile.chromium == bool(version) == ("Sec-CH-UA" in headers)
        if version:
            assert f'"Chromium";v="{version[1]}"' in headers["Sec-CH-UA"]
            assert headers["Sec-CH-UA-Platform"] == f'"{profile.platform}"'
            assert ("Edg/" in agent) == ("Microsoft Edge" in headers["Sec-CH-UA"])
        assert ("Windows NT" in agent) == (profile.platform == "Windows")


def test_one_host_meets_one_browser() -> None:
    middleware = UserAgentMiddleware(SITE, random.Random(1))
    agents = {}
    for number in range(40):
        for host in ("a.example.cn", "b.example.cn", "c.example.cn", "d.example.cn", "e.example.cn", "f.example.cn"):
            request = Request(f"http://{host}/{number}")
            middleware.process_request(request)
            agents.setdefault(host, set()).add(request.headers["User-Agent"])
    assert all(len(seen) == 1 for seen in agents.values())
    assert len(set.union(*agents.values())) > 1


def test_the_sites_headers_win() -> None:
    request = Request("http://example.cn/")
    UserAgentMiddleware(SITE, random.Random(1)).process_request(request)
    assert request.headers["X-Reader"] == b"1"
    assert request.headers["Accept"] == b"text/plain"


def test_a_site_with_browser_pages_meets_chromium_only() -> None:
    site = SITE.model_copy(update={"browser": ({"urls": "http://example.cn/"},)})
    chosen = {UserAgentMiddleware(site, random.Random(seed)).profile("example.cn").chromium for seed in range(200)}
    assert chosen == {True}
