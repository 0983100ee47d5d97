"""Who we say we are: a browser with all its headers, of a dated file of current ones, or our own name."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property, lru_cache
from importlib.resources import files

from yuqing.settings import CrawlerSettings
from yuqing.sites import Site

ROBOTS_NAME = "yuqing"  # as which the crawler looks for its rules in robots.txt when it poses as a browser


@dataclass(frozen=True)
class Profile:
    """One browser: all the headers by which a server would tell it, which agree with each other."""

    name: str
    weight: float
    chromium: bool
    platform: str
    headers: tuple[tuple[str, str], ...]

    @property
    def user_agent(self) -> str:
        """The User-Agent header."""
        return self.headers_by_name["User-Agent"]

    @cached_property
    def headers_by_name(self) -> Mapping[str, str]:
        """The headers of a page that is asked for over TLS."""
        return dict(self.headers)

    @cached_property
    def plain_headers(self) -> tuple[tuple[str, str], ...]:
        """The headers over plain http, an origin that is not trustworthy: no client hints, no fetch metadata, old encodings.

        https://www.w3.org/TR/fetch-metadata/ (2), https://wicg.github.io/client-hints-infrastructure/ (secure transport);
        browsers leave br and zstd out because proxies on the way have spoiled them.
        """
        kept = {name: value for name, value in self.headers if not name.startswith("Sec-")}
        if "Accept-Encoding" in kept:
            kept["Accept-Encoding"] = "gzip, deflate"
        return tuple(kept.items())


@dataclass(frozen=True)
class UserAgents:
    """The file's profiles and the day on which they were current."""

    dated: date
    profiles: tuple[Profile, ...]

    def choose(self, chance: random.Random, *, chromium_only: bool = False) -> Profile:
        """A profile by weight; only of Chromium's family where Chromium loads the pages: it cannot pose as others."""
        fit = [profile for profile in self.profiles if profile.chromium or not chromium_only]
        return chance.choices(fit, weights=[profile.weight for profile in fit])[0]

    def age_days(self, today: date) -> int:
        """How many days ago the browsers were current."""
        return (today - self.dated).days


@lru_cache(maxsize=1)
def user_agents() -> UserAgents:
    """Read data/user_agents.json."""
    data = json.loads((files("crawler") / "data" / "user_agents.json").read_text(encoding="utf-8"))
    profiles = tuple(
        Profile(item["name"], item["weight"], item["chromium"], item["platform"], tuple(item["headers"].items()))
        for item in data["profiles"]
    )
    return UserAgents(date.fromisoformat(data["dated"]), profiles)


def identity(site: Site, options: CrawlerSettings) -> Profile | None:
    """Our own name, if the site's `headers` or crawler.bot_identity give one: that User-Agent, and nothing that a browser says."""
    named = next((value for name, value in site.headers.items() if name.lower() == "user-agent"), options.bot_identity)
    if not named:
        return None
    return Profile("our own name", 1, True, "", (("User-Agent", named), ("Accept", "*/*")))


def robots_name(options: CrawlerSettings) -> str:
    """The product token that is looked for in robots.txt: that of crawler.bot_identity (RFC 9309, 2.2.1), or else ours."""
    found = re.match("[A-Za-z_-]+", options.bot_identity)
    return found[0] if found else ROBOTS_NAME
