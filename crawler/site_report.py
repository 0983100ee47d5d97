"""What `yuqing sites check` says: the sources and articles that were visited, and a finding for each rule."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Literal

Verdict = Literal["ok", "warn", "fail"]
WORST: tuple[Verdict, ...] = ("fail", "warn", "ok")


@dataclass(frozen=True)
class Finding:
    """What is said of one rule of the site's file."""

    rule: str
    verdict: Verdict
    says: str
    cure: str = ""


@dataclass(frozen=True)
class ArticleSeen:
    """An article page, field by field; `characters` are those of the text outside links."""

    url: str
    rule: str
    pattern: str | None
    status: int | None
    problem: str | None
    canonical: str | None = None
    title: str | None = None
    author: str | None = None
    published_at: datetime | None = None
    characters: int = 0
    encoding: str = ""
    media: int = 0
    via_browser: bool = False


@dataclass(frozen=True)
class SourceSeen:
    """A page of a list, feed, sitemap or search."""

    rule: str
    url: str
    status: int | None
    problem: str | None
    links: int
    articles: int
    hosts: dict[str, int]


@dataclass(frozen=True)
class SiteReport:
    """All that was found."""

    site: str
    sources: list[SourceSeen]
    articles: list[ArticleSeen]
    findings: list[Finding]

    @property
    def verdict(self) -> Verdict:
        """The worst of all rules."""
        found = {finding.verdict for finding in self.findings}
        return next((verdict for verdict in WORST if verdict in found), "ok")

    def as_json(self) -> dict[str, Any]:
        """JSON-ready values."""
        values = asdict(self)
        for article in values["articles"]:
            article["published_at"] = article["published_at"] and article["published_at"].isoformat()
        return {"site": self.site, "verdict": self.verdict, **values}
