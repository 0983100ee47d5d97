"""`yuqing crawl` as a process, against the newsroom and against a server with bad habits."""

import base64
import contextlib
import hashlib
import json
import signal
import socket
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler
from typing import Any

import httpx
import pytest

from examples.newsroom.edition import edition
from examples.newsroom.sites import definitions
from tests.crawler.conftest import Answer, Crawl, WebServer
from yuqing import quarantine

pytestmark = pytest.mark.service


def paths(medium: str) -> set[str]:
    """The canonical paths of a medium's articles, the broken page among them."""
    return {article.path for article in (*edition().articles, edition().broken) if article.medium == medium}


def requests(newsroom: dict[str, str]) -> dict[str, dict[str, int]]:
    """What the newsroom was asked for since the last call."""
    address = f"{newsroom['control']}/__requests__"
    counts: dict[str, dict[str, int]] = httpx.get(address).json()
    httpx.delete(address)
    return counts


def test_the_newsroom(crawl: Crawl, newsroom: dict[str, str]) -> None:
    sites = definitions(newsroom)
    crawl.define(sites["finance"], sites["portal"])
    requests(newsroom)
    totals = crawl.run("newsroom-finance", "newsroom-portal")

    documents = crawl.documents()
    by_site = {site["site"]: site for site in totals["sites"]}
    for medium in ("finance", "portal"):
        found = [document for document in documents if document.site == f"newsroom-{medium}"]
        canonical = Counter(document.canonical_url.removeprefix(newsroom[medium]) for document in found)
        assert set(canonical) == paths(medium)
        assert max(canonical.values()) == 1
        assert by_site[f"newsroom-{medium}"]["new_articles"] == len(found)
        assert by_site[f"newsroom-{medium}"]["reason"] == "finished"
    assert totals["crawled"] == len(documents)

    # Text of both encodings is right: every title of the edition stands in its page.
    every = (*edition().articles, edition().broken)
    titles = {newsroom[article.medium] + article.path: article.title for article in every}
    plain = [document for document in documents if not set(titles[document.canonical_url]) & set("&<>\"'")]
    assert len(plain) > 100
    assert all(titles[document.canonical_url] in document.body for document in plain)
    assert {document.encoding for document in documents} == {"utf-8", "gb18030"}
    assert any(document.published_at and document.title for document in documents)

    # Each recording is stored once under its own hash.
    media = [reference for document in documents for reference in document.media]
    assert {reference.content_type for reference in media} == {"audio/mpeg", "video/mp4"}
    for reference in media:
        assert reference.error is None
        assert reference.s3_key is not None
        data = crawl.store.get(reference.s3_key)
        assert hashlib.sha256(data).hexdigest() == reference.sha256
        assert len(data) == reference.bytes

    asked = requests(newsroom)
    assert not any(path.startswith("/internal/") for path in asked["portal"])
    assert by_site["newsroom-portal"]["forbidden_by_robots"] > 0
    assert by_site["newsroom-portal"]["gone"] == 3
    for medium in ("finance", "portal"):
        assert all(asked[medium].get(path, 0) <= 1 for path in paths(medium)), "an article was fetched twice"

    reports = [json.loads(crawl.store.get(item.key)) for item in crawl.store.list("reports/crawl/")]
    assert {report["site"]: report["run_id"] for report in reports} == {
        site["site"]: site["run_id"] for site in totals["sites"]
    }
    assert {document.run_id for document in documents} == {report["run_id"] for report in reports}

    again = crawl.run("--all")
    assert again["crawled"] == 0
    assert again["gone"] == 0
    asked = requests(newsroom)
    for medium in ("finance", "portal"):
        assert not paths(medium) & set(asked[medium]), "a known article was fetched again"
        assert any(count for path, count in asked[medium].items() if "robots" not in path), "lists are read every time"
    assert len(crawl.documents()) == len(documents)


def test_one_page_under_many_addresses(crawl: Crawl, web: WebServer) -> None:
    canonical = f'<link rel="canonical" href="{web.url}/a/1">'
    web.article("/a/1", extra=canonical)
    web.article("/a/1?print=1", extra=canonical)
    web.answers["/a/old-1"] = Answer(status=301, headers={"Location": "/a/1?utm_source=old"})
    web.answers["/a/older-1"] = Answer(status=302, headers={"Location": "/a/old-1"})
    web.article("/a/1?utm_source=old", extra=canonical)
    web.article("/a/2", extra='<link rel="canonical" href="/">')  # points home: not believed
    web.article("/a/3", extra='<link rel="canonical" href="http://elsewhere.example/a/1">')
    links = ["/a/1", "/a/1?utm_source=hub#top", "/a/1?print=1", "/a/old-1", "/a/older-1", "/a/2", "/a/3?spm=1", "/a/3"]
    for number in (7, 8):  # a template that forgets the article's number: not believed
        web.article(f"/a/detail?id={number}", extra=f'<link rel="canonical" href="{web.url}/a/detail">')
        links.append(f"/a/detail?id={number}")
    web.article("/a/3?spm=1")
    web.hub(links)
    crawl.define(web.site())
    first = crawl.run()
    pages = [f"{web.url}/a/{page}" for page in ("1", "2", "3", "detail?id=7", "detail?id=8")]
    assert sorted(document.canonical_url for document in crawl.documents()) == pages
    assert first["crawled"] == len(pages)
    web.asked.clear()
    assert crawl.run()["crawled"] == 0
    assert set(web.asked) == {"/", "/robots.txt"}, "every name of a known page is settled"


def test_a_redirect_to_a_page_that_is_on_its_way(crawl: Crawl, web: WebServer) -> None:
    def late() -> Answer:
        time.sleep(1)
        return Answer("<p>gut</p>")

    web.answers["/a/slow"] = late
    web.answers["/a/moved"] = Answer(status=301, headers={"Location": "/a/slow"})
    web.answers["/a/gone"] = lambda: time.sleep(1) or Answer(status=404)
    web.answers["/a/moved-gone"] = Answer(status=301, headers={"Location": "/a/gone"})
    # Sends the reader to the same address until the cookie is there.
    web.answers["/a/cookie"] = lambda: (
        Answer(status=302, headers={"Location": "/a/cookie", "Set-Cookie": "seen=1"})
        if web.asked["/a/cookie"] == 1
        else Answer("<p>mit Keks</p>")
    )
    names = ["slow", "moved", "gone", "moved-gone", "cookie"]
    web.hub([f"/a/{name}" for name in names])
    crawl.define(web.site())
    crawl.run()
    assert {document.url for document in crawl.documents()} == {f"{web.url}/a/slow", f"{web.url}/a/cookie"}
    assert {name: web.asked[f"/a/{name}"] for name in names} == dict.fromkeys(names, 1) | {"cookie": 2}
    web.asked.clear()
    assert crawl.run()["crawled"] == 0
    assert set(web.asked) == {"/", "/robots.txt"}


def test_failures_are_tried_again_and_the_gone_are_not(crawl: Crawl, web: WebServer) -> None:
    flaky = iter([503, 500])
    good = Answer("<p>gut</p>")
    web.answers["/a/flaky"] = lambda: Answer(status=next(flaky, 0)) if web.asked["/a/flaky"] < 3 else good
    web.answers["/a/broken"] = Answer(status=503)
    web.answers["/a/forbidden"] = Answer(status=403)
    web.answers["/a/gone"] = Answer(status=410)
    web.answers["/a/empty"] = Answer("  \n")
    web.answers["/a/away"] = Answer(status=302, headers={"Location": "/login"})
    web.answers["/login"] = Answer("<p>请登录</p>")
    web.answers["/a/loop"] = Answer(status=302, headers={"Location": "/a/loop"})
    web.answers["/a/cut"] = Answer(behave=cut_short)
    names = ["flaky", "broken", "forbidden", "gone", "empty", "away", "loop", "cut", "missing"]
    web.hub([f"/a/{name}" for name in names] + ["javascript:void(0)", "mailto:x@y", "http://[bad", "/elsewhere"])
    crawl.define(web.site())
    totals = crawl.run()
    assert [document.url for document in crawl.documents()] == [f"{web.url}/a/flaky"]
    assert totals["gone"] == 2
    (site,) = totals["sites"]
    assert site["reason"] == "finished"
    assert site["by_status"]["503"] == 4  # flaky once, broken three times
    errors = {error["url"].rsplit("/", 1)[1]: error["reason"] for error in site["errors"]}
    assert set(errors) == {"broken", "forbidden", "empty", "away", "loop", "cut"}
    assert errors["broken"] == "HTTP 503"
    assert "no article" in errors["away"]
    web.asked.clear()
    web.article("/a/broken")
    assert crawl.run()["crawled"] == 1
    tried = {path for path in web.asked if path.startswith("/a/")}
    assert tried == {f"/a/{name}" for name in ("broken", "forbidden", "empty", "away", "loop", "cut")}
    # Also when no list shows them any more, with what the list said of them; until they are given up.
    web.hub([])
    web.article("/a/forbidden")
    web.asked.clear()
    totals = crawl.run(retry_runs="3", retry_rest_s="0")
    assert totals["crawled"] == 1
    assert crawl.documents()[-1].parent_url == f"{web.url}/"
    assert {path for path in web.asked if path.startswith("/a/")} == {f"/a/{name}" for name in set(errors) - {"broken"}}
    (site,) = totals["sites"]
    assert {one["url"].rsplit("/", 1)[1] for one in site["given_up"]} == {"empty", "away", "loop", "cut"}
    web.hub([f"/a/{name}" for name in (*names, "other")])
    web.answers["/a/other"] = Answer(status=403)
    web.asked.clear()
    assert crawl.run()["crawled"] == 0
    assert set(web.asked) == {"/", "/robots.txt", "/a/other"}
    # What is no article any more is not asked for again.
    crawl.define(web.site(exclude=[rf"{web.url}/a/other"]))
    crawl.run()
    assert web.asked["/a/other"] == 1
    assert [item.key for item in crawl.store.list("retries/")] == []


def cut_short(handler: BaseHTTPRequestHandler) -> None:
    """Promise more than is sent, and hang up."""
    handler.send_response(200)
    handler.send_header("Content-Type", "text/html")
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b"<html><p>half")
    handler.close_connection = True


def test_what_is_no_text_goes_to_quarantine_once(crawl: Crawl, web: WebServer) -> None:
    web.answers["/a/file"] = Answer(b"%PDF-1.7 \x00\x01" + bytes(200_000), headers={"Content-Type": "application/pdf"})
    web.answers["/a/lie"] = Answer(b"PK\x03\x04\x00\x00", headers={"Content-Type": "text/html"})
    web.article("/a/good")
    web.hub(["/a/file", "/a/lie", "/a/good"])
    crawl.define(web.site())
    totals = crawl.run()
    assert (totals["crawled"], totals["quarantined"]) == (1, 2)
    (key,) = [item.key for item in crawl.store.list("quarantine/")]
    kept = {entry["record"]["url"].removeprefix(web.url): entry for entry in quarantine.read(crawl.store, key)}
    assert {path: entry["reason"] for path, entry in kept.items()} == {
        "/a/file": "application/pdf is no text",
        "/a/lie": "binary data",
    }
    file = kept["/a/file"]["record"]
    assert file["body_bytes"] == 200_011
    assert base64.b64decode(file["body_base64"]) == (b"%PDF-1.7 \x00\x01" + bytes(200_000))[:65_536]
    assert crawl.run()["quarantined"] == 0


def test_pages_and_recordings_have_a_size_limit(crawl: Crawl, web: WebServer) -> None:
    web.answers["/a/huge"] = Answer("x" * 300_000)
    web.article("/a/sound", text='<audio src="/big.mp3"></audio>')
    web.answers["/big.mp3"] = Answer(b"ID3" + bytes(300_000), headers={"Content-Type": "audio/mpeg"})
    web.hub(["/a/huge", "/a/sound"])
    crawl.define(web.site())
    totals = crawl.run(page_bytes="100000", media_bytes="200000")
    (document,) = crawl.documents()
    assert document.url.endswith("/a/sound")
    assert "larger than 200000" in (document.media[0].error or "")
    assert [error["url"] for error in totals["sites"][0]["errors"] if "/a/" in error["url"]] == [f"{web.url}/a/huge"]


def test_private_addresses_are_refused(crawl: Crawl, web: WebServer) -> None:
    web.hub(["/a/1"])
    crawl.define(web.site(allow_private_addresses=False))
    totals = crawl.run(status=1)
    assert not web.asked
    assert totals["sites"][0]["refused_addresses"] == 1
    assert "127.0.0.1" in totals["sites"][0]["errors"][0]["reason"]


def test_max_pages_then_the_rest(crawl: Crawl, web: WebServer) -> None:
    for number in range(9):
        web.article(f"/a/{number}")
    web.hub([f"/a/{number}" for number in range(9)])
    crawl.define(web.site())
    assert crawl.run("local", "--max-pages", "4")["crawled"] == 4
    assert crawl.run("local", "--max-pages", "0")["crawled"] == 0
    assert crawl.run("local")["crawled"] == 5
    assert len({document.url for document in crawl.documents()}) == 9


def test_a_host_is_asked_for_no_more_at_once_than_its_file_says(crawl: Crawl, web: WebServer) -> None:
    lock, under_way, most = threading.Lock(), 0, 0

    def slow() -> Answer:
        nonlocal under_way, most
        with lock:
            under_way += 1
            most = max(most, under_way)
        time.sleep(0.2)
        with lock:
            under_way -= 1
        return Answer("<p>gut</p>")

    for number in range(16):
        web.answers[f"/a/{number}"] = slow
    web.hub([f"/a/{number}" for number in range(16)])
    crawl.define(web.site(concurrency=2))
    assert crawl.run("local")["crawled"] == 16
    assert most == 2


def test_pagination_feeds_and_sitemaps(crawl: Crawl, web: WebServer) -> None:
    for number in range(12):
        web.article(f"/a/{number}")
    pages = {"/list": ("/a/0", "/list?p=2"), "/list?p=2": ("/a/1", "/list?p=3"), "/list?p=3": ("/a/2", "/list?p=4")}
    for path, (link, following) in pages.items():
        web.answers[path] = Answer(
            f'<h2><a href="{link}">x</a></h2><a href="/a/11">no</a><a class="n" href="{following}">下一页</a>'
        )
    web.hub(["/a/3"], "/numbered/")
    web.hub(["/a/4"], "/numbered/2")
    web.answers["/rss"] = Answer(
        f"<rss><channel><item><title>题</title><link>{web.url}/a/5</link></item></channel></rss>"
    )
    web.answers["/index.xml"] = Answer(f"<sitemapindex><sitemap><loc>{web.url}/map.xml</loc></sitemap></sitemapindex>")
    web.answers["/map.xml"] = Answer(f"<urlset><url><loc>{web.url}/a/6</loc></url></urlset>")
    web.answers["/broken.xml"] = Answer("no feed at all")
    crawl.define(
        web.site(
            start_urls=[],
            lists=[
                {"url": f"{web.url}/list", "links": "h2", "next": "a.n", "pages": 3},
                {"url": f"{web.url}/numbered/", "page_urls": f"{web.url}/numbered/{{page}}", "pages": 2},
            ],
            feeds=[f"{web.url}/rss", f"{web.url}/broken.xml"],
            sitemaps=[f"{web.url}/index.xml"],
            fields={"title": "title"},
        )
    )
    totals = crawl.run()
    documents = {document.url.rsplit("/", 1)[1]: document for document in crawl.documents()}
    assert set(documents) == {str(number) for number in range(7)}
    assert documents["5"].title == "题"  # the feed's word
    assert documents["6"].title == "/a/6"  # the page's
    assert documents["1"].parent_url == f"{web.url}/list?p=2"
    assert "/list?p=4" not in web.asked
    assert [error["url"] for error in totals["sites"][0]["errors"]] == [f"{web.url}/broken.xml"]


def slow_site(web: WebServer, pages: int, seconds: float) -> None:
    """A hub whose articles each take a while."""

    def answer(path: str) -> Any:
        def late() -> Answer:
            time.sleep(seconds)
            return Answer(f"<p>{path}</p>")

        return late

    for number in range(pages):
        web.answers[f"/a/{number}"] = answer(f"/a/{number}")
    web.hub([f"/a/{number}" for number in range(pages)])


def wait_for_pages(web: WebServer, pages: int) -> None:
    deadline = time.monotonic() + 120
    while sum(count for path, count in web.asked.items() if path.startswith("/a/")) < pages:
        assert time.monotonic() < deadline, "the crawl did not start"
        time.sleep(0.01)


def test_sigterm_writes_what_was_collected(crawl: Crawl, web: WebServer) -> None:
    slow_site(web, 40, 0.15)
    crawl.define(web.site(concurrency=2))
    process = crawl.start("local")
    wait_for_pages(web, 10)
    status, output, errors = crawl.finish(process, signal.SIGTERM)
    assert status == 0, errors
    totals = json.loads(output)
    documents = crawl.documents()
    assert 5 <= len(documents) < 40
    assert totals["crawled"] == len(documents)
    assert totals["sites"][0]["reason"] == "shutdown"
    assert [json.loads(crawl.store.get(item.key))["reason"] for item in crawl.store.list("reports/")] == ["shutdown"]
    assert crawl.run()["crawled"] == 40 - len(documents)
    assert max(web.asked[f"/a/{number}"] for number in range(40)) == 1, "a page that was under way was lost"


_YUQING = "import sys; sys.argv[0] = 'yuqing'; from yuqing.cli import main; main()"
_HANGING_THREAD = "import threading, time; threading.Thread(target=time.sleep, args=(300,)).start(); " + _YUQING
_SLOW_STORE = """
import sys, time
from yuqing.objects import ObjectStore
plain = ObjectStore.list
def slow(self, prefix, **options):
    if prefix.startswith("retries/"):
        print("loading", file=sys.stderr, flush=True)
        time.sleep(3)
    return plain(self, prefix, **options)
ObjectStore.list = slow
"""

_PROXY_LATER = """
import os
from crawler.process import _Crawl
run = _Crawl.run
def with_proxy(self):
    os.environ["http_proxy"] = "http://127.0.0.1:1"  # S3's client, which may use one, is there already
    return run(self)
_Crawl.run = with_proxy
"""


def test_sigterm_while_a_site_is_being_prepared(crawl: Crawl, web: WebServer) -> None:
    slow_site(web, 40, 0.15)
    crawl.define(web.site())
    crawl.program = ("-c", _SLOW_STORE + _YUQING)
    process = crawl.start("local")
    assert process.stderr is not None
    while "loading" not in process.stderr.readline():
        pass
    status, _, errors = crawl.finish(process, signal.SIGTERM)
    assert status == 0, errors
    assert not web.asked


def test_a_proxy_in_the_environment_is_not_used(crawl: Crawl, web: WebServer) -> None:
    web.article("/a/1")
    web.hub(["/a/1"])
    crawl.define(web.site())
    crawl.program = ("-c", _PROXY_LATER + _YUQING)
    assert crawl.run(retries="0")["crawled"] == 1


def test_sigterm_does_not_wait_for_a_page_that_never_comes(crawl: Crawl, web: WebServer) -> None:
    crawl.program = ("-c", _HANGING_THREAD)  # as a name that is being looked up
    web.answers["/a/never"] = Answer(behave=lambda handler: time.sleep(120))
    web.article("/a/1")
    web.hub(["/a/1", "/a/never"])
    crawl.define(web.site())
    process = crawl.start("local", stop_timeout_s="2", download_timeout_s="100")
    wait_for_pages(web, 2)
    time.sleep(1)
    status, output, errors = crawl.finish(process, signal.SIGTERM)
    assert status == 0, errors
    assert json.loads(output)["crawled"] == 1
    assert [document.url for document in crawl.documents()] == [f"{web.url}/a/1"]


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [0.6, 1.0, 1.4, 1.8, 2.5, 4.0, 6.0, 8.0])
def test_sigterm_is_heard_while_the_crawl_is_opening(crawl: Crawl, web: WebServer, after_s: float) -> None:
    web.answers["/"] = Answer(behave=lambda handler: time.sleep(300))
    crawl.define(*(web.site(name=f"local{number}") for number in range(8)))
    process = crawl.start("--all", stop_timeout_s="3", download_timeout_s="250")
    time.sleep(after_s)  # before its handlers are there the signal ends the process by itself
    status, _, errors = crawl.finish(process, signal.SIGTERM)
    assert status in (0, 1, 128 + signal.SIGTERM, -signal.SIGTERM), errors


def test_s3_away_at_the_start(crawl: Crawl, web: WebServer) -> None:
    web.hub(["/a/1"])
    crawl.define(web.site())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        crawl.environment["YUQING_S3__ENDPOINT"] = f"http://127.0.0.1:{free.getsockname()[1]}"
    crawl.environment["YUQING_S3__ATTEMPTS"] = "1"
    message = crawl.run("local", status=2)["stderr"]
    assert "does not answer" in message
    assert "yuqing up" in message
    assert "Traceback" not in message
    assert not web.asked


class Proxy:
    """Forwards TCP connections until it is cut."""

    def __init__(self, target: str) -> None:
        host, port = target.removeprefix("http://").split(":")
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._open: list[socket.socket] = []
        self.away = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if self.away:
                client.close()
                continue
            server = socket.create_connection(self._target)
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(65536):
                sink.sendall(data)
        except OSError:
            pass
        for end in (source, sink):
            end.close()

    def cut(self) -> None:
        self.away = True
        for end in self._open:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_s3_going_away_ends_the_crawl_and_loses_nothing(crawl: Crawl, web: WebServer) -> None:
    slow_site(web, 40, 0.1)
    crawl.define(web.site(concurrency=2))
    endpoint = crawl.environment["YUQING_S3__ENDPOINT"]
    proxy = Proxy(endpoint)
    crawl.environment["YUQING_S3__ENDPOINT"] = proxy.url
    crawl.environment["YUQING_S3__ATTEMPTS"] = "2"
    process = crawl.start("local", batch_pages="5")
    wait_for_pages(web, 12)
    proxy.cut()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "does not answer" in errors
    assert "Traceback" not in errors
    kept = len(crawl.documents())
    assert kept < 40
    crawl.environment["YUQING_S3__ENDPOINT"] = endpoint
    assert crawl.run()["crawled"] == 40 - kept
    canonical = Counter(document.canonical_url for document in crawl.documents())
    assert len(canonical) == 40
    assert max(canonical.values()) == 1


def test_unknown_sites_and_broken_files(crawl: Crawl, web: WebServer) -> None:
    web.answers["/"] = Answer("<p>nothing new</p>")
    crawl.define(web.site())
    assert "there is no site 'nowhere'" in crawl.run("nowhere", status=2)["stderr"]
    (crawl.sites / "broken.yaml").write_text("name: broken\n", encoding="utf-8")
    assert "broken.yaml, line 1" in crawl.run("broken", status=2)["stderr"]
    assert not web.asked
    assert "broken.yaml, line 1" in crawl.run("broken", "--keep-going", status=2)["stderr"], "there is nothing else"
    assert "there is no site 'nowhere'" in crawl.run("local", "nowhere", "--keep-going", status=2)["stderr"]
    for arguments in ("--all",), ("broken", "local", "--keep-going"):
        sites = crawl.run(*arguments, status=1)["sites"]
        broken, local = sorted(sites, key=lambda report: report["site"])
        assert (broken["reason"], local["reason"]) == ("left_out", "finished")
        assert "broken.yaml, line 1" in broken["flags"][0]["message"]
    assert crawl.run("local")["flags"] == []  # a site that was named does not stop for another's file
    (crawl.sites / "local.yaml").unlink()
    process = crawl.start("--all")
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 2
    assert "broken.yaml, line 1" in errors
