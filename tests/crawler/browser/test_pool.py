"""The pool with real Chromiums: what a rule says is done on the page; browsers that hang, crash or wear out are replaced."""

import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from crawler.browser import BrowserCrashed, BrowserFailed, BrowserPage, BrowserPool, PageLoad, chromium, processes
from crawler.egress import Egress, RefusedAddress
from crawler.filtering_proxy import Route
from crawler.user_agents import user_agents
from tests.crawler.conftest import Answer, WebServer
from yuqing.settings import CrawlerSettings
from yuqing.sites import BrowserRule, LoadMore

pytestmark = pytest.mark.service

MORE = """<button id=more>更多</button><ul></ul><script>
const list = document.querySelector("ul"), button = document.querySelector("button"); let page = 0;
const add = () => setTimeout(() => {
  page += 1; list.innerHTML += `<li>item ${page}</li><li>also ${page}</li>`; if (page == 4) button.remove();
}, 80);
button.onclick = add;
</script>"""
ENDLESS = """<body><div style="height: 3000px"></div><main></main><script>
let page = 0, busy = false;
onscroll = () => { if (busy || page == 4) return; busy = true; setTimeout(() => {
  page += 1; busy = false; document.querySelector("main").innerHTML += `<p style="height: 2000px">item ${page}</p>`;
}, 80); };
</script></body>"""
CHAIN = """<p id=first></p><script>
fetch("/slow?1").then(() => setTimeout(() => fetch("/slow?2").then(() => document.body.append("the end")), 200));
new EventSource("/events");
</script>"""


@pytest.fixture
def short_folder(monkeypatch: pytest.MonkeyPatch) -> Any:
    with tempfile.TemporaryDirectory(prefix="yq-") as folder:  # pytest's own is too long for Chromium's socket
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(folder)


@contextlib.asynccontextmanager
async def pool(*, collect: bool = False, **settings: Any) -> AsyncIterator[BrowserPool]:
    made = BrowserPool(CrawlerSettings(**{"browsers": 1, "browser_wait_s": 8, **settings}), collect_requests=collect)
    try:
        yield made
    finally:
        await made.close()


def route(**changes: Any) -> Route:
    return Route(Egress(allow_private=True), 5, lambda host: None, **changes)


def wanted(url: str, **rule: Any) -> PageLoad:
    return PageLoad(url, BrowserRule(urls="http://.*", **rule), route(), {})


def pids(folder: Path) -> set[int]:
    """The main processes of the browsers whose profile lies in the folder."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (process / "cmdline").read_bytes().decode(errors="replace")
            if str(folder) in command and "--headless" in command and "--type=" not in command:
                found.add(int(process.name))
    return found


def test_what_a_rule_says_is_done(web: WebServer, short_folder: Path) -> None:
    def echo(handler: BaseHTTPRequestHandler) -> None:
        body = f"<html><body><pre>{handler.headers}</pre></body></html>".encode()
        handler.send_response(200)
        handler.send_header("Content-Type", "text/html")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def slow(seconds: float) -> Callable[[BaseHTTPRequestHandler], None]:
        def behave(handler: BaseHTTPRequestHandler) -> None:
            time.sleep(seconds)
            handler.send_response(200)
            handler.send_header("Content-Length", "0")
            handler.end_headers()

        return behave

    def events(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.send_header("Content-Type", "text/event-stream")
        handler.end_headers()
        time.sleep(5)
        handler.close_connection = True

    web.answers["/more"] = Answer(MORE)
    web.answers["/endless"] = Answer(ENDLESS)
    web.answers["/chain"] = Answer(CHAIN)
    web.answers["/slow?1"] = Answer(behave=slow(0.9))
    web.answers["/slow?2"] = Answer(behave=slow(0.9))
    web.answers["/events"] = Answer(behave=events)
    web.answers["/echo"] = Answer(behave=echo)
    web.answers["/alert"] = Answer("<script>alert('wait'); document.write('<p>after</p>')</script>")
    web.answers["/leads"] = Answer("<script>setTimeout(() => { location = '/echo?led' }, 50)</script>")
    web.answers["/echo?led"] = Answer(behave=echo)
    web.answers["/refused"] = Answer("<p>not for you</p>", status=403)

    async def scenario() -> None:
        async with pool(collect=True) as browsers:

            async def items(path: str, **rule: Any) -> int:
                return (await browsers.load(wanted(web.url + path, **rule))).html.count(
                    "item "
                ) - 1  # one in the script

            assert await items("/more") == 0
            assert await items("/more", load_more=LoadMore(selector="#more", times=2)) == 2
            assert await items("/more", load_more=LoadMore(selector="#more", times=50)) == 4
            assert await items("/more", load_more=LoadMore(selector="#less", times=2)) == 0
            assert await items("/endless", scroll=2) == 2
            assert await items("/endless", scroll=50) == 4

            async def ends(**rule: Any) -> bool:
                return "</script>the end" in (await browsers.load(wanted(f"{web.url}/chain", **rule))).html

            assert not await ends(wait_for="#first")
            assert await ends(wait_for="#first", network_quiet=True)

            profile = user_agents().profiles[0]
            load = wanted(f"{web.url}/echo")
            page = await browsers.load(
                PageLoad(load.url, load.rule, load.route, {"session": "abc", "other": "1=2"}, profile)
            )
            assert profile.user_agent in page.html
            assert "Headless" not in page.html
            assert "session=abc" in page.html and "other=1=2" in page.html
            assert "after" in (await browsers.load(wanted(f"{web.url}/alert"))).html
            page = await browsers.load(wanted(f"{web.url}/leads", wait_for="pre"))
            assert page.url == f"{web.url}/echo?led"
            page = await browsers.load(wanted(f"{web.url}/refused"))
            assert page.status == 403 and "not for you" in page.html
            assert len(pids(short_folder)) == 1  # one browser has done all this

    asyncio.run(scenario())
    assert not pids(short_folder)


def test_failures_are_told_and_hanging_browsers_replaced(web: WebServer, short_folder: Path) -> None:
    web.answers["/good"] = Answer("<p>good</p>")
    web.answers["/spins"] = Answer("<p>before</p><script>while (true) {}</script>")
    web.answers["/silent"] = Answer(behave=lambda handler: time.sleep(8))
    web.answers["/long"] = Answer(f"<p>{'长' * 5000}</p>")
    web.answers["/away"] = Answer("<script>location = 'http://10.255.255.1:81/'</script>")

    async def names(host: str) -> Sequence[str]:
        raise OSError("unknown")

    async def scenario() -> None:
        async with pool(browser_page_timeout_s=3, browser_wait_s=2, page_bytes=4000) as browsers:

            async def good() -> set[int]:
                assert "good" in (await browsers.load(wanted(f"{web.url}/good"))).html
                return pids(short_folder)

            first = await good()
            load = wanted(f"{web.url}/good", wait_for="#never")
            with pytest.raises(BrowserFailed, match="'#never' did not appear in 2 s") as failure:
                await browsers.load(PageLoad(load.url, load.rule, load.route, {}, screenshot=True))
            assert (failure.value.screenshot or b"").startswith(b"\x89PNG")
            with pytest.raises(BrowserFailed, match="longer than 4000"):
                await browsers.load(wanted(f"{web.url}/long"))
            with pytest.raises(BrowserFailed, match=":1"):
                await browsers.load(wanted("http://127.0.0.1:1/"))
            with pytest.raises(BrowserFailed, match="not a valid selector"):
                await browsers.load(wanted(f"{web.url}/good", wait_for="p:nope"))
            unknown = Route(Egress(allow_private=True, resolver=names), 5, print)
            with pytest.raises(BrowserFailed, match="unknown"):
                await browsers.load(PageLoad("https://nowhere.test/", load.rule, unknown, {}))
            with pytest.raises(RefusedAddress):
                await browsers.load(wanted("https://169.254.169.254/"))
            assert await good() == first
            for path in ("/spins", "/silent"):
                before = await good()
                with pytest.raises(BrowserCrashed):
                    await browsers.load(wanted(web.url + path))
                assert await good() != before
            before = await good()
            for pid in before:
                os.kill(pid, 9)
            with pytest.raises(BrowserCrashed):
                await good()
            assert await good() != before

    asyncio.run(scenario())
    assert not pids(short_folder)


def test_browsers_are_replaced_by_age_memory_and_policy(
    web: WebServer, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.answers["/"] = Answer("<p>good</p>")
    monkeypatch.setattr(chromium, "_MEMORY_EVERY", 1)

    async def scenario() -> None:
        seen: list[set[int]] = []

        async def visit(browsers: BrowserPool, load: PageLoad) -> BrowserPage:
            page = await browsers.load(load)
            seen.append(pids(short_folder) - set().union(*seen[:-1] if len(seen) > 1 else [set()]))
            return page

        async with pool(browser_pages=2) as browsers:
            for _ in range(3):
                await visit(browsers, wanted(web.url))
            assert seen[0] == seen[1] != seen[2]
            leader = next(iter(browsers._all))._pid
            assert 50 < processes.memory_mib(leader) < 2000
        async with pool(browser_memory_mib=100) as browsers:
            for _ in range(2):
                await visit(browsers, wanted(web.url))
            assert seen[3] != seen[4]
        async with pool() as browsers:
            await visit(browsers, wanted(web.url))
            with pytest.raises(RefusedAddress):
                public = Route(Egress(allow_private=False), 5, lambda host: None)
                await browsers.load(PageLoad(web.url, BrowserRule(urls="http://.*"), public, {}))
            await visit(browsers, wanted(web.url))
            assert seen[5] != seen[6]

    asyncio.run(scenario())
    assert not pids(short_folder)


# Takes connections and answers none; its process id is left beside it.
SILENT_DRIVER = """#!/usr/bin/env python3
import os, pathlib, socket, sys, time
port = next(int(word.partition("=")[2]) for word in sys.argv if word.startswith("--port="))
listening = socket.create_server(("127.0.0.1", port))
pathlib.Path(__file__).with_name("pid").write_text(str(os.getpid()))
time.sleep(600)
"""


def test_a_browser_that_hangs_while_it_starts_is_ended(short_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = short_folder / "driver"
    driver.write_text(SILENT_DRIVER)
    driver.chmod(0o700)
    for name, seconds in (("_START_TIMEOUT_S", 0), ("_GRACE_S", 0)):
        monkeypatch.setattr(f"crawler.browser.pool.{name}", seconds)

    def runs(pid: int) -> bool:
        with contextlib.suppress(OSError):
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        return False

    async def scenario() -> None:
        async with pool(chromedriver=driver, browser_page_timeout_s=1, browser_wait_s=2) as browsers:
            hanging = asyncio.create_task(browsers.load(wanted("http://127.0.0.1:1/")))
            waiting = asyncio.create_task(browsers.load(wanted("http://127.0.0.1:1/")))
            while not (short_folder / "pid").exists() or not (short_folder / "pid").read_text():  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            pid = int((short_folder / "pid").read_text())
            assert browsers._waiting == 1 and runs(pid)
            waiting.cancel()
            with pytest.raises(BrowserCrashed, match="hung"):
                await hanging
            assert browsers._waiting == 0, "a page that nobody wants any more does not wait"
            # Ends by the test's own limit where the driver is left behind.
            while runs(pid):  # noqa: ASYNC110
                await asyncio.sleep(0.05)

            monkeypatch.setattr("asyncio.start_server", refused)
            with pytest.raises(BrowserCrashed, match="cannot listen"):
                await browsers.load(wanted("http://127.0.0.1:1/"))
            assert len(browsers._free) == 1, "it is there for the next page"

    async def refused(*_: Any, **__: Any) -> None:
        raise OSError("too many open files")

    asyncio.run(asyncio.wait_for(scenario(), 60))
