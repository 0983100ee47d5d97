"""`yuqing crawl` against servers that fail, refuse, ask for a pause, or lay traps."""

import gzip
import itertools
import json
import signal
import time

import pytest

from tests.crawler.conftest import Answer, Crawl, WebServer

pytestmark = pytest.mark.service

CAPTCHA = "<html><head><title>安全验证</title></head><body>请完成下方的安全验证</body></html>"


def test_what_comes_later_is_waited_for_and_refusals_are_never_stored(crawl: Crawl, web: WebServer) -> None:
    """Back-off, captchas, empty pages, redirects to captchas and logins; other pages of the crawl arrive."""
    good = Answer("<p>gut</p>")
    first = {"/a/503": 503, "/a/408": 408, "/a/425": 425, "/a/520": 520}
    for path, status in first.items():
        web.answers[path] = lambda path=path, status=status: Answer(status=status) if web.asked[path] == 1 else good
    web.answers["/a/captcha-once"] = lambda: Answer(CAPTCHA) if web.asked["/a/captcha-once"] == 1 else good
    web.answers["/a/empty-once"] = lambda: Answer("") if web.asked["/a/empty-once"] == 1 else good
    web.answers["/a/verify-once"] = lambda: (
        Answer(status=302, headers={"Location": "/captcha?back=1"}) if web.asked["/a/verify-once"] == 1 else good
    )
    web.answers["/a/captcha"] = Answer(CAPTCHA)
    web.answers["/a/403"] = Answer("<h1>403 Forbidden</h1>", status=403)
    web.answers["/a/418"] = Answer(status=418)
    web.answers["/a/shell"] = Answer("<div id='app'></div><script src='/app.js'></script>")
    web.answers["/a/verify"] = Answer(status=302, headers={"Location": "/captcha?back=2"})
    web.answers["/captcha?back=1"] = web.answers["/captcha?back=2"] = Answer("<p>wer bist du</p>")
    for number in range(5):
        web.article(f"/a/plain-{number}")
    once = [*first, "/a/captcha-once", "/a/empty-once", "/a/verify-once"]
    bad = ["/a/captcha", "/a/403", "/a/418", "/a/shell", "/a/verify"]
    web.hub(
        list(
            itertools.chain(*itertools.zip_longest(once, bad, [f"/a/plain-{n}" for n in range(5)], fillvalue="/a/503"))
        )
    )
    crawl.define(web.site())
    (site,) = crawl.run(circuit_failures="50")["sites"]
    arrived = {document.url.removeprefix(web.url) for document in crawl.documents()}
    assert arrived == {*once, *(f"/a/plain-{number}" for number in range(5))}
    assert site["blocked"] == {
        "verification page": 2, "HTTP 403": 1, "HTTP 418": 1, "empty page": 1,
    }  # fmt: skip
    assert "blocked: verification page" in str(site["errors"])
    assert {path: web.asked[path] for path in bad} == {
        "/a/captcha": 3, "/a/403": 1, "/a/418": 1, "/a/shell": 3, "/a/verify": 3,
    }  # fmt: skip
    assert not [path for path in web.asked if path.startswith("/captcha")], "a captcha's own address is not asked for"
    web.asked.clear()
    crawl.run(circuit_failures="50")
    assert {path for path in web.asked if path.startswith("/a/")} == set(bad), "none of it is settled"
    (kept,) = [gzip.decompress(crawl.store.get(item.key)).splitlines() for item in crawl.store.list("retries/local/")]
    attempts = {failure["url"].removeprefix(web.url): failure["attempts"] for failure in map(json.loads, kept)}
    assert attempts == {"/a/captcha": 0, "/a/verify": 0, "/a/403": 2, "/a/418": 2, "/a/shell": 2}, (
        "a captcha is no attempt"
    )
    web.asked.clear()
    (site,) = crawl.run(circuit_failures="50")["sites"]
    assert (site["resting"], site["flags"]) == (5, []), "though the list shows them"
    assert {path for path in web.asked if path.startswith("/a/")} == set()


def test_a_host_that_asks_for_a_pause_gets_one_and_others_do_not_wait(crawl: Crawl, web: WebServer) -> None:
    other = WebServer()
    when: dict[str, float] = {}

    def answer(path: str, delay: float = 0.0) -> Answer:
        when[path] = time.monotonic()
        time.sleep(delay)
        return Answer(f"<p>{path}</p>")

    def busy() -> Answer:
        if web.asked["/a/busy"] == 1:
            when["refused"] = time.monotonic()
            return Answer(status=429, headers={"Retry-After": "6"})
        return answer("/a/busy")

    try:
        # The same address under another name: another host.
        elsewhere = other.url.replace("127.0.0.1", "localhost")
        web.answers["/a/busy"] = busy
        paths = [f"/a/{number}" for number in range(30)]
        for path in paths:
            web.answers[path] = lambda path=path: answer(path, 0.05)
            other.answers[path] = lambda path=path: answer("other" + path)
        web.hub(["/a/busy", *paths])
        other.hub([f"{elsewhere}{path}" for path in paths])
        escaped = elsewhere.replace(".", r"\.")
        site = web.site(concurrency=1, start_urls=[f"{web.url}/", f"{elsewhere}/"])
        crawl.define(site | {"articles": [*site["articles"], rf"{escaped}/a/.+"]})
        (report,) = crawl.run(retry_after_max_s="8")["sites"]
        assert report["new_articles"] == 61
        # What was under way when the host asked for its pause has come by then.
        later = min(moment for path, moment in when.items() if path.startswith("/a/") and moment > when["refused"] + 1)
        assert later - when["refused"] > 5.9, "the host was asked during its pause"
        assert max(when["other" + path] for path in paths) < later, "the other host waited too"
        assert [(event["host"], event["state"]) for event in report["circuits"]] == [("127.0.0.1", "paused")]
    finally:
        other.close()


def test_waiting_does_not_keep_sigterm_waiting(crawl: Crawl, web: WebServer) -> None:
    web.answers["/a/busy"] = Answer(status=503, headers={"Retry-After": "100"})
    web.article("/a/1")
    web.hub(["/a/1", "/a/busy", *(f"/a/rest-{number}" for number in range(40))])
    crawl.define(web.site(concurrency=1))
    process = crawl.start("local", retry_after_max_s="100", stop_timeout_s="60")
    deadline = time.monotonic() + 60
    while not web.asked["/a/busy"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(1)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=50)  # far less than the pause and than stop_timeout_s
    assert process.returncode == 0, errors
    assert json.loads(output)["sites"][0]["reason"] == "shutdown"


def test_a_host_that_only_fails_is_cut_and_one_that_recovers_is_not(crawl: Crawl, web: WebServer) -> None:
    sick = WebServer()
    try:
        elsewhere = sick.url.replace("127.0.0.1", "localhost")
        paths = [f"/a/{number}" for number in range(30)]
        began: list[float] = []

        def recovering(path: str) -> Answer:
            began.append(time.monotonic())
            return Answer(status=500) if time.monotonic() - began[0] < 0.8 else Answer(f"<p>{path}</p>")

        for path in paths:
            web.answers[path] = lambda path=path: recovering(path)
            sick.answers[path] = Answer(CAPTCHA)
        web.hub(paths)
        sick.hub([f"{elsewhere}{path}" for path in paths])
        escaped = elsewhere.replace(".", r"\.")
        site = web.site(concurrency=2, start_urls=[f"{web.url}/", f"{elsewhere}/"])
        crawl.define(site | {"articles": [*site["articles"], rf"{escaped}/a/.+"]})
        (report,) = crawl.run(circuit_failures="4", circuit_pause_s="1", circuit_openings="2")["sites"]
        assert len([document for document in crawl.documents() if document.url.startswith(web.url)]) >= 26
        assert not [document for document in crawl.documents() if document.url.startswith(elsewhere)]
        events = [(event["host"], event["state"]) for event in report["circuits"]]
        assert ("127.0.0.1", "opened") in events
        assert ("127.0.0.1", "closed") in events
        assert ("127.0.0.1", "cut") not in events
        assert events.count(("localhost", "opened")) == 2
        assert events.count(("localhost", "cut")) == 1
        assert sum(sick.asked[path] for path in paths) < 25, "it was left alone"
        assert report["not_asked"] > 10
        assert {flag["kind"] for flag in report["flags"]} == {"host_cut"}
        assert report["reason"] == "finished"
        sick.answers.update({path: Answer("<p>gut</p>") for path in paths})
        assert crawl.run()["sites"][0]["new_articles"] >= 30, "what was not asked for comes with the next run"
    finally:
        sick.close()


def test_traps_are_cut_and_said(crawl: Crawl, web: WebServer) -> None:
    """A calendar without an end, parameters without an end, paths that grow, and a list that leads to itself."""
    for number in range(12):
        web.article(f"/a/news/{number}.html")
        web.article(f"/a/cal?month={number}&year=2026")
    web.hub(
        [
            *(f"/a/news/{number}.html" for number in range(12)),
            *(f"/a/cal?month={number}&year=2026" for number in range(12)),
            "/a/a/a/a/a.html",
            "/a/long.html?of=" + "x" * 8_000,
            "/a/not-too-long.html?of=" + "x" * 7_000,
            "/",
            "/list/1",
            "/list/1#top",
        ]
    )
    for number in range(1, 40):
        web.answers[f"/list/{number}"] = Answer(
            f'<a class="n" href="/list/{number + 1}">下一页</a><a href="/list/1">1</a>'
        )
    crawl.define(
        web.site(
            lists=[{"url": f"{web.url}/list/1", "next": "a.n", "pages": 1000}],
            limits={"pages": 30, "depth": 6, "pages_per_pattern": 9},
        )
    )
    (report,) = crawl.run()["sites"]
    traps = {(trap["limit"], trap["pattern"].removeprefix(web.url)): trap for trap in report["traps"]}
    assert traps[("pages_per_pattern", "/a/news/{n}.html")]["count"] == 3
    assert traps[("pages_per_pattern", "/a/cal?month&year")]["count"] == 3
    assert "year=2026" in traps[("pages_per_pattern", "/a/cal?month&year")]["example"]
    (long,) = (trap for trap in report["traps"] if trap["limit"] == "address length")
    assert long["count"] == 1 and long["example"].startswith(f"{web.url}/a/long.html")
    assert any(path.startswith("/a/not-too-long.html") for path in web.asked)
    assert traps[("growing path", "/a/a/a/a/a.html")]["count"] == 1
    assert {flag["kind"] for flag in report["flags"]} == {"trap"}
    assert traps[("depth", "/list/{n}")]["example"] == f"{web.url}/list/8"
    assert report["new_articles"] == 18
    assert web.asked["/"] == web.asked["/list/1"] == 1
    assert report["reason"] == "finished"
    crawl.define(web.site(limits={"pages": 5}))
    (report,) = crawl.run()["sites"]
    assert report["new_articles"] == 4
    (trap,) = report["traps"]
    assert (trap["limit"], trap["count"]) == ("pages", 4)  # seven were left, three of the others were a trap's or known
