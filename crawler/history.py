"""A site's recent runs, by which a run that brought suspiciously little is told."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from crawler.blocked import EMPTY
from crawler.report import REPORTS, CrawlReport
from crawler.site_crawler import SiteCrawler
from crawler.user_agents import identity, user_agents
from yuqing.objects import ObjectStore
from yuqing.settings import CrawlerSettings
from yuqing.telemetry import get_logger

_UNREADABLE = 3  # broken reports that are stepped over to find one that can be read
# Pages that were other names of known ones, for one new article: a site with a second address for each has 1.
_MANY_DUPLICATES, _FEW_DUPLICATES = 4, 10
_FEW_EMPTY = 10
log = get_logger(__name__)


def conclude(crawler: SiteCrawler) -> None:
    """Finish a run's report and store it. It blocks: call it in a thread. Raises ObjectStoreError."""
    report = crawler.report
    report.yielded = crawler.announced.of(crawler.site)
    report.complete = report.reason == "finished" and crawler.max_pages is None
    judge(report, recent_yields(crawler.store, report.site, report.started, crawler.options), crawler.options)
    flag_refusals(report)
    flag_duplicates(report)
    if identity(crawler.site, crawler.options) is None:
        flag_old_browsers(report, user_agents().age_days(report.started.date()), crawler.options)
    report.proxies = crawler.proxies.as_json()
    if crawler.proxies.all_benched:
        report.flag("no_proxy", f"none of the {len(report.proxies)} proxies works: see their problems in the report")
    for flag in report.flags:
        log.warning(flag["message"], site=report.site, run_id=report.run_id, kind=flag["kind"])
    report.write(crawler.store)


def judge(report: CrawlReport, earlier: Sequence[dict[str, Any]], options: CrawlerSettings) -> None:
    """Flag a yield below the site's own median, and hand the runs that count on to the next report.

    `earlier` are the runs that count, oldest first: {"at": RFC 3339} and what was in `yielded`. The yield is the announced
    links, not the new ones: a list shows as many at night as at noon. Runs of the same kinds of sources are compared, so that
    neither sitemaps nor names of which each run draws others count. The search, which follows the watchlist, is flagged when
    it finds nothing for any name. The median does not follow single bad runs (its
    breakdown point is one half). A share of it is the bound, not a multiple of the spread, because the spread of a list
    of constant length is 0. One half (crawler.yield_share) is what a site with two equal lists keeps when one of them breaks;
    it is a working value, not a measured one. A flagged run does not count, or else a site that stays broken would pass
    for healthy after some runs; after crawler.yield_days without better ones the smaller yield is the usual one.
    """
    low = False
    if report.complete:
        kinds, found = report.yielded["kinds"], report.yielded["found"]
        alike = [run["found"] for run in earlier if run.get("kinds") == kinds]
        usual = median(alike) if len(alike) >= options.yield_runs_least else 0
        if found < options.yield_share * usual:
            low = True
            report.flag(
                "low_yield",
                f"{found} links to articles were found, {usual:g} are usual here (the median of {len(alike)} runs): "
                f"look at the site's lists and patterns",
            )
        searches = [run["search"] for run in earlier if "search" in run]
        usual = median(searches) if len(searches) >= options.yield_runs_least else 0
        if usual and report.yielded.get("search") == 0:
            low = True
            report.flag(
                "low_yield",
                f"the site's search found no article for any name, {usual:g} a name are usual here: look at `search`",
            )
        brought = report.collected + report.duplicates + report.gone + report.quarantined + report.forbidden_by_robots
        asked = report.found_new - report.resting
        if asked > 0 and not brought:
            report.flag("no_article", f"none of {asked} new articles could be fetched: see the errors")
    counted = [] if low or not report.complete else [{"at": report.started.isoformat(), **report.yielded}]
    report.yields = [*earlier, *counted][-options.yield_runs :]


def flag_refusals(report: CrawlReport) -> None:
    """Flag hosts that were cut, traps, and a run in which more pages were refused than came."""
    for event in report.circuits:
        if event["state"] == "cut":
            report.flag("host_cut", f"{event['host']} was left alone for the rest of the run: {event['reason']}")
    for trap in report.traps:
        what = f"addresses like {trap['pattern']}" if trap["pattern"] else "requests"
        report.flag("trap", f"{trap['count']} {what} were left out (limit: {trap['limit']}), such as {trap['example']}")
    # A few empty pages are a site's own affair; many are how it refuses.
    refused, empty = report.blocked.total(), report.blocked[EMPTY]
    if refused > max(report.collected + report.duplicates, _FEW_EMPTY if refused == empty else 0):
        reasons = ", ".join(f"{reason} ({count})" for reason, count in report.blocked.most_common(3))
        report.flag("blocked", f"{refused} pages were refused, {report.collected} came: {reasons}")


def flag_duplicates(report: CrawlReport) -> None:
    """Flag a run in which nearly all pages turned out to be known ones: a wrong rel=canonical, or addresses with noise."""
    if report.duplicates >= _FEW_DUPLICATES and report.duplicates > _MANY_DUPLICATES * report.collected:
        report.flag(
            "duplicates",
            f"{report.duplicates} pages said that they are known ones (by rel=canonical or a redirect), {report.collected} are"
            f" new: if they are not the same, set `canonical_links: false`; if they are, `rewrite` can spare them",
        )


def flag_old_browsers(report: CrawlReport, days: int, options: CrawlerSettings) -> None:
    """Flag header sets of browsers that were current so many days ago: hardly anybody uses them by now."""
    if days > options.user_agents_days:
        report.flag(
            "old_user_agents",
            f"the data of current browsers is {days} days old: update yuqing, or set crawler.bot_identity",
        )


def recent_yields(store: ObjectStore, site: str, now: datetime, options: CrawlerSettings) -> list[dict[str, Any]]:
    """The complete, unflagged runs of the last crawler.yield_days as the newest report hands them on, oldest first.

    One report is read, whatever the number of runs, and only the newest days are listed. Raises ObjectStoreError.
    """
    oldest = now - timedelta(days=options.yield_days)
    for days in sorted({1.0, min(7.0, options.yield_days), options.yield_days}):
        day = now - timedelta(days=days)
        keys = [item.key for item in store.list(f"{REPORTS}{site}/", start_after=f"{REPORTS}{site}/{day:%Y-%m-%d}")]
        for key in reversed(keys[-_UNREADABLE:]):
            try:
                yields = json.loads(store.get(key))["yields"]
                return [run for run in yields if datetime.fromisoformat(run["at"]) >= oldest and run["found"] >= 0]
            except (ValueError, KeyError, TypeError) as problem:
                log.warning("an earlier report cannot be read", key=key, reason=repr(problem))
    return []
