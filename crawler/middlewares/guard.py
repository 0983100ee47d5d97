"""Refuses requests to addresses that are not public, unless the site's file allows them."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from typing import Self
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler

from crawler.egress import RefusedAddress
from crawler.report import CrawlReport
from crawler.site_crawler import of


class GuardMiddleware:
    """Every request passes: pages, robots.txt, feeds, recordings and redirects. Each host is resolved once a run."""

    def __init__(self, report: CrawlReport, *, allow_private: bool) -> None:
        self.report = report
        self.allow_private = allow_private
        self._verdicts: dict[str, str | None] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        site_crawler = of(crawler)
        return cls(site_crawler.report, allow_private=site_crawler.site.allow_private_addresses)

    async def process_request(self, request: Request) -> None:
        """Let the request pass, or raise RefusedAddress."""
        parts = urlsplit(request.url)
        if parts.scheme not in ("http", "https"):
            self.report.refused_addresses += 1
            raise RefusedAddress(f"{parts.scheme}: is not a scheme to crawl")
        if self.allow_private:
            return
        host = parts.hostname or ""
        if host not in self._verdicts:
            self._verdicts[host] = await forbidden_address(host)
        if address := self._verdicts[host]:
            self.report.refused_addresses += 1
            raise RefusedAddress(
                f"{host} is at {address}, no public address; allow_private_addresses in the site's file allows it"
            )


async def forbidden_address(host: str) -> str | None:
    """The first address of a host that is not public, or None; what does not resolve is left to the downloader."""
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        return None
    for *_, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if isinstance(ip, ipaddress.IPv6Address):
            ip = ip.ipv4_mapped or ip
        if not ip.is_global or ip.is_multicast:
            return str(ip)
    return None
