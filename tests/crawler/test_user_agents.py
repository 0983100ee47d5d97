"""Header sets that a browser could have sent, or our own name and nothing of a browser."""

import random
import re
from typing import Any

import pytest
from scrapy import Request
from scrapy.downloadermiddlewares.httpcompression import ACCEPTED_ENCODINGS

from crawler.domains import own_domains, registrable_domain
from crawler.middlewares.cookies import site_cookies
from crawler.middlewares.user_agent import UserAgentMiddleware
from crawler.site_crawler import MEDIA
from crawler.user_agents import robots_name, user_agents
from yuqing.settings import CrawlerSettings
from yuqing.sites import Site

OPTIONS = CrawlerSettings()
SITE = Site(
    name="one",
    title="一",
    start_urls=("https://www.example.com.cn/",),
    articles=(r"https://example\.com\.cn/\d+",),
    headers={"X-Reader": "1", "Accept": "text/plain"},
)
PLAIN = SITE.model_copy(update={"headers": {}})


def middleware(site: Site = PLAIN, options: CrawlerSettings = OPTIONS, seed: int = 1) -> UserAgentMiddleware:
    return UserAgentMiddleware(site, options, random.Random(seed))


def sent(agent: UserAgentMiddleware, url: str, *, headers: dict[str, str] | None = None, **meta: Any) -> dict[str, str]:
    """The headers with which a request leaves."""
    request = Request(url, headers=headers, meta=meta)
    agent.process_request(request)
    return {name.decode(): values[-1].decode() for name, values in request.headers.items()}


@pytest.mark.parametrize("profile", user_agents().profiles, ids=lambda profile: profile.name)
def test_the_headers_of_a_profile_agree_with_each_other(profile: Any) -> None:
    headers = dict(profile.headers)
    agent = headers["User-Agent"]
    platforms = {
        "Windows": "Windows NT 10.0; Win64; x64",
        "macOS": "Macintosh; Intel Mac OS X 10",
        "Linux": "X11; Linux x86_64",
    }
    assert platforms[profile.platform] in agent
    assert re.match(r"zh-CN,zh(-Hans)?;q=0\.\d", headers["Accept-Language"])
    weights = [float(weight) for weight in re.findall(r"q=([\d.]+)", headers["Accept-Language"])]
    assert weights == sorted(set(weights), reverse=True)
    encodings = {encoding.strip() for encoding in headers["Accept-Encoding"].split(",")}
    assert {"gzip", "deflate", "br"} <= encodings <= {name.decode() for name in ACCEPTED_ENCODINGS}
    assert (headers["Sec-Fetch-Dest"], headers["Sec-Fetch-Mode"], headers["Sec-Fetch-Site"]) == (
        "document",
        "navigate",
        "none",
    )
    assert profile.weight > 0

    chromium = re.search(r"AppleWebKit/537\.36 \(KHTML, like Gecko\) Chrome/(\d+)\.0\.0\.0 Safari/537\.36", agent)
    hints = {name for name in headers if name.startswith("Sec-CH-")}
    assert profile.chromium == bool(chromium)
    if not chromium:
        assert not hints, "neither Firefox nor Safari sends client hints"
        assert "image/avif" not in headers["Accept"]
        assert bool(re.search(r"rv:(\d+)\.0\) Gecko/20100101 Firefox/\1\.0$", agent)) or "Version/" in agent
        return
    assert hints == {"Sec-CH-UA", "Sec-CH-UA-Mobile", "Sec-CH-UA-Platform"}
    assert headers["Sec-CH-UA-Platform"] == f'"{profile.platform}"'
    assert headers["Sec-CH-UA-Mobile"] == "?0"
    brands = dict(re.findall(r'"([^"]+)";v="(\d+)"', headers["Sec-CH-UA"]))
    edge = re.search(r"Edg/(\d+)", agent)
    assert edge is None or edge[1] == chromium[1]
    name = "Microsoft Edge" if edge else "Google Chrome"
    assert {brand for brand in brands if "Brand" not in brand} == {"Chromium", name}
    assert len(brands) == 3, "with one that greases"
    assert brands["Chromium"] == brands[name] == chromium[1]


def test_the_data_are_of_browsers_of_one_time() -> None:
    versions = [
        int(version)
        for profile in user_agents().profiles
        for version in re.findall(r"Chrome/(\d+)", profile.user_agent)
    ]
    assert max(versions) - min(versions) <= 2
    assert user_agents().age_days(user_agents().dated) == 0


def test_registrable_domains() -> None:
    names = {
        "www.sina.com.cn": "sina.com.cn", "m.people.cn": "people.cn", "www.gov.cn": "www.gov.cn", "gov.cn": "gov.cn",
        "127.0.0.1": "127.0.0.1", "localhost": "localhost", "a.tenant.github.io": "tenant.github.io", "": "",
    }  # fmt: skip
    assert {host: registrable_domain(host) for host in names} == names
    site = Site(
        name="one", title="一", start_urls=("https://www.a.com.cn/",), feeds=("https://rss.reader.cn/x", "https://b.cn/rss"),
        articles=(r"https?://www\.a\.com\.cn/\d+", r"https://\w+\.b\.cn/\d+"),
    )  # fmt: skip
    assert own_domains(site) == {"a.com.cn", "b.cn"}, "somebody else's feed is not the site's"


def test_a_run_is_one_reader() -> None:
    agents = set()
    for seed in range(30):
        agent = middleware(seed=seed)
        seen = {
            sent(agent, url)["User-Agent"] for url in ("https://www.a.cn/1", "http://m.a.cn/2", "https://b.com.cn/")
        }
        assert len(seen) == 1
        agents |= seen
    assert len(agents) > 1


def test_browsers_are_chosen_by_weight() -> None:
    profiles = user_agents().profiles
    chance = random.Random(7)
    chosen = [user_agents().choose(chance) for _ in range(4000)]
    whole = sum(profile.weight for profile in profiles)
    for profile in profiles:
        assert abs(chosen.count(profile) / 4000 - profile.weight / whole) < 0.03


def test_over_plain_http_a_browser_says_less() -> None:
    agent = middleware()
    headers = sent(agent, "http://www.example.com.cn/1", referrer="http://www.example.com.cn/")
    assert not [name for name in headers if name.startswith("Sec-")]
    assert headers["Accept-Encoding"] == "gzip, deflate"
    assert headers["Referer"] == "http://www.example.com.cn/"
    secure = sent(agent, "https://www.example.com.cn/1")
    assert "br" in secure["Accept-Encoding"]
    assert secure["User-Agent"] == headers["User-Agent"]
    # A redirect down to http takes with it what only TLS may carry.
    request = Request("https://www.example.com.cn/1")
    agent.process_request(request)
    request = request.replace(url="http://www.example.com.cn/1")
    agent.process_request(request)
    assert not [name for name in request.headers if name.startswith(b"Sec-")]
    assert request.headers["Accept-Encoding"] == b"gzip, deflate"


@pytest.mark.parametrize(
    ("page", "url", "referer", "relation"),
    [
        ("https://u:p@www.a.com.cn/l?x=1#top", "https://www.a.com.cn/1", "https://www.a.com.cn/l?x=1", "same-origin"),
        ("https://www.a.com.cn/l", "https://m.a.com.cn/1", "https://www.a.com.cn/", "same-site"),
        ("https://www.a.com.cn/l", "https://www.b.com.cn/1", "https://www.a.com.cn/", "cross-site"),
        ("https://www.a.com.cn:8443/l", "https://www.a.com.cn/1", "https://www.a.com.cn:8443/", "same-site"),
        ("http://www.a.com.cn/l", "https://www.a.com.cn/1", "http://www.a.com.cn/", "cross-site"),
        ("https://www.a.com.cn/l", "http://www.a.com.cn/1", None, None),
        ("http://www.a.com.cn/l", "http://www.b.com.cn/1", "http://www.a.com.cn/", None),
    ],
)
def test_a_link_is_followed_as_by_a_browser(page: str, url: str, referer: str | None, relation: str | None) -> None:
    headers = sent(middleware(), url, referrer=page)
    assert (headers.get("Referer"), headers.get("Sec-Fetch-Site")) == (referer, relation)


def test_a_redirect_stays_as_far_away_as_it_went() -> None:
    way = ["https://count.b.cn/go"]
    headers = sent(middleware(), "https://www.a.com.cn/1", referrer="https://www.a.com.cn/", redirect_urls=way)
    assert (headers["Referer"], headers["Sec-Fetch-Site"]) == ("https://www.a.com.cn/", "cross-site")
    assert "Referer" not in sent(middleware(), "https://www.a.com.cn/1", redirect_urls=way), (
        "typed into the address bar"
    )


def test_a_recording_is_asked_for_as_by_a_player() -> None:
    given = {"Referer": "https://www.a.com.cn/p", "Accept": "*/*"}
    headers = sent(middleware(), "https://media.a.com.cn/1.mp4", headers=given, role=MEDIA)
    assert headers["Accept"] == "*/*"
    assert (headers["Sec-Fetch-Dest"], headers["Sec-Fetch-Mode"], headers["Sec-Fetch-Site"]) == (
        "video",
        "no-cors",
        "same-site",
    )
    assert not {"Sec-Fetch-User", "Upgrade-Insecure-Requests"} & set(headers)
    assert headers["Referer"] == "https://www.a.com.cn/"


def test_the_sites_headers_win_and_stay_with_the_site() -> None:
    agent = middleware(SITE)
    headers = sent(agent, "https://m.example.com.cn/")
    assert (headers["X-Reader"], headers["Accept"]) == ("1", "text/plain")
    assert "X-Reader" not in sent(agent, "https://cdn.elsewhere.cn/")
    assert "X-Reader" not in sent(agent, "http://www.example.com.cn/")  # all that the file names is behind TLS
    request = Request("https://www.example.com.cn/1")
    agent.process_request(request)
    request = request.replace(url="https://elsewhere.cn/1")
    agent.process_request(request)
    assert "X-Reader" not in request.headers


@pytest.mark.parametrize("where", ["site", "settings"])
def test_our_own_name_is_said_without_a_browsers_headers(where: str) -> None:
    name = "ournews/1.0 (+https://example.cn/bot)"
    site = PLAIN.model_copy(update={"headers": {"user-agent": name}}) if where == "site" else PLAIN
    options = CrawlerSettings(bot_identity=name) if where == "settings" else OPTIONS
    agent = middleware(site, options)
    for url in ("https://www.example.com.cn/1", "https://cdn.elsewhere.cn/1"):
        headers = sent(agent, url, referrer="https://www.example.com.cn/")
        assert headers == {"User-Agent": name, "Accept": "*/*"}
    assert robots_name(CrawlerSettings(bot_identity=name)) == "ournews"
    assert robots_name(OPTIONS) == "yuqing"


def test_a_site_with_browser_pages_meets_chromium_only() -> None:
    site = PLAIN.model_copy(update={"browser": ({"urls": "http://example.cn/"},)})
    chosen = {middleware(site, seed=seed).profile.chromium for seed in range(200)}
    assert chosen == {True}


def test_the_sites_cookies_are_for_the_sites_domains() -> None:
    site = PLAIN.model_copy(update={"cookies": {"token": "t"}})
    assert [(cookie.domain, cookie.secure) for cookie in site_cookies(site)] == [(".example.com.cn", True)]
    local = site.model_copy(update={"start_urls": ("http://127.0.0.1:80/", "http://localhost/")})
    assert {(cookie.domain, cookie.secure) for cookie in site_cookies(local)} == {
        ("127.0.0.1", False),
        ("localhost.local", False),
    }
