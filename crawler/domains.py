"""Registrable domains (example.com.cn of m.news.example.com.cn), by the public suffix list that comes with tldextract."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Self
from urllib.parse import urlsplit

from scrapy.downloadermiddlewares import cookies
from tldextract import TLDExtract

from yuqing.sites import Site

# The snapshot only: by default tldextract fetches the list from the network. Private suffixes count, too: two tenants of a
# host for everybody (github.io) are two sites.
SUFFIXES = TLDExtract(suffix_list_urls=(), cache_dir=None, include_psl_private_domains=True)
# Scrapy asks whether a cookie is for a whole public suffix, and has an instance of its own, with that default, for it.
cookies._split_domain = SUFFIXES


@lru_cache(maxsize=4096)
def registrable_domain(host: str) -> str:
    """The domain that somebody registered; of an address, a public suffix or a single name the host itself."""
    return SUFFIXES(host).top_domain_under_public_suffix or host


def own_domains(site: Site) -> frozenset[str]:
    """The registrable domains that are the site's: those of its hubs, lists and search, and those in its patterns.

    A feed or sitemap on another domain is somebody else's, unless a pattern of `articles` names the domain, too.
    """
    pages = [*site.start_urls, *(rule.url for rule in site.lists), *(search.url for search in site.search)]
    announcing = {_domain(url) for url in (*site.feeds, *site.sitemaps)}
    named = {
        domain
        for domain in announcing
        if any(domain in pattern or re.escape(domain) in pattern for pattern in site.articles)
    }
    return frozenset({_domain(url) for url in pages} | named)


def over_tls(site: Site) -> bool:
    """Whether all that a run begins with is asked for over TLS: then its cookies and headers are sent over nothing else."""
    pages = [*site.start_urls, *(rule.url for rule in site.lists), *(search.url for search in site.search)]
    return all(url.startswith("https:") for url in pages or (*site.feeds, *site.sitemaps))


@dataclass(frozen=True)
class OwnOrigins:
    """What may be told the site's secrets: its registrable domains; tls_only: over TLS alone."""

    domains: frozenset[str]
    tls_only: bool

    @classmethod
    def of(cls, site: Site) -> Self:
        """Those of a site."""
        return cls(own_domains(site), over_tls(site))

    def has(self, url: str) -> bool:
        """Whether the address is the site's own."""
        parts = urlsplit(url)
        encrypted = parts.scheme in ("https", "wss")
        return (encrypted or not self.tls_only) and registrable_domain(parts.hostname or "") in self.domains


def _domain(url: str) -> str:
    return registrable_domain(urlsplit(url).hostname or "")
