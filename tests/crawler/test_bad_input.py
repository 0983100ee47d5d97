"""`yuqing crawl` against a web that is broken or hostile: each bad thing has a name in the report, and the rest arrives."""

import contextlib
import gzip
import itertools
import socket
import struct
import time
import zlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler

import brotli
import pytest

from crawler.spiders.source import MAX_LINKS
from tests.crawler.conftest import Answer, Crawl, WebServer

pytestmark = pytest.mark.service

TEXT = "上海证券交易所今日发布公告，公司股票停牌。" * 5
HTML = {"Content-Type": "text/html; charset=utf-8"}
Behaviour = Callable[[BaseHTTPRequestHandler], None]


def raw(*parts: bytes, pause: float = 0.0, end: bool = True) -> Answer:
    """These bytes, as they are, with a pause before each but the first; then the connection ends, or nothing comes any more."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            for number, part in enumerate(parts):
                time.sleep(pause if number else 0)
                handler.wfile.write(part)
            if not end:
                time.sleep(60)

    return Answer(behave=behave)


def endless(part: bytes, head: bytes = b"", pause: float = 0.0) -> Answer:
    """The same bytes until the other side has had enough."""

    def behave(handler: BaseHTTPRequestHandler) -> None:
        handler.close_connection = True
        with contextlib.suppress(OSError):
            handler.wfile.write(head)
            while True:
                handler.wfile.write(part)
                if pause:
                    time.sleep(pause)

    return Answer(behave=behave)


def reset(handler: BaseHTTPRequestHandler) -> None:
    """Cut the connection without a farewell."""
    handler.close_connection = True
    handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    handler.connection.close()


def head(*lines: str, status: str = "200 OK") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {status}", "Content-Type: text/html; charset=utf-8", *lines, "", ""]).encode(
        "latin-1"
    )


def packed(encoding: str, body: bytes) -> Answer:
    return Answer(body, headers=HTML | {"Content-Encoding": encoding})


CHUNKED = head("Transfer-Encoding: chunked")
CHUNK = b"10000\r\n" + b"x" * 65536 + b"\r\n"
ZEROES = bytes(50 * 2**20)
DEFLATE = zlib.compress(ZEROES)

# path -> (answer, what the report must say of it)
BAD: dict[str, tuple[Answer, str]] = {
    "long": (endless(b"x" * 65536, head(f"Content-Length: {50 * 2**20}")), "larger than"),
    "endless": (endless(b"x" * 65536, head("Connection: close")), "larger than"),
    "endless-chunks": (endless(CHUNK, CHUNKED), "larger than"),
    "gzip-bomb": (packed("gzip", gzip.compress(ZEROES)), "exceeded"),
    "gzip-in-gzip": (packed("gzip, gzip", gzip.compress(gzip.compress(ZEROES))), "exceeded"),
    "deflate-bomb": (packed("deflate", DEFLATE), "exceeded"),
    "br-bomb": (packed("br", brotli.compress(ZEROES, quality=1)), "exceeded"),
    "no-gzip": (packed("gzip", b"<p>this is not packed at all</p>"), "gzip"),
    "stalled-chunks": (raw(CHUNKED + CHUNK, end=False), "longer than 3"),
    "dripping": (endless(b"1\r\nx\r\n", CHUNKED, pause=0.2), "longer than 3"),
    "slow-headers": (endless(b"x", b"HTTP/1.1 200 OK\r\nX-Slow: ", pause=0.2), "longer than 3"),
    "silent": (raw(end=False), "longer than 3"),
    "endless-headers": (endless(b"X-More: " + b"x" * 8000 + b"\r\n", b"HTTP/1.1 200 OK\r\n"), "of headers"),
    "long-header": (raw(head("X-Long: " + "x" * 100_000, "Content-Length: 2") + b"ok"), ""),
    "no-http": (raw(b"\x16\x03\x01\x02\x00\x01\x00" * 20), ""),
    "no-status": (raw(b"HTTP/1.1 abc OK\r\n\r\n<p>x</p>"), ""),
    "bad-chunk": (raw(CHUNKED + b"zz\r\n<p>x</p>\r\n0\r\n\r\n"), ""),
    "short": (raw(head("Content-Length: 500") + b"<p>half</p>"), "before its end"),
    "two-lengths": (raw(head("Content-Length: 5", "Content-Length: 50") + b"<p>x</p>"), ""),
    "nameless-header": (raw(head(": x", "Content-Length: 9") + b"<p>x</p> "), "HeaderName"),
    "reset": (Answer(behave=reset), ""),
    "nothing": (raw(), ""),
    "empty": (Answer(""), "empty page"),
    "loop": (Answer(status=302, headers={"Location": "/a/loop"}), "redirection"),
    "bad-location": (Answer(status=302, headers={"Location": "http://[bad/"}), ""),
    "bad-port": (Answer(status=302, headers={"Location": "http://127.0.0.1:99999/a/x"}), ""),
    "script-location": (Answer(status=302, headers={"Location": "javascript:alert(1)"}), ""),
}  # fmt: skip


def good(path: str) -> tuple[Answer, str]:
    return Answer(f"<html><body><p>{path} {TEXT}</p></body></html>"), f"{path} {TEXT}"


# path -> (answer, what its document must hold)
GOOD: dict[str, tuple[Answer, str]] = {
    **{f"plain-{number}": good(f"plain-{number}") for number in range(30)},
    "gbk-says-utf8": (Answer(f"<p>{TEXT}</p>".encode("gb18030"), headers=HTML), TEXT),
    "gbk-says-latin": (
        Answer(f"<p>{TEXT}</p>".encode("gb18030"), headers={"Content-Type": "text/html; charset=iso-8859-1"}),
        TEXT,
    ),
    "utf8-says-gbk": (Answer(f'<meta charset="gbk"><p>{TEXT}</p>', headers={"Content-Type": "text/html"}), TEXT),
    "utf16": (Answer(b"\xff\xfe" + f"<p>{TEXT}</p>".encode("utf-16-le"), headers={"Content-Type": "text/html"}), TEXT),
    "says-nonsense": (Answer(f"<p>{TEXT}</p>", headers={"Content-Type": "text/html; charset=\xff\x00"}), TEXT),
    "no-type": (raw(b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n<p>ohne Angabe</p>  "), "ohne Angabe"),
    "nul": (Answer(f"<p>{TEXT * 40}\x00\x0b\x1b {TEXT}</p>"), f"\x00\x0b\x1b {TEXT}"),
    "half-characters": (Answer(f"<p>{TEXT}\ud83d {TEXT}</p>".encode("utf-8", "surrogatepass")), TEXT),
    "old-http": (raw(b"HTTP/1.0 200 OK\nContent-Type: text/html\n\n<p>HTTP/1.0, LF</p>"), "HTTP/1.0, LF"),
    "odd-headers": (raw(head("no colon here", "X-Odd: \xff\xfe", "Content-Length: 9") + b"<p>x</p> "), "<p>x</p>"),
    "more-than-said": (raw(head("Content-Length: 8") + b"<p>x</p><p>more</p>"), "<p>x</p>"),
    "twice-packed": (packed("gzip, gzip", gzip.compress(gzip.compress(f"<p>{TEXT}</p>".encode()))), TEXT),
    "unknown-packing": (packed("x-none", f"<p>{TEXT}</p>".encode()), TEXT),
    "old-date": (Answer(f'<time class="t">0001-01-01T00:00:00</time><p>{TEXT}</p>'), TEXT),
    "future": (Answer(f'<time class="t">2999-01-01 10:00:00</time><p>{TEXT}</p>'), TEXT),
    "no-day": (Answer(f'<time class="t">2025-02-30 10:00:00</time><p>{TEXT}</p>'), TEXT),
    "deep": (Answer("<div>" * 50_000 + f"<p>{TEXT}</p>"), TEXT),
}

COOKIES = [
    "=", ";;;", "a", "=b", "a=b; Expires=Thu, 99 Foo 99999 99:99:99 GMT", "a=b; Max-Age=9999999999999999999999", "a=b; Max-Age=x",
    "a=b; Domain=.com", "a=b; Domain=elsewhere.example", "a=b; Domain=..", "a=b; Path=\xff", "\xe4\xf6=\xfc", "a=b; Version=x",
    "a=\x01\x02",    'a="unfinished', "a=b; Domain=[::1", "a=b; Port=99999", "big=" + "x" * 9000,
]  # fmt: skip


def test_a_broken_web(crawl: Crawl, web: WebServer) -> None:
    for name, (answer, _) in (*GOOD.items(), *BAD.items()):
        web.answers[f"/a/{name}"] = answer
    bad = [f"/a/{name}" for name in BAD]
    web.hub([*bad[::2], "/a/plain-0"], "/bad-0")
    web.hub([*bad[1::2], "/a/plain-1"], "/bad-1")
    names = [f"/a/{name}" for name in GOOD]
    for number, value in enumerate(COOKIES):
        web.answers[f"/a/cookie-{number}"] = Answer(TEXT, headers=HTML | {"Set-Cookie": value})
        names.insert(5 + 3 * number, f"/a/cookie-{number}")
    sent: list[int] = []
    # A server that sets a cookie with every page: what is sent back must not grow for ever.
    for number in range(40):
        value = "; ".join([f"c{number}={'y' * 1000}", "Path=/"])
        web.answers[f"/a/jar-{number}"] = Answer(TEXT, headers=HTML | {"Set-Cookie": value})
        names.append(f"/a/jar-{number}")

    def count_cookies(handler: BaseHTTPRequestHandler) -> None:
        sent.append(len(handler.headers.get("Cookie", "")))
        handler.wfile.write(head("Content-Length: 9") + b"<p>x</p> ")

    web.answers["/a/last"] = Answer(behave=count_cookies)
    strange = [
        "http://[bad/a/1", "http://127.0.0.1:99999999/a/1", "//", "///", "http:///a/1", "http://", "/a/%zz%", "/a/\x01\x1f", "#",
        "?",        "data:text/html,x", "file:///etc/passwd", "ftp://127.0.0.1/a/1",
        "http://user:pass@[::1]:x/", "/a/" + "y" * 20_000,
        "http://" + "a." * 200 + "cn/a/1", "http://xn--/a/1", "http://\u200b/a/1", "/a/\ufffe\U0010ffff", "a:b:c", "http://a b/",
    ]  # fmt: skip
    links = "".join(f"<li><a href='{link}'>x</a>" for link in [*strange, *names])
    web.answers["/"] = Answer(
        f"<html><body><a href><a href=' '>{links}<a href='/'>selbst</a>".encode("utf-8", "surrogatepass")
    )
    web.hub(["/a/last"], "/last")

    # Sources that are broken; each names one good article.
    bomb = "".join(f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in itertools.pairwise("abcdefghz"))
    web.answers["/bomb.xml"] = Answer(
        f'<!DOCTYPE r [<!ENTITY a "{"x" * 1000}">{bomb}]><rss><item><link>&z;</link></item></rss>'
    )
    web.answers["/file.xml"] = Answer(
        '<!DOCTYPE r [<!ENTITY a SYSTEM "file:///etc/passwd">]><rss><item><title>&a;</title><link>/a/x</link></item></rss>'
    )
    web.answers["/html.xml"] = Answer("<html><body>Wartung</body></html>")
    web.answers["/deep.xml"] = Answer("<rss>" + "<item>" * 100_000)
    soon, late = datetime.now(UTC) + timedelta(hours=20), datetime.now(UTC) + timedelta(days=2)
    web.answers["/dates.xml"] = Answer(
        "<rss>"
        f"<item><link>/a/soon</link><title>ti\x0btle</title><pubDate>{soon.isoformat()}</pubDate></item>"
        f"<item><link>/a/late</link><pubDate>{late.isoformat()}</pubDate></item>"
        "<item><link>/a/feb</link><pubDate>Sun, 30 Feb 2025 10:00:00 +0800</pubDate></item>"
        "<item><link>http://[bad</link></item></rss>"
    )
    web.answers["/map.xml.gz"] = Answer(
        gzip.compress(b"<urlset>" + ZEROES + ZEROES), headers={"Content-Type": "application/gzip"}
    )
    web.answers["/list.json"] = Answer(
        '{"list": [{"url": "/a/\\ud83d"}, {"url": 7}, {"url": null}, 5, null, {"url": "/a/half", "title": "\\ud83d T \\u0000"}]}',
        headers={"Content-Type": "application/json"},
    )
    web.answers["/deep.json"] = Answer("[" * 200_000, headers={"Content-Type": "application/json"})
    for name in ("soon", "late", "feb", "half"):
        web.article(f"/a/{name}")
    json_rule = {"items": "list[*]", "url": "url", "title": "title"}
    crawl.define(
        web.site(name="bad-0", start_urls=[f"{web.url}/bad-0"]),
        web.site(name="bad-1", start_urls=[f"{web.url}/bad-1"]),
        web.site(
            start_urls=[f"{web.url}/", f"{web.url}/last"],
            lists=[{"url": f"{web.url}/{name}.json", "json": json_rule} for name in ("list", "deep")],
            feeds=[f"{web.url}/{name}.xml" for name in ("bomb", "file", "html", "deep", "dates")],
            sitemaps=[f"{web.url}/map.xml.gz"],
            fields={"published_at": ".t"},
            concurrency=16,
        ),
    )
    totals = crawl.run(download_timeout_s="3", page_bytes=str(2 * 2**20), retries="1", circuit_failures="1000")
    assert [report["reason"] for report in totals["sites"]] == ["finished"] * 3
    errors = {
        error["url"].removeprefix(web.url): error["reason"] for report in totals["sites"] for error in report["errors"]
    }
    documents = {document.url.removeprefix(f"{web.url}/a/"): document for document in crawl.documents()}
    expected = {
        *GOOD,
        *(f"cookie-{n}" for n in range(len(COOKIES))),
        *(f"jar-{n}" for n in range(40)),
        "soon",
        "late",
        "feb",
        "half",
        "last",
    }
    assert expected - set(documents) == set()
    assert not set(BAD) & set(documents)
    for name, (_, text) in GOOD.items():
        assert text in documents[name].body, name
    for name, (_, reason) in BAD.items():
        found = [text for url, text in errors.items() if url == f"/a/{name}"]
        assert found, f"{name} is not in the report"
        assert found[0].strip(), name
        assert reason in found[0], f"{name}: {found[0]}"
    assert [name for name in GOOD if f"/a/{name}" in errors] == []
    assert {name for name in ("bomb.xml", "file.xml", "map.xml.gz", "deep.json", "list.json") if f"/{name}" in errors} == {
        "bomb.xml", "file.xml", "map.xml.gz", "deep.json",
    }  # fmt: skip
    times = {name: documents[name].published_at for name in ("old-date", "future", "no-day", "late", "feb", "soon")}
    assert times == dict.fromkeys(("old-date", "future", "no-day", "late", "feb"), None) | {"soon": soon}
    assert "root:" not in "".join(document.model_dump_json() for document in documents.values())
    assert sent
    assert max(sent) <= 8000
    assert "Traceback" not in str(totals)


def test_robots_txt_of_every_kind(crawl: Crawl) -> None:
    """What each kind means (RFC 9309) shows in what is asked for."""
    rules = b"User-agent: *\nDisallow: /a/private\n"
    filler = b"# " + b"x" * 97 + b"\n"
    kinds: dict[str, tuple[Answer, set[str]]] = {
        "missing": (Answer(status=404), {"1", "private"}),
        "forbidden": (Answer(status=403), {"1", "private"}),
        "rules": (Answer(rules), {"1"}),
        "ours": (Answer(b"User-agent: *\nDisallow: /\n\nUser-agent: Yuqing\nDisallow: /a/private\n"), {"1"}),
        "bom": (Answer(b"\xef\xbb\xbf" + rules), {"1"}),
        "html": (Answer("<html><body>404 nicht gefunden</body></html>"), {"1", "private"}),
        "binary": (Answer(bytes(range(256)) * 10), {"1", "private"}),
        "huge": (Answer(rules + filler * 50_000 + b"Disallow: /a/1\n"), {"1"}),
        "endless": (endless(filler * 600, head("Connection: close") + rules), {"1"}),
        "moved": (Answer(status=301, headers={"Location": "/rules.txt"}), {"1"}),
        "loop": (Answer(status=302, headers={"Location": "/robots.txt"}), {"1", "private"}),
        "broken": (Answer(status=503), set()),
        "busy": (Answer(status=429), set()),
        "slow": (endless(b"#\n", head("Connection: close") + rules, pause=0.2), set()),
        "silent": (raw(end=False), set()),
        "reset": (Answer(behave=reset), set()),
    }
    servers = {name: WebServer() for name in kinds}
    try:
        sites = []
        for name, (answer, _) in kinds.items():
            server = servers[name]
            server.answers["/robots.txt"] = answer
            server.answers["/rules.txt"] = Answer(rules)
            for path in ("/a/1", "/a/private"):
                server.article(path)
            server.hub(["/a/1", "/a/private"])
            sites.append(server.site(name=name))
        crawl.define(*sites)
        totals = crawl.run(
            status=1,
            concurrent_sites="16",
            download_timeout_s="3",
            retries="1",
            backoff_max_s="0.1",
            retry_after_max_s="0.1",
        )
        reports = {report["site"]: report for report in totals["sites"]}
        for name, (_, expected) in kinds.items():
            asked = {path.removeprefix("/a/") for path in servers[name].asked if path.startswith("/a/")}
            assert asked == expected, name
            assert reports[name]["reason"] == "finished"
            assert reports[name]["forbidden_by_robots"] == (1 if expected == {"1"} else 0), name
            if not expected:
                assert "/" not in servers[name].asked, name
                assert "robots.txt could not be had" in reports[name]["errors"][0]["reason"]
        for name in ("broken", "silent"):
            servers[name].answers["/robots.txt"] = Answer(rules)
        again = crawl.run("broken", "silent")
        assert [report["new_articles"] for report in again["sites"]] == [1, 1], "the next run asks again"
    finally:
        for server in servers.values():
            server.close()


def test_crawl_delay_of_robots_txt(crawl: Crawl, web: WebServer) -> None:
    """It raises the delay of its host up to the setting; of files for others, and nonsense, nothing is taken."""
    when: list[float] = []

    def page() -> Answer:
        when.append(time.monotonic())
        return Answer("<p>text</p>")

    rules = "User-agent: *\nCrawl-delay: nonsense\n\nUser-agent: yuqing\nDisallow: /a/0\nCrawl-delay: 3600\n"
    paths = [f"/a/{number}" for number in range(5)]
    web.answers |= dict.fromkeys(paths, page)
    web.answers["/robots.txt"] = Answer(rules)
    web.hub(paths)
    crawl.define(web.site())
    (report,) = crawl.run(crawl_delay_max_s="0.6")["sites"]
    assert (report["new_articles"], report["forbidden_by_robots"]) == (4, 1)
    assert report["crawl_delays"] == {"127.0.0.1": 3600}
    assert min(later - earlier for earlier, later in itertools.pairwise(when)) > 0.4  # what a thread here may be late
    web.answers["/robots.txt"] = Answer(rules.replace("yuqing", "other"))
    assert crawl.run()["sites"][0]["crawl_delays"] == {}


def test_a_list_of_very_many_links(crawl: Crawl, web: WebServer) -> None:
    """What is beyond the limits is left out and said, and everything else arrives."""
    links = "".join(f"<a href=/a/{number}>x</a>" for number in range(MAX_LINKS + 10_000))
    web.answers["/"] = Answer(f"<html><body>{links}")
    for number in range(60):
        web.article(f"/a/{number}")
    crawl.define(web.site(limits={"pages": 50}))
    (report,) = crawl.run()["sites"]
    assert report["reason"] == "finished"
    assert report["new_articles"] == 49
    traps = {trap["limit"]: trap for trap in report["traps"]}
    assert traps["pages"]["count"] == MAX_LINKS - 49
    assert traps["links of a page"]["example"] == f"{web.url}/"
