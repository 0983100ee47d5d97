"""The site's own cookies, sent to the site's own hosts as a browser would that has them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from http.cookiejar import Cookie
from typing import Self

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.downloadermiddlewares.cookies import CookiesMiddleware
from scrapy.http import Response
from scrapy.http.cookies import CookieJar
from tldextract.remote import looks_like_ip

from crawler.domains import over_tls, own_domains
from crawler.site_crawler import of
from yuqing.sites import Site

_COOKIE_BYTES = 4096  # name and value; browsers refuse larger ones (RFC 6265bis, 5.5)
_HEADER_BYTES = 8000  # below what nginx (8 KiB) and Apache (8,190 bytes) take for a line


class SiteCookiesMiddleware(CookiesMiddleware):
    """Scrapy's cookie jar, in which the site's `cookies` lie from the beginning: redirects and recordings elsewhere get none."""

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        middleware = super().from_crawler(crawler)
        for cookie in site_cookies(of(crawler).site):
            middleware.jars[None].set_cookie(cookie)
        return middleware

    # Without the spider that Scrapy's own still takes, and warns of in the log.
    def process_request(self, request: Request) -> Request | Response | None:  # type: ignore[override]
        """Add the cookies, as many as servers take."""
        result = super().process_request(request)
        header = request.headers.get("Cookie")
        if header and len(header) > _HEADER_BYTES:
            request.headers["Cookie"] = header[:_HEADER_BYTES].rpartition(b"; ")[0]
        return result

    def _process_cookies(self, cookies: Iterable[Cookie], *, jar: CookieJar, request: Request) -> None:
        small = (cookie for cookie in cookies if len(cookie.name) + len(cookie.value or "") <= _COOKIE_BYTES)
        super()._process_cookies(small, jar=jar, request=request)


def site_cookies(site: Site) -> Iterator[Cookie]:
    """The site's `cookies` for each of its registrable domains and their hosts; over TLS alone when its pages are there."""
    secure = over_tls(site)
    for domain in sorted(own_domains(site)):
        whole = "." in domain and not looks_like_ip(domain)
        for name, value in site.cookies.items():
            yield Cookie(
                version=0,
                name=name,
                value=value,
                port=None,
                port_specified=False,
                # The standard library keeps cookies of a single name such as localhost under localhost.local.
                domain=f".{domain}" if whole else domain if "." in domain else f"{domain}.local",
                domain_specified=whole,
                domain_initial_dot=whole,
                path="/",
                path_specified=True,
                secure=secure,
                expires=None,
                discard=True,
                comment=None,
                comment_url=None,
                rest={},
            )
