"""Secrets of a site's file: taken from the environment, sent to the site alone, told to nobody."""

import json
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest
import yaml

from crawler.environment import with_environment
from tests.crawler.conftest import Answer, Crawl, WebServer
from yuqing.site_files import SiteError, load_site
from yuqing.sites import Site

SITE = {
    "name": "one",
    "title": "一",
    "start_urls": ["https://www.example.cn/"],
    "articles": [r"https://www\.example\.cn/\d+"],
    "headers": {"Authorization": "Bearer ${TOKEN}", "X-Plain": "a$b {c}"},
    "cookies": {"session": "${SESSION}"},
    "proxies": ["${PROXY}", "http://${USER}:${PASSWORD}@two.example.cn:3128"],
}
VALUES = {"TOKEN": "t", "SESSION": "s", "PROXY": "http://one.example.cn:3128", "USER": "u", "PASSWORD": "hush"}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    path = tmp_path / "one.yaml"
    path.write_text(yaml.safe_dump(SITE))
    return load_site(path)


def test_values_come_from_the_environment(site: Site) -> None:
    filled = with_environment(site, VALUES)
    assert filled.headers == {"Authorization": "Bearer t", "X-Plain": "a$b {c}"}
    assert filled.cookies == {"session": "s"}
    assert filled.proxies == ("http://one.example.cn:3128", "http://u:hush@two.example.cn:3128")


def test_a_missing_variable_is_named_with_its_place(site: Site) -> None:
    given = {name: value for name, value in VALUES.items() if name not in ("SESSION", "PROXY")} | {"PROXY": ""}
    with pytest.raises(SiteError) as refused:
        with_environment(site, given)
    assert refused.value.message.splitlines() == [
        f"{site.file}: cookies.session: ${{SESSION}} is not in the environment",
        f"{site.file}: proxies.0: ${{PROXY}} is not in the environment",
    ]
    assert refused.value.cure.startswith("set SESSION, PROXY ")
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [("TOKEN", "a\r\nX: hush"), ("SESSION", "hush; Domain=cn"), ("PROXY", "socks5://hush"), ("PROXY", "hush")],
)
def test_a_value_that_cannot_be_is_refused_and_not_shown(site: Site, name: str, value: str) -> None:
    with pytest.raises(SiteError, match=name) as refused:
        with_environment(site, VALUES | {name: value})
    assert "hush" not in str(refused.value)


class Listener:
    """An answer that notes the headers with which it was asked for."""

    def __init__(self, body: str = "", status: int = 200, **headers: str) -> None:
        self.headers: dict[str, str] = {}
        self._body, self._status, self._more = body, status, headers

    def __call__(self, handler: BaseHTTPRequestHandler) -> None:
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        handler.send_response(self._status)
        for name, value in {"Content-Type": "text/html", "Content-Length": str(len(self._body)), **self._more}.items():
            handler.send_header(name, value)
        handler.end_headers()
        handler.wfile.write(self._body.encode())


@pytest.mark.service
def test_secrets_reach_the_site_and_nobody_else(crawl: Crawl, web: WebServer) -> None:
    elsewhere = web.url.replace("127.0.0.1", "localhost")
    # The site sets a cookie of its own, too, and sends the reader of its first article elsewhere.
    hub = Listener('<a href="/a/1">1</a><a href="/a/2">2</a>', **{"Set-Cookie": "own=1"})
    first = Listener(status=302, Location=f"{elsewhere}/a/moved")
    moved, second = Listener("<p>moved</p>"), Listener("<p>two</p>")
    for path, listener in {"/": hub, "/a/1": first, "/a/moved": moved, "/a/2": second}.items():
        web.answers[path] = Answer(behave=listener)
    site = web.site(concurrency=1, headers={"X-Key": "${API_KEY}"}, cookies={"session": "${SESSION}"})
    site["articles"] = [r"http://(127\.0\.0\.1|localhost):\d+/a/.+"]
    crawl.define(site, web.site(name="other", headers={"X-Key": "${NOT_SET}"}))
    crawl.environment |= {"API_KEY": "hush-key", "SESSION": "hush-session"}

    missing = "other.yaml: headers.X-Key: ${NOT_SET} is not in the environment"
    for named in ("other",), ("local", "other"):
        assert missing in crawl.run(*named, status=2)["stderr"]
    assert not web.asked

    process = crawl.start("--all")
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 1, errors
    local, left = sorted(json.loads(output)["sites"], key=lambda report: report["site"])
    assert (local["reason"], local["flags"], left["reason"], left["pages"]) == ("finished", [], "left_out", 0)
    ((kind, message),) = [flag.values() for flag in left["flags"]]
    assert kind == "left_out"
    assert missing in message and "set NOT_SET where the crawler runs" in message
    (stored,) = [crawl.store.get(item.key) for item in crawl.store.list("reports/crawl/other/")]
    assert json.loads(stored) == left
    web.asked.clear()
    assert crawl.run("local")["flags"] == []  # only the sites that are crawled need their variables
    for own in (hub, first, second):
        assert own.headers["x-key"] == "hush-key"
        assert "session=hush-session" in own.headers["cookie"]
    assert "own=1" in second.headers["cookie"]
    assert second.headers["referer"] == f"{web.url}/"
    assert second.headers["sec-fetch-site"] == "same-origin"
    assert moved.headers["user-agent"] == second.headers["user-agent"]
    assert moved.headers["referer"] == f"{web.url}/"
    assert moved.headers["sec-fetch-site"] == "cross-site"
    assert not {"x-key", "cookie"} & set(moved.headers)
    told = output + errors + "".join(crawl.store.get(item.key).decode() for item in crawl.store.list("reports/"))
    assert "hush" not in told
    assert len(crawl.documents()) == 2


@pytest.mark.service
def test_our_own_name_in_scrapy_and_in_chromium(crawl: Crawl, web: WebServer) -> None:
    hub = Listener('<a href="/a/1">1</a><a href="/a/js">js</a>')
    page, script = Listener("<p>one</p>"), Listener("<html><body><p>two</p></body></html>")
    for path, listener in {"/": hub, "/a/1": page, "/a/js": script}.items():
        web.answers[path] = Answer(behave=listener)
    web.answers["/robots.txt"] = Answer("User-agent: ournews\nDisallow: /a/1\n", headers={"Content-Type": "text/plain"})
    crawl.define(web.site(browser=[{"urls": r"http://127\.0\.0\.1:\d+/a/js"}]))
    totals = crawl.run(bot_identity="ournews/1.0 (+https://example.cn/bot)")
    assert (totals["crawled"], totals["fetched_js"]) == (1, 1)
    assert not page.headers, "robots.txt speaks to that name"
    for listener in (hub, script):
        assert listener.headers["user-agent"] == "ournews/1.0 (+https://example.cn/bot)"
        assert not [name for name in listener.headers if name.startswith("sec-ch-")]
