"""A run's yield beside the site's own earlier ones."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from crawler.blocked import EMPTY
from crawler.history import flag_duplicates, flag_old_browsers, flag_refusals, judge, recent_yields
from crawler.report import REPORTS, CrawlReport
from crawler.yields import Announced
from tests.crawler.conftest import Crawl, WebServer
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore
from yuqing.settings import CrawlerSettings
from yuqing.sites import Search, Site

OPTIONS = CrawlerSettings(yield_runs=10)
START = datetime(2026, 5, 1, tzinfo=UTC)


SITE = Site(
    name="local",
    title="l",
    start_urls=("https://a.cn/",),
    sitemaps=("https://a.cn/map.xml",),
    search=(Search(url="https://a.cn/?q={name}"),),
    articles=("https://",),
)


def run(found: int, *, number: int = 0, complete: bool = True, **counts: int) -> CrawlReport:
    started = START + timedelta(minutes=10 * number)
    report = CrawlReport(new_ulid(), "local", started, complete=complete, found=found, **counts)  # type: ignore[arg-type]
    report.yielded = {"kinds": ["site"], "found": found}
    return report


def kinds(report: CrawlReport) -> list[str]:
    return [flag["kind"] for flag in report.flags]


def series(counts: list[int]) -> list[list[str]]:
    """The flags of runs, each of which hands its yields on to the next."""
    earlier: list[dict[str, Any]] = []
    flags = []
    for number, found in enumerate(counts):
        report = run(found, number=number, seen_skipped=found)
        judge(report, earlier, OPTIONS)
        earlier = report.yields
        flags.append(kinds(report))
    return flags


def test_a_run_below_half_of_the_sites_median_is_flagged() -> None:
    assert series([20, 22, 18, 20, 3]) == [[]] * 5, "four runs are too few to compare with"
    assert series([20, 22, 18, 20, 20, 10]) == [[]] * 6, "half is not below half"
    assert series([20, 22, 18, 20, 20, 9, 21]) == [*[[]] * 5, ["low_yield"], []]
    assert series([20, 20, 0, 20, 20, 1000, 9])[-1] == ["low_yield"], "single odd runs do not move the median"
    assert series([0] * 8) == [[]] * 8, "nothing is usual here"


def test_runs_are_compared_with_their_like() -> None:
    """A sitemap or a search of which each run draws another part says nothing of the rest."""
    earlier: list[dict[str, Any]] = []

    def flags(lists: int, sitemap: int, search: int, *, names: int = 10, sampled: bool = False) -> list[str]:
        nonlocal earlier
        announced = Announced(names, {"sitemap"} if sampled else set())
        for kind, count in (("search", search), ("site", lists), ("sitemap", sitemap)):
            for number in range(count):
                announced.add(kind, number)  # the same articles everywhere, by whichever source came first
        report = run(0)
        report.yielded = announced.of(SITE)
        judge(report, earlier, OPTIONS)
        earlier = report.yields
        return [flag["message"] for flag in report.flags]

    for search in (80, 100, 3, 70, 90, 60):
        assert flags(20, 10, search) == []
    assert "9 links" in flags(9, 5, 100)[0]
    assert flags(20, 200, 20, sampled=True) == [], "the first of its kind"
    for sitemap in (90, 1, 70, 1, 80, 1):
        assert flags(20, sitemap, 20, sampled=True) == []
    assert "9 links" in flags(9, 50, 20, sampled=True)[0]
    assert flags(20, 0, 20) == []
    assert flags(20, 0, 0, names=0) == [], "nobody is watched"
    assert "the site's search found no article" in flags(20, 10, 0)[0]
    assert [run["kinds"] for run in earlier] == [["site", "sitemap"]] * 1 + [["site"]] * 7 + [["site", "sitemap"]] * 2


def test_reports_of_earlier_versions_are_not_compared() -> None:
    report = run(1, seen_skipped=1)
    judge(report, [{"at": START.isoformat(), "found": 20}] * 6, OPTIONS)
    assert kinds(report) == []


def test_a_site_that_stays_broken_stays_flagged() -> None:
    assert series([20] * 5 + [2] * 40)[5:] == [["low_yield"]] * 40


def test_interrupted_runs_are_neither_judged_nor_counted() -> None:
    earlier: list[dict[str, Any]] = [{"at": START.isoformat(), "found": 20, "kinds": ["site"]}] * 6
    report = run(1, complete=False)
    judge(report, earlier, OPTIONS)
    assert (kinds(report), report.yields) == ([], earlier)


def test_new_articles_of_which_none_could_be_fetched() -> None:
    for counts, flags in (
        ({"seen_skipped": 17, "error_count": 3}, ["no_article"]),
        ({"seen_skipped": 20, "error_count": 3}, []),
        ({"seen_skipped": 17, "collected": 1}, []),
        ({"seen_skipped": 17, "gone": 3}, []),
        ({"seen_skipped": 17, "quarantined": 3}, []),
    ):
        report = run(20, **counts)
        judge(report, [], OPTIONS)
        assert kinds(report) == flags


def test_a_report_holds_nothing_that_a_database_or_a_terminal_refuses() -> None:
    report = run(1)
    report.error("http://a.cn/\x00\ud800", "bad\x1b[31m" + "x" * 2000)
    assert report.errors[0]["url"] == "http://a.cn/??"
    assert len(report.errors[0]["reason"]) == 500
    json.dumps(report.as_json(), ensure_ascii=False).encode()


def test_runs_in_which_more_pages_were_refused_than_came_are_flagged() -> None:
    for collected, blocked, flags in (
        (0, {"HTTP 403": 1}, ["blocked"]),
        (1, {"HTTP 403": 1}, []),
        (0, {EMPTY: 10}, []),
        (0, {EMPTY: 11}, ["blocked"]),
        (2, {EMPTY: 2, "HTTP 403": 1}, ["blocked"]),
    ):
        report = run(20, collected=collected)
        report.blocked.update(blocked)
        flag_refusals(report)
        assert kinds(report) == flags


def test_runs_of_nothing_but_known_pages_are_flagged() -> None:
    for collected, duplicates, flags in ((1, 19, ["duplicates"]), (20, 40, []), (0, 9, []), (0, 10, ["duplicates"])):
        report = run(20, collected=collected, duplicates=duplicates)
        flag_duplicates(report)
        assert kinds(report) == flags


def test_old_data_of_browsers_are_flagged() -> None:
    for days, flags in ((180, []), (181, ["old_user_agents"])):
        report = run(1)
        flag_old_browsers(report, days, CrawlerSettings())
        assert kinds(report) == flags


def stored(store: ObjectStore, days_ago: float, now: datetime, found: list[int], *, site: str = "local") -> str:
    at = now - timedelta(days=days_ago)
    report = CrawlReport(new_ulid(), site, at, at)
    report.yields = [{"at": at.isoformat(), "found": count, "kinds": ["site"]} for count in found]
    return report.write(store)


@pytest.mark.service
def test_the_newest_report_hands_the_yields_on(store: ObjectStore) -> None:
    store.ensure_bucket()
    now = datetime.now(UTC)

    def found() -> list[int]:
        return [item["found"] for item in recent_yields(store, "local", now, CrawlerSettings())]

    assert found() == []
    stored(store, 400, now, [1])
    assert found() == [], "older than crawler.yield_days"
    stored(store, 10, now, [2, 3])
    stored(store, 0, now, [9], site="local-2")
    assert found() == [2, 3]
    stored(store, 3, now, [4])
    key = stored(store, 0, now, [5])
    assert key == f"{REPORTS}local/{now:%Y-%m-%d}/{key.rsplit('/', 1)[1]}"
    assert found() == [5]
    store.put(f"{REPORTS}local/{now:%Y-%m-%d}/{new_ulid()}.json", b"{broken")
    assert found() == [5]
    report = CrawlReport(new_ulid(), "local", now)
    days = [(now - timedelta(days=days)).isoformat() for days in (20, 15, 13)]
    report.yields = [{"at": day, "found": number} for number, day in enumerate(days)]
    report.write(store)
    assert found() == [2], "a site whose better days are crawler.yield_days ago is measured anew"


@pytest.mark.service
def test_a_crawl_tells_that_a_list_has_dried_up(crawl: Crawl, web: WebServer) -> None:
    now = datetime.now(UTC)
    stored(crawl.store, 0.1, now, [20] * 6)
    for number in (1, 2, 3):
        web.article(f"/a/{number}")
    web.hub(["/a/1", "/a/2", "/a/3", "/a/3?utm_source=x"])
    crawl.define(web.site())
    totals = crawl.run("local", "--max-pages", "1")
    assert totals["flags"] == []
    totals = crawl.run()
    (site,) = totals["sites"]
    assert (site["found"], site["complete"]) == (3, True)
    assert [(flag["site"], flag["kind"]) for flag in totals["flags"]] == [("local", "low_yield")]
    assert "3 links" in site["flags"][0]["message"]
    reports = [json.loads(crawl.store.get(item.key)) for item in crawl.store.list(REPORTS + "local/")]
    assert [report["complete"] for report in reports] == [False, False, True]
    assert [len(report["yields"]) for report in reports] == [6, 6, 6], "neither limited nor flagged runs count"
    assert reports[-1] == site
