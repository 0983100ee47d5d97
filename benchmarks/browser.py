"""Pages per second of the browser pool against scrapy-playwright: the same Chromium, pages, machine and run.

    python benchmarks/browser.py [--pages N] [--rounds R]

Prints one JSON line: {"pages", "pages_per_s", "scrapy_playwright_pages_per_s", "scrapy_playwright", "ratio",
"loop_lag_p99_ms", "scrapy_playwright_loop_lag_p99_ms", "peak_mib", "scrapy_playwright_peak_mib"}.

Both are download handlers of the same small Scrapy spider, in a process of their own, with two pages at the same time:
two drivers here, two pages of one browser there. A page is a shell that a script of 150 KB fills from a JSON answer; it
names a style sheet, a font and twelve pictures of 60 KB, and is complete when an attribute says so, which both wait for.
scrapy-playwright waits for the document first, not for the load event; its Chromium has no GPU to look for either. It is
measured twice: as it comes, and with PLAYWRIGHT_ABORT_REQUEST refusing pictures, fonts and media; the better figure is its
own ("scrapy_playwright" says which). Seconds count from the first page's end, so that no start-up counts; of several
rounds the median is taken. The lag is by how much a sleep of 10 ms in the event loop is late. Memory is that of the
process and all its children.
"""

import argparse
import asyncio
import json
import os
import random
import statistics
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).parents[1]
CONCURRENCY = 2
READY = '#app[data-state="ready"]'
PICTURES = 12


def contents(count: int) -> dict[str, tuple[str, bytes]]:
    """Path to content type and body."""
    chance = random.Random(20_26)
    letters = "的一是不了人我在有他这为之大来以个中上们到说国和地也子时道出而要于就下得可你年生"
    filler = "".join(
        f"function module{number}(a){{let b=0;for(let i=0;i<a.length;i++){{b=(b*31+a.charCodeAt(i))|0}}return b+{number}}}\n"
        for number in range(1300)
    )
    script = (
        filler
        + """
const id = location.pathname.split("/").pop();
fetch("/api/" + id).then((answer) => answer.json()).then((article) => {
  const app = document.getElementById("app");
  let sum = 0;
  for (const paragraph of article.paragraphs) sum += module7(paragraph);
  const links = article.links.map((link) => `<a href="/x/${link}">${link}</a>`);
  const picture = (index) => article.pictures[index] ? `<img src="${article.pictures[index]}">` : "";
  const text = article.paragraphs.map((paragraph, index) => `<p>${paragraph}</p>${picture(index)}`);
  app.innerHTML = `<nav>${links.join("")}</nav><h1>${article.title}</h1>${text.join("")}`;
  app.dataset.sum = sum; app.dataset.state = "ready";
});
"""
    )
    style = '@font-face{font-family:"Own";src:url("/font.woff2")}body{font-family:"Own",serif}' + "".join(
        f".box{number} > a:hover{{color:#{number:06x};margin:{number % 9}px}}" for number in range(900)
    )
    found = {
        "/app.js": ("text/javascript", script.encode()),
        "/style.css": ("text/css", style.encode()),
        "/font.woff2": ("font/woff2", chance.randbytes(80_000)),
    }
    for number in range(count):
        article = {
            "title": f"标题{number}",
            "links": [f"导航{index}" for index in range(100)],
            "paragraphs": ["".join(chance.choices(letters, k=90)) for _ in range(16)],
            "pictures": [f"/picture/{number}/{index}.png" for index in range(PICTURES)],
        }
        found[f"/api/{number}"] = ("application/json", json.dumps(article, ensure_ascii=False).encode())
        found[f"/a/{number}"] = (
            "text/html; charset=utf-8",
            b'<!doctype html><html><head><link rel="stylesheet" href="/style.css"></head>'
            b'<body><div id="app"></div><script src="/app.js"></script></body></html>',
        )
    return found


def picture(chance: random.Random) -> bytes:
    """A PNG of 160 x 120 pixels of noise, about 58 KB."""
    rows = b"".join(b"\0" + chance.randbytes(160 * 3) for _ in range(120))
    chunks = (
        (b"IHDR", struct.pack(">2I5B", 160, 120, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows, 1)),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks
    )


def serve(count: int) -> str:
    """Serve the pages in a child process, which ends with this one; returns the address."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.close(reader)
        parent = os.getppid()
        pages, image = contents(count), picture(random.Random(1))

        async def answer(requests: asyncio.StreamReader, answers: asyncio.StreamWriter) -> None:
            try:
                while head := await requests.readuntil(b"\r\n\r\n"):
                    path = head.split(b" ", 2)[1].decode()
                    kind, body = ("image/png", image) if path.startswith("/picture/") else pages.get(path, ("", b""))
                    cache = "max-age=3600" if path in ("/app.js", "/style.css", "/font.woff2") else "no-store"
                    status = "200 OK" if kind else "404 Not Found"
                    answers.write(
                        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
                        f"Cache-Control: {cache}\r\n\r\n".encode()
                        + body
                    )
                    await answers.drain()
            except (OSError, asyncio.IncompleteReadError):
                pass
            finally:
                answers.close()

        async def run() -> None:
            server = await asyncio.start_server(answer, "127.0.0.1", 0)
            os.write(writer, str(server.sockets[0].getsockname()[1]).encode())
            os.close(writer)
            while os.getppid() == parent:  # noqa: ASYNC110 — nothing tells a process of its parent's end
                await asyncio.sleep(0.5)

        asyncio.run(run())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as pipe:
        return f"http://127.0.0.1:{pipe.read()}"


def crawl(way: str, address: str, count: int) -> None:
    """Crawl the pages in this process one way and print what was measured."""
    from scrapy import Request, Spider
    from scrapy.core.downloader.handlers.base import BaseDownloadHandler
    from scrapy.crawler import AsyncCrawlerProcess, Crawler
    from scrapy.http import HtmlResponse

    ended: list[float] = []
    lags: list[float] = []

    class Pages(Spider):
        name = "pages"

        async def start(self) -> Any:
            self.watch = asyncio.get_running_loop().create_task(self.lag())
            for number in range(count):
                yield Request(f"{address}/a/{number}", meta=meta(), dont_filter=True)

        async def lag(self) -> None:
            while True:
                begun = time.perf_counter()
                await asyncio.sleep(0.01)
                if ended:
                    lags.append(time.perf_counter() - begun - 0.01)

        def parse(self, response: HtmlResponse) -> None:
            assert response.css("h1::text").get("").startswith("标题") and len(response.css("p")) == 16
            ended.append(time.perf_counter())

    settings: dict[str, Any] = {
        "LOG_ENABLED": False,
        "TELNETCONSOLE_ENABLED": False,
        "CONCURRENT_REQUESTS": CONCURRENCY,
        "CONCURRENT_REQUESTS_PER_DOMAIN": CONCURRENCY,
        "DOWNLOAD_DELAY": 0,
        "RETRY_ENABLED": False,
    }
    if way == "pool":
        from crawler.browser import BrowserPool, PageLoad
        from crawler.egress import Egress
        from crawler.filtering_proxy import Route
        from crawler.user_agents import user_agents
        from yuqing.settings import CrawlerSettings
        from yuqing.sites import BrowserRule

        rule = BrowserRule(urls="http://.*", wait_for=READY)
        profile = user_agents().choose(random.Random(1), chromium_only=True)

        class PoolHandler(BaseDownloadHandler):
            lazy = False

            def __init__(self, crawler: Crawler) -> None:
                super().__init__(crawler)
                self.pool = BrowserPool(CrawlerSettings(browsers=CONCURRENCY))
                self.route = Route(Egress(allow_private=True), 30, lambda host: None)

            async def download_request(self, request: Request) -> HtmlResponse:
                page = await self.pool.load(PageLoad(request.url, rule, self.route, {}, profile))
                return HtmlResponse(page.url, page.status, body=page.html.encode(), encoding="utf-8", request=request)

            async def close(self) -> None:
                await self.pool.close()

        def meta() -> dict[str, Any]:
            return {}

        settings["DOWNLOAD_HANDLERS"] = {"http": PoolHandler}
    else:
        from scrapy_playwright.page import PageMethod

        settings |= {
            "DOWNLOAD_HANDLERS": {"http": "scrapy_playwright.handler.ScrapyPlaywrightDownloadHandler"},
            "PLAYWRIGHT_BROWSER_TYPE": "chromium",
            "PLAYWRIGHT_LAUNCH_OPTIONS": {"executable_path": "/usr/bin/chromium", "args": ["--disable-gpu"]},
            "PLAYWRIGHT_MAX_PAGES_PER_CONTEXT": CONCURRENCY,
        }
        if way == "aborting":
            settings["PLAYWRIGHT_ABORT_REQUEST"] = lambda request: request.resource_type in ("image", "font", "media")

        def meta() -> dict[str, Any]:
            return {
                "playwright": True,
                "playwright_page_goto_kwargs": {"wait_until": "domcontentloaded"},
                "playwright_page_methods": [PageMethod("wait_for_selector", READY, state="attached")],
            }

    process = AsyncCrawlerProcess(settings)
    process.crawl(Pages)
    process.start()
    if len(ended) != count:
        raise SystemExit(f"{way}: {len(ended)} of {count} pages")
    print(
        json.dumps(
            {
                "pages_per_s": (count - 1) / (ended[-1] - ended[0]),
                "loop_lag_p99_ms": statistics.quantiles(lags, n=100)[98] * 1000,
            }
        )
    )


def measure(way: str, address: str, count: int) -> dict[str, float]:
    """Run one way in a process of its own; its figures and the peak of its memory in MiB."""
    command = [sys.executable, __file__, "--way", way, "--address", address, "--pages", str(count)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
    peak = 0.0
    family = psutil.Process(process.pid)
    while process.poll() is None:
        memory = 0
        try:
            for member in (family, *family.children(recursive=True)):
                memory += member.memory_full_info().pss
        except psutil.Error:
            continue
        peak = max(peak, memory / 2**20)
        time.sleep(3)  # a look costs the processes that are looked at some milliseconds each
    assert process.stdout is not None
    if process.returncode:
        raise SystemExit(f"{way} ended with status {process.returncode}")
    return {**json.loads(process.stdout.read()), "peak_mib": peak}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--way", help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.way:
        crawl(arguments.way, arguments.address, arguments.pages)
        return
    address = serve(arguments.pages)
    found: dict[str, list[dict[str, float]]] = {"pool": [], "plain": [], "aborting": []}
    for _ in range(arguments.rounds):
        for way, figures in found.items():
            figures.append(measure(way, address, arguments.pages))
            print(way, figures[-1], file=sys.stderr)

    def median(way: str, figure: str) -> float:
        return statistics.median(each[figure] for each in found[way])

    theirs = max(("plain", "aborting"), key=lambda way: median(way, "pages_per_s"))
    figures = {
        "pages": arguments.pages,
        "pages_per_s": round(median("pool", "pages_per_s"), 2),
        "scrapy_playwright_pages_per_s": round(median(theirs, "pages_per_s"), 2),
        "scrapy_playwright": theirs,
        "ratio": round(median("pool", "pages_per_s") / median(theirs, "pages_per_s"), 2),
        "loop_lag_p99_ms": round(median("pool", "loop_lag_p99_ms"), 1),
        "scrapy_playwright_loop_lag_p99_ms": round(median(theirs, "loop_lag_p99_ms"), 1),
        "peak_mib": round(median("pool", "peak_mib")),
        "scrapy_playwright_peak_mib": round(median(theirs, "peak_mib")),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
