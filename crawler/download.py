"""How a request is fetched: in Chromium, streamed to a file, or as Scrapy does it; politeness holds for all three."""

from __future__ import annotations

import asyncio
import contextlib

from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadCancelledError, DownloadFailedError, IgnoreRequest, ResponseDataLossError
from scrapy.http import HtmlResponse, Response

from crawler.browser import BrowserFailed, OwnHeaders, PageLoad
from crawler.canonical import url_hash
from crawler.checked_http import CheckedHTTPHandler
from crawler.circuits import require
from crawler.domains import OwnOrigins
from crawler.filtering_proxy import Route
from crawler.media.transfer import Client
from crawler.site_crawler import of
from yuqing.errors import YuqingError
from yuqing.telemetry import get_logger

log = get_logger(__name__)

MAX_SCREENSHOTS = 3  # a run: of a site that changed its pages, all others look the same


class TooLarge(IgnoreRequest):
    """A page is larger than crawler.page_bytes."""


class DownloadHandler(BaseDownloadHandler):
    """The handler of http and https: meta["browser"] and meta["to_file"] choose the other ways."""

    lazy = True

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.site_crawler = of(crawler)
        self._plain = CheckedHTTPHandler(self.site_crawler)
        site = self.site_crawler.site
        self._headers = OwnHeaders(OwnOrigins.of(site), site.headers) if site.headers else None
        self._screenshots: set[str] = set()
        self._refused_hosts: set[str] = set()
        self._transfers = Client(self.site_crawler.egress, self.site_crawler.options.download_timeout_s)

    async def download_request(self, request: Request) -> Response:
        """Fetch; raises Scrapy's download errors, TooLarge, and Held or CircuitOpen when the host is to be left alone by now."""
        require(self.site_crawler.circuits, request)
        proxies = self.site_crawler.proxies
        proxies.assign(request)
        try:
            response = await self._fetch(request)
        except Exception as problem:
            proxies.broke_off(request, problem)
            raise
        proxies.answered(request, response)
        return response

    async def _fetch(self, request: Request) -> Response:
        if "browser" in request.meta:
            return await self._in_browser(request)
        if "to_file" in request.meta:
            return await self._transfers.receive(request, request.meta["to_file"])
        try:
            return await self._plain.download_request(request)
        except DownloadCancelledError as problem:
            limit = self.site_crawler.options.page_bytes
            raise TooLarge(f"larger than {limit} bytes (crawler.page_bytes)") from problem
        except ResponseDataLossError as problem:
            raise ResponseDataLossError("the answer ended before its end") from problem
        except DownloadFailedError as problem:
            raise DownloadFailedError(_plainly(problem)) from problem

    async def close(self) -> None:
        """Close the connections."""
        await self._plain.close()
        await self._transfers.close()

    async def _in_browser(self, request: Request) -> Response:
        pool = self.site_crawler.browsers
        if pool is None:
            raise RuntimeError(f"{request.url} needs a browser and the crawl was started without one")
        load = self._page_load(request)
        try:
            page = await pool.load(load)
        except BrowserFailed as problem:
            if problem.screenshot:
                await self._keep_screenshot(request.url, problem)
            raise
        return HtmlResponse(
            page.url,
            status=page.status,
            headers={"Content-Type": "text/html; charset=utf-8"},
            body=page.html.encode("utf-8", "replace"),
            encoding="utf-8",
            request=request,
        )

    def _page_load(self, request: Request) -> PageLoad:
        """The request as the browser pool wants it: as whom, with which cookies and by which proxy, as all requests."""
        cookies = (request.headers.get("Cookie") or b"").decode("latin-1")
        pairs = (cookie.strip().partition("=") for cookie in cookies.split(";") if cookie.strip())
        crawler, options = self.site_crawler, self.site_crawler.options
        route = Route(
            crawler.egress,
            options.download_timeout_s,
            self._refused,
            upstream=request.meta.get("proxy"),
            authorization=request.headers.get("Proxy-Authorization") or b"",
        )
        return PageLoad(
            request.url,
            rule=request.meta["browser"],
            route=route,
            cookies={name: value for name, _, value in pairs},
            profile=request.meta.get("profile"),
            headers=self._headers,
            # Of the last try only: it is this one's error that the report names.
            screenshot=len(self._screenshots) < MAX_SCREENSHOTS
            and request.meta.get("retry_times", 0) >= request.meta.get("max_retry_times", options.retries),
        )

    def _refused(self, host: str) -> None:
        """What a page asked for, and the browser's proxy refused."""
        self.site_crawler.report.refused_addresses += 1
        if host not in self._refused_hosts:
            self._refused_hosts.add(host)
            log.warning("a page asked for a refused address", site=self.site_crawler.site.name, host=host)

    async def _keep_screenshot(self, url: str, problem: BrowserFailed) -> None:
        """Store what the page looked like and name it in the error."""
        report = self.site_crawler.report
        key = f"reports/screenshots/{report.site}/{report.run_id}/{url_hash(url):016x}.png"
        if problem.screenshot and len(self._screenshots | {key}) <= MAX_SCREENSHOTS:
            self._screenshots.add(key)
            with contextlib.suppress(YuqingError):  # without S3 the crawl ends soon, and by a better reason
                await asyncio.to_thread(self.site_crawler.store.put, key, problem.screenshot, content_type="image/png")
                problem.args = (f"{problem} (screenshot: {key})",)


def _plainly(problem: DownloadFailedError) -> str:
    """What Twisted says in a list of its failures."""
    reasons = getattr(problem.__cause__, "reasons", [])
    return "; ".join(f"{reason.type.__name__}: {reason.getErrorMessage()}" for reason in reasons) or str(problem)
