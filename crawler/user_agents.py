"""The dated file of current browsers' header sets, and the choice among them."""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files


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
        return dict(self.headers)["User-Agent"]


@dataclass(frozen=True)
class UserAgents:
    """The file's profiles and the day on which they were current."""

    dated: date
    profiles: tuple[Profile, ...]

    def choose(self, chance: random.Random, *, chromium_only: bool = False) -> Profile:
        """A profile by weight; only of Chromium's family where Chromium loads the pages: it cannot pose as others."""
        fit = [profile for profile in self.profiles if profile.chromium or not chromium_only]
        return chance.choices(fit, weights=[profile.weight for profile in fit])[0]


@lru_cache(maxsize=1)
def user_agents() -> UserAgents:
    """Read data/user_agents.json."""
    data = json.loads((files("crawler") / "data" / "user_agents.json").read_text(encoding="utf-8"))
    profiles = tuple(
        Profile(item["name"], item["weight"], item["chromium"], item["platform"], tuple(item["headers"].items()))
        for item in data["profiles"]
    )
    return UserAgents(date.fromisoformat(data["dated"]), profiles)
