"""Random but believable: all that a run asks for is asked for by one browser, with all its headers."""

from __future__ import annotations

import ipaddress
import random
from functools import lru_cache
from typing import Self
from urllib.parse import SplitResult, urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.utils.httpobj import urlparse_cached

from crawler.domains import over_tls, own_domains, registrable_domain
from crawler.site_crawler import MEDIA, of
from crawler.user_agents import Profile, identity, user_agents
from yuqing.settings import CrawlerSettings
from yuqing.sites import Site

# What a browser says of a recording that a page plays, in place of what it says of a page.
_MEDIA = {"Sec-Fetch-Dest": "video", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-User": "", "Upgrade-Insecure-Requests": ""}
_RELATIONS = ("same-origin", "same-site", "cross-site")
_PORTS = {"http": 80, "https": 443}


class UserAgentMiddleware:
    """Takes the place of Scrapy's own user agent, default headers and referrers.

    A request's own headers win over the site's `headers`, these over the profile's. meta["referrer"] is the page with the
    link, if there is one; meta["profile"] says afterwards which browser it is.
    """

    def __init__(self, site: Site, options: CrawlerSettings, chance: random.Random) -> None:
        self.site = site
        self._named = identity(site, options)
        # One for all domains: links and redirects lead from one to another, and a reader does not change on the way.
        # A site that meets Chromium on some pages must not meet Firefox on the others.
        self.profile = self._named or user_agents().choose(chance, chromium_only=bool(site.browser))
        self._has_referer = any(name.lower() == "referer" for name in site.headers)
        self._own = own_domains(site)
        self._over_tls = over_tls(site)

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        site_crawler = of(crawler)
        return cls(site_crawler.site, site_crawler.options, random.Random())  # noqa: S311

    def process_request(self, request: Request) -> None:
        """Fill in the headers that the request does not have."""
        parts = urlparse_cached(request)
        domain = registrable_domain(parts.hostname or "")
        headers, meta = request.headers, request.meta
        media = meta.get("role") == MEDIA
        page: str | None = meta.get("referrer")
        if media and (named := headers.get("Referer")):
            page = named.decode("latin-1")
        if "profile" in meta:
            _forget(request, self.profile)
        profile = meta["profile"] = self.profile
        own = domain in self._own and (parts.scheme == "https" or not self._over_tls)
        for name, value in self.site.headers.items():
            if own:
                headers.setdefault(name, value)
            elif headers.get(name) == value.encode("latin-1"):
                del headers[name]  # a redirect has led away from the site
        trusted = _trustworthy(parts.scheme, parts.hostname or "")
        for key, content in _prepared(profile, trusted, media):
            dict.setdefault(headers, key, [content])  # past Headers' own, which would encode both again each time
        if page and not self._named:
            self._referrer(request, page, (parts.scheme, parts.netloc), trusted)

    def _referrer(self, request: Request, page: str, target: tuple[str, str], trusted: bool) -> None:
        """Referer, and what Sec-Fetch-Site says of the same."""
        referer, relation = link(page, *target)
        if not self._has_referer:
            if referer:
                request.headers["Referer"] = referer
            else:
                request.headers.pop("Referer", None)
        if trusted:
            # The farthest of the whole way, if there were redirects.
            for url in request.meta.get("redirect_urls", ()):
                step = urlsplit(url)
                relation = max(relation, link(page, step.scheme, step.netloc)[1])
            request.headers["Sec-Fetch-Site"] = _RELATIONS[relation]


@lru_cache(maxsize=256)
def _prepared(profile: Profile, trusted: bool, media: bool) -> tuple[tuple[bytes, bytes], ...]:
    """The profile's headers as Scrapy's Headers keep them."""
    pairs = dict(profile.headers if trusted else profile.plain_headers)
    if media:
        pairs |= {name: value for name, value in _MEDIA.items() if name in pairs}
    return tuple((name.title().encode(), value.encode("latin-1")) for name, value in pairs.items() if value)


def _forget(request: Request, profile: Profile) -> None:
    """Take away what was filled in before a redirect or a further try, which may be another host's or scheme's."""
    for name, value in profile.headers:
        if name.startswith("Sec-") or request.headers.get(name) == value.encode("latin-1"):
            request.headers.pop(name, None)


@lru_cache(maxsize=4096)
def link(page: str, scheme: str, netloc: str) -> tuple[str | None, int]:
    """What a browser says of a link on a page to an origin: (Referer, index of _RELATIONS).

    The Referer is that of strict-origin-when-cross-origin, browsers' default (W3C Referrer Policy, 3.7); None: left out.
    """
    source, target = urlsplit(page), urlsplit(f"{scheme}://{netloc}")
    host = source.netloc.rpartition("@")[2]
    whole, origin = source._replace(netloc=host, fragment="").geturl(), f"{source.scheme}://{host}/"
    if _origin(source) == _origin(target):
        return whole, 0
    domains = {registrable_domain(parts.hostname or "") for parts in (source, target)}
    referer = None if source.scheme == "https" and not _trustworthy(scheme, target.hostname or "") else origin
    return referer, 1 if source.scheme == scheme and len(domains) == 1 else 2


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or _PORTS.get(parts.scheme)


@lru_cache(maxsize=4096)
def _trustworthy(scheme: str, host: str) -> bool:
    """Whether a browser takes the origin for trustworthy: TLS, or this machine (W3C Secure Contexts, 3.1)."""
    if scheme == "https" or host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
