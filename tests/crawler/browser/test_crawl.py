"""Pages that need JavaScript, in a real Chromium: loaded, waited for, replaced when it dies, never left behind."""

import os
import signal
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from examples.newsroom.edition import edition
from examples.newsroom.sites import definitions
from tests.crawler.conftest import Answer, Crawl, WebServer

pytestmark = pytest.mark.service

SCRIPTED = """<html><head><meta charset="utf-8"></head><body><div id="app"></div><script>
setTimeout(() => {{
  const app = document.getElementById("app"); app.innerHTML = {content!r}; app.dataset.state = "ready"
}}, {ms})
</script></body></html>"""


def browsers(crawl: Crawl) -> dict[int, str]:
    """The processes of this test's browsers: their profiles lie in the test's own temporary folder."""
    folder = str(crawl.temporary)
    found = {}
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if folder in command and "chrom" in command:
            found[int(process.name)] = command
    return found


def none_left(crawl: Crawl, seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while browsers(crawl) and time.monotonic() < deadline:
        time.sleep(0.1)
    return not browsers(crawl)


def scripted_site(web: WebServer, pages: int, milliseconds: int = 50) -> None:
    """A hub and articles that a script fills."""
    links = "".join(f'<a href="/a/{number}">x</a>' for number in range(pages))
    web.answers["/"] = Answer(SCRIPTED.format(content=links, ms=milliseconds))
    for number in range(pages):
        web.answers[f"/a/{number}"] = Answer(SCRIPTED.format(content=f"<p>正文 {number}</p>", ms=milliseconds))


def browser_site(web: WebServer, **changes: object) -> dict[str, object]:
    rule = {"urls": web.url.replace(".", r"\."), "wait_for": '#app[data-state="ready"]'}
    return web.site(browser=[rule], concurrency=2, **changes)


def test_the_newsrooms_javascript_medium(crawl: Crawl, newsroom: dict[str, str]) -> None:
    crawl.define(definitions(newsroom)["tech"])
    totals = crawl.run("--all")
    articles = {newsroom["tech"] + article.path: article for article in edition().articles if article.medium == "tech"}
    documents = crawl.documents()
    assert {document.canonical_url for document in documents} == set(articles)
    assert totals["crawled"] == totals["fetched_js"] == len(articles) >= 10
    for document in documents:
        assert 'data-state="ready"' in document.body
        paragraph = max(articles[document.canonical_url].paragraphs, key=len)
        assert any(
            piece in document.body for piece in paragraph.split("&")[0].split("<")[0].split('"') if len(piece) > 5
        )
    assert none_left(crawl)
    assert not list(crawl.temporary.glob("*/*"))
    assert crawl.run("--all")["crawled"] == 0


def test_status_redirects_and_pages_that_never_finish(crawl: Crawl, web: WebServer) -> None:
    scripted_site(web, 2)
    links = "".join(f'<a href="/a/{name}">x</a>' for name in ("0", "gone", "old", "never"))
    web.answers["/"] = Answer(SCRIPTED.format(content=links, ms=1))
    web.answers["/a/old"] = Answer(status=302, headers={"Location": "/a/1"})
    web.answers["/a/never"] = Answer("<html><body>nothing ever happens</body></html>")
    crawl.define(browser_site(web))
    totals = crawl.run("local", browser_wait_s="1", retries="1")
    assert {document.canonical_url for document in crawl.documents()} == {f"{web.url}/a/0", f"{web.url}/a/1"}
    assert totals["gone"] == 1
    (error,) = totals["sites"][0]["errors"]
    assert error["url"].endswith("/a/never")
    assert "did not appear" in error["reason"]
    key = error["reason"].partition("(screenshot: ")[2].rstrip(")")
    assert key.startswith("reports/screenshots/local/")
    assert crawl.store.get(key).startswith(b"\x89PNG")
    assert web.asked["/a/never"] == 2  # tried again, and by the next run too


def test_a_browser_that_dies_is_replaced(crawl: Crawl, web: WebServer) -> None:
    scripted_site(web, 16, milliseconds=300)
    crawl.define(browser_site(web))
    process = crawl.start("local")
    deadline = time.monotonic() + 120
    while sum(web.asked[f"/a/{number}"] for number in range(16)) < 3:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    main_processes = [
        pid for pid, command in browsers(crawl).items() if "--headless" in command and "--type=" not in command
    ]
    assert main_processes
    for pid in main_processes:
        os.kill(pid, signal.SIGKILL)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert len({document.canonical_url for document in crawl.documents()}) == 16, output
    assert none_left(crawl)


def test_no_browser_outlives_a_killed_crawler(crawl: Crawl, web: WebServer) -> None:
    scripted_site(web, 30, milliseconds=300)
    crawl.define(browser_site(web))
    process = crawl.start("local")
    deadline = time.monotonic() + 120
    while sum(web.asked[f"/a/{number}"] for number in range(30)) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert browsers(crawl)
    process.kill()
    process.communicate()
    assert none_left(crawl), browsers(crawl)
    assert crawl.run("local")["crawled"] == 30
    # What the killed one left on the disk is gone too.
    assert not list(crawl.temporary.glob("*/*"))


def test_the_sites_headers_go_to_the_site_alone(crawl: Crawl, web: WebServer) -> None:
    """Its pages, what they load and ask for, from workers too; not to others, be it by a redirect, nor to the next site."""
    told: dict[str, str | None] = {}

    def listen(path: str, body: str = "", kind: str = "text/html", **more: str) -> None:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            told[handler.headers["Host"].partition(":")[0] + path] = handler.headers["X-Key"]
            handler.send_response(302 if "Location" in more else 200)
            cors = {"Access-Control-Allow-Origin": "*"}
            for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **cors, **more}.items():
                handler.send_header(name, value)
            handler.end_headers()
            handler.wfile.write(body.encode())

        web.answers[path] = Answer(behave=behave)

    elsewhere = web.url.replace("127.0.0.1", "localhost")  # the same server: another host to a browser
    script = f"""Promise.allSettled([fetch("/own"), fetch("/away"), fetch("{elsewhere}/foreign?127.0.0.1")])
        .then(() => new Promise(done => new Worker("/worker").onmessage = done))
        .then(() => document.body.insertAdjacentHTML("beforeend", "<p id=done>all asked</p>"));"""
    listen("/", '<a href="/a/moved">2</a><a href="/a/1">1</a>')  # in this order: the browser comes back from elsewhere
    listen("/a/1", f"<body><p>one</p><script src='{elsewhere}/foreign.js'></script><script>{script}</script></body>")
    listen("/a/moved", Location=f"{elsewhere}/a/2")
    listen("/a/2", "<p id=done>two</p>")
    listen("/own")
    listen("/away", Location=f"{elsewhere}/foreign")
    listen("/worker", "fetch('/from-worker').then(() => postMessage(1))", "text/javascript")
    for path in ("/from-worker", "/foreign", "/foreign?127.0.0.1", "/foreign.js", "/b/1"):
        listen(path, kind="text/javascript" if path.endswith("js") else "text/html")
    listen("/b/1", "<p id=done>three</p>")
    site = web.site(concurrency=1, headers={"X-Key": "${API_KEY}", "Connection": "keep-alive"})
    site["articles"] = [r"http://(127\.0\.0\.1|localhost):\d+/a/.+"]
    site["browser"] = [{"urls": ".*/a/", "wait_for": "#done"}]
    other = web.site(name="other", start_urls=[f"{web.url}/list"], articles=[".*/b/"], browser=[{"urls": ".*/b/"}])
    web.hub(["/b/1"], "/list")
    crawl.define(site)
    crawl.environment |= {"API_KEY": "hush-key"}
    totals = crawl.run(browsers="1")
    assert totals["fetched_js"] == 2, totals["sites"][0]["errors"]
    assert "all asked" in "".join(document.body for document in crawl.documents())
    own = {"/", "/a/1", "/a/moved", "/own", "/away", "/worker", "/from-worker"}
    foreign = {"/a/2", "/foreign", "/foreign?127.0.0.1", "/foreign.js"}
    assert told == {f"127.0.0.1{path}": "hush-key" for path in own} | {f"localhost{path}": None for path in foreign}

    told.clear()
    hub = web.answers["/list"]

    def later() -> Answer:
        deadline = time.monotonic() + 60
        while "127.0.0.1/a/3" not in told and time.monotonic() < deadline:
            time.sleep(0.05)
        assert isinstance(hub, Answer)
        return hub

    web.answers["/list"] = later
    listen("/", '<a href="/a/3">3</a>')
    listen("/a/3", "<p id=done>three</p>")
    crawl.define(site, other)
    assert crawl.run(browsers="1")["fetched_js"] == 2
    assert (told["127.0.0.1/a/3"], told["127.0.0.1/b/1"]) == ("hush-key", None), "one browser, two sites"


def test_a_missing_browser_is_said_before_anything_is_fetched(crawl: Crawl, web: WebServer) -> None:
    scripted_site(web, 1)
    crawl.define(browser_site(web))
    message = crawl.run("local", status=2, chromedriver="/nowhere/chromedriver")["stderr"]
    assert "/nowhere/chromedriver is not there" in message
    assert "apt-get install" in message
    assert not web.asked
    web.hub(["/b/1"], "/plain")
    web.article("/b/1")
    plain = web.site(name="plain", start_urls=[f"{web.url}/plain"], articles=[".*/b/"])
    crawl.define(browser_site(web), plain)
    totals = crawl.run("--all", status=1, chromedriver="/nowhere/chromedriver")
    assert [(flag["site"], flag["kind"]) for flag in totals["flags"]] == [("local", "left_out")]
    assert "/nowhere/chromedriver is not there" in totals["flags"][0]["message"]
    assert [document.canonical_url for document in crawl.documents()] == [f"{web.url}/b/1"]
    assert "/" not in web.asked
