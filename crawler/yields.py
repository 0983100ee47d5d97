"""What a run's sources have announced, counted so that runs can be compared."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from yuqing.sites import Site


@dataclass
class Announced:
    """Links to articles by the kind of source that announced them (`found_by`).

    names: how many the site's search is asked for; sampled: kinds of which this run reads another part than the last one.
    """

    names: int = 0
    sampled: set[str] = field(default_factory=set)
    _kinds: dict[int, frozenset[str]] = field(default_factory=dict)

    def add(self, kind: str, address: int) -> None:
        """Note that a source of this kind announced the article of this hash."""
        known = self._kinds.get(address)
        if known is None or kind not in known:
            self._kinds[address] = _shared(kind) if known is None else known | {kind}

    def count(self, kinds: Iterable[str]) -> int:
        """Distinct articles that these kinds announced."""
        wanted = set(kinds)
        return sum(not wanted.isdisjoint(found_by) for found_by in self._kinds.values())

    def of(self, site: Site) -> dict[str, Any]:
        """What runs of the site are compared by: {"kinds", "found": what these announced, "search": links a name}.

        Kinds that are sampled are left out, and so is the search: what it finds depends on the watchlist.
        """
        sources = {"site": site.start_urls or site.lists, "feed": site.feeds, "sitemap": site.sitemaps}
        kinds = sorted(kind for kind, each in sources.items() if each and kind not in self.sampled)
        found: dict[str, Any] = {"kinds": kinds, "found": self.count(kinds)}
        if self.names:
            found["search"] = round(self.count(["search"]) / self.names, 2)
        return found


_ALONE: dict[str, frozenset[str]] = {}


def _shared(kind: str) -> frozenset[str]:
    """One set for all articles of one kind; a set for each of them would be most of the memory."""
    return _ALONE.setdefault(kind, frozenset({kind}))
