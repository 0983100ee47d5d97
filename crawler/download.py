"""How a request is fetched: in Chromium, streamed to a file, or as Scrapy does it; politeness holds for all three."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import dataclass
from pathlib import Path

import httpx
from scrapy import Request
from scrapy.core.downloader.handlers.base import BaseDownloadHandler
from scrapy.crawler import Crawler
from scrapy.exceptions import DownloadCancelledError, DownloadFailedError, DownloadTimeoutError, IgnoreRequest
from scrapy.http import Headers, HtmlResponse, Response

from crawler.checked_http import CheckedHTTPHandler
from crawler.circuits import require
from crawler.site_crawler import of

SNIFF_BYTES = 512


@dataclass(frozen=True)
class Received:
    """What was streamed to a file: sha256 (hex), length and the first SNIFF_BYTES bytes."""

    sha256: str
    length: int
    head: bytes


class TooLarge(IgnoreRequest):
    """A page is larger than crawler.page_bytes, or a recording than crawler.media_bytes."""


class DownloadHandler(BaseDownloadHandler):
    """The handler of http and https: meta["browser"] and meta["to_file"] choose the other ways."""

    lazy = True

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        self.site_crawler = of(crawler)
        self._plain = CheckedHTTPHandler(self.site_crawler)

    async def download_request(self, request: Request) -> Response:
        """Fetch; raises Scrapy's download errors, TooLarge, and Held or CircuitOpen when the host is to be left alone by now."""
        require(self.site_crawler.circuits, request)
        if "browser" in request.meta:
            return await self._in_browser(request)
        if "to_file" in request.meta:
            return await self._to_file(request, request.meta["to_file"])
        try:
            return await self._plain.download_request(request)
        except DownloadCancelledError as problem:
            limit = self.site_crawler.options.page_bytes
            raise TooLarge(f"larger than {limit} bytes (crawler.page_bytes)") from problem

    async def close(self) -> None:
        """Close the connections."""
        await self._plain.close()

    async def _in_browser(self, request: Request) -> Response:
        pool = self.site_crawler.browsers
        if pool is None:
            raise RuntimeError(f"{request.url} needs a browser and the crawl was started without one")
        page = await pool.load(request.url, wait_for=request.meta["browser"], profile=request.meta.get("profile"))
        return HtmlResponse(
            page.url,
            status=page.status,
            headers={"Content-Type": "text/html; charset=utf-8"},
            body=page.html.encode("utf-8", "replace"),
            encoding="utf-8",
            request=request,
        )

    async def _to_file(self, request: Request, path: Path) -> Response:
        """Stream a body of any size to a file, so that memory stays flat; meta["received"] tells what came."""
        options = self.site_crawler.options
        limit, timeout = options.media_bytes, options.media_timeout_s
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in _pairs(request.headers)}
        digest, received, head = hashlib.sha256(), 0, b""
        try:
            async with (
                asyncio.timeout(timeout),
                # As Scrapy does for pages: the certificate chains of many sites are broken.
                httpx.AsyncClient(timeout=options.download_timeout_s, verify=False) as client,  # noqa: S501
                client.stream("GET", request.url, headers=headers) as response,
            ):
                answer = Headers([(name, value) for name, value in response.headers.raw])
                if response.status_code == 200:
                    if int(response.headers.get("content-length") or 0) > limit:
                        raise TooLarge(f"larger than {limit} bytes (crawler.media_bytes)")
                    with path.open("wb") as target:
                        async for chunk in response.aiter_bytes(2**18):
                            received += len(chunk)
                            if received > limit:
                                raise TooLarge(f"larger than {limit} bytes (crawler.media_bytes)")
                            head = head or chunk[:SNIFF_BYTES]
                            digest.update(chunk)
                            target.write(chunk)
        except (httpx.TimeoutException, TimeoutError) as problem:
            raise DownloadTimeoutError(
                f"{request.url}: no answer for {options.download_timeout_s:g} s, or not whole in {timeout:g} s"
            ) from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise DownloadFailedError(f"{request.url}: {problem or type(problem).__name__}") from problem
        request.meta["received"] = Received(digest.hexdigest(), received, head)
        # The body is already decoded; Scrapy's own decompression must not see the header.
        answer.pop("Content-Encoding", None)
        return Response(request.url, status=response.status_code, headers=answer, request=request)


def _pairs(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, values in headers.items() for value in values]
