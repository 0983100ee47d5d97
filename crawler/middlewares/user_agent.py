"""Random but believable: each host meets one browser, with all its headers, for the length of a run."""

from __future__ import annotations

import random
from typing import Self
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler

from crawler.site_crawler import of
from crawler.user_agents import Profile, user_agents
from yuqing.sites import Site


class UserAgentMiddleware:
    """Takes the place of Scrapy's own user agent and default headers. The site's `headers` win over the profile's."""

    def __init__(self, site: Site, chance: random.Random) -> None:
        self.site = site
        self._chance = chance
        self._profiles: dict[str, Profile] = {}

    @classmethod
    def from_crawler(cls, crawler: Crawler) -> Self:
        """Scrapy's way in."""
        return cls(of(crawler).site, random.Random())  # noqa: S311

    def profile(self, host: str) -> Profile:
        """The browser that this host meets."""
        if host not in self._profiles:
            # A host that meets Chromium on some pages must not meet Firefox on the others.
            self._profiles[host] = user_agents().choose(self._chance, chromium_only=bool(self.site.browser))
        return self._profiles[host]

    def process_request(self, request: Request) -> None:
        """Fill in the headers that the request does not have."""
        profile = self.profile(urlsplit(request.url).hostname or "")
        request.meta["profile"] = profile
        for name, value in (*self.site.headers.items(), *profile.headers):
            request.headers.setdefault(name, value)
