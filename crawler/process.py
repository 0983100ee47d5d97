"""One process that crawls several sites at the same time, each with a Scrapy crawler of its own."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scrapy import Spider
from scrapy.crawler import AsyncCrawlerProcess
from scrapy.settings.default_settings import RETRY_EXCEPTIONS

from crawler.batches import BatchWriter
from crawler.browser import BrowserPool
from crawler.canonical import site_address, url_hash
from crawler.history import conclude, recent_yields
from crawler.media.folders import remove_abandoned
from crawler.readiness import LeftOut, ready
from crawler.report import STOPPED, CrawlReport
from crawler.retries import Retries
from crawler.seen import SeenUrls, load
from crawler.seen.cache import SegmentCache
from crawler.site_crawler import SiteCrawler
from crawler.spiders.base import SiteSpider
from crawler.user_agents import robots_name
from yuqing import watchlist
from yuqing.contracts import now
from yuqing.errors import YuqingError
from yuqing.identity import new_ulid
from yuqing.objects import ObjectStore, ObjectStoreAway
from yuqing.settings import CrawlerSettings, Settings
from yuqing.sites import Site
from yuqing.telemetry import get_logger

log = get_logger(__name__)
_LOADING = 4  # sites whose seen sets are read at the same time, each over several connections


def crawl(
    sites: Sequence[Site],
    store: ObjectStore,
    settings: Settings,
    *,
    max_pages: int | None = None,
    watch: Callable[[Sequence[CrawlReport]], None] | None = None,
    spider: type[Spider] = SiteSpider,
    arguments: Mapping[str, Any] | None = None,
    leave_out: bool = False,
    broken: Sequence[LeftOut] = (),
) -> list[CrawlReport]:
    """Crawl the sites and return their reports; call it once a process and in its main thread.

    `watch` is called twice a second with the reports of the sites that have begun. SIGTERM and SIGINT end the crawl
    early with everything flushed; a second one at once. `spider` is made with `arguments`. Raises YuqingError before
    anything is fetched when S3 does not answer, and, unless such sites are to be left out, when a browser is missing that a
    site needs, or a variable that its file names; afterwards when S3 went away. A site of which S3 holds something damaged
    is always left out. `broken` are sites that nobody could read. The report of a site that is left out says so.
    """
    fit, unfit = ready(sites, settings.crawler, leave_out=leave_out)
    remove_abandoned()
    store.ensure_bucket()
    names = _names(store) if any(site.search for site in fit) else []
    return _Crawl(fit, [*broken, *unfit], store, settings, names, max_pages, watch, spider, arguments or {}).run()


def _names(store: ObjectStore) -> list[str]:
    """The names and aliases of the watchlist, each once."""
    return list(dict.fromkeys(name for company in watchlist.load(store) for name in company.names))


class _Crawl:
    """The state of one run of the process."""

    def __init__(
        self,
        sites: Sequence[Site],
        left_out: Sequence[LeftOut],
        store: ObjectStore,
        settings: Settings,
        names: Sequence[str],
        max_pages: int | None,
        watch: Callable[[Sequence[CrawlReport]], None] | None,
        spider: type[Spider],
        arguments: Mapping[str, Any],
    ) -> None:
        self.options = settings.crawler
        self.store = store
        self.names = names
        self.max_pages = max_pages
        self.watch = watch
        self.spider = spider
        self.arguments = arguments
        self.reports: list[CrawlReport] = []
        self.stopping = False
        self.crawlers: list[SiteCrawler] = []
        self.under_way: set[SiteCrawler] = set()
        self.problems: list[BaseException] = []
        logging.disable(logging.INFO)  # Scrapy sets its loggers to DEBUG and lists its versions
        self.process = AsyncCrawlerProcess(_PROCESS_SETTINGS)
        logging.disable(logging.NOTSET)
        for name in ("scrapy", "twisted", "selenium", "asyncio"):
            logging.getLogger(name).setLevel(logging.WARNING)
        self.sites = sites
        self.left_out = left_out
        self.cache = SegmentCache.from_settings(settings)
        self.loading = asyncio.Semaphore(_LOADING)
        rules = [rule for site in sites for rule in site.browser]
        collect = any(rule.network_quiet for rule in rules)
        self.browsers = BrowserPool(self.options, collect_requests=collect) if rules else None

    def run(self) -> list[CrawlReport]:
        # Signals are ours, not Scrapy's: its graceful stop has no time limit.
        loop = asyncio.get_event_loop()  # the one that AsyncCrawlerProcess has set
        task = loop.create_task(self._main())
        self.process.start(stop_after_crawl=False, install_signal_handlers=False)
        if task.done() and not task.cancelled() and (problem := task.exception()):
            raise problem
        for crawler in self.crawlers:
            if crawler.batches.failure:
                raise crawler.batches.failure
        if self.problems:
            raise self.problems[0]
        return self.reports

    async def _main(self) -> None:
        loop = asyncio.get_running_loop()
        for signal_ in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_, self._on_signal)
        watcher = loop.create_task(self._watch())
        gate = asyncio.Semaphore(self.options.concurrent_sites)
        try:
            for name, reason in self.left_out:
                await self._leave_out(CrawlReport(run_id=new_ulid(), site=name, started=now()), reason, "left_out")
            await asyncio.gather(*(self._one(gate, site) for site in self.sites))
        finally:
            watcher.cancel()
            if self.watch:
                self.watch(self.reports)
            if self.browsers:
                await self.browsers.close()
            self._stop_reactor()

    async def _one(self, gate: asyncio.Semaphore, site: Site) -> None:
        async with gate:
            if self.stopping:
                return
            report = CrawlReport(run_id=new_ulid(), site=site.name, started=now())
            try:
                async with self.loading:
                    seen, retries = await asyncio.to_thread(self._known, site)
            except ObjectStoreAway as problem:
                self.problems.append(problem)
                return
            except Exception as problem:
                log.exception("what is known of a site cannot be read", site=site.name)
                await self._leave_out(report, problem, "unreadable")
                return
            if self.stopping:  # meanwhile; from here to the crawl's beginning nothing is waited for
                return
            batches = BatchWriter(
                self.store,
                site.name,
                report,
                retries,
                seen,
                pages=self.options.batch_pages,
                seconds=self.options.batch_seconds,
                size=self.options.batch_bytes,
            )
            crawler = SiteCrawler(
                self.spider,
                scrapy_settings(site, self.options),
                site=site,
                settings=self.options,
                store=self.store,
                seen=seen,
                batches=batches,
                report=report,
                browsers=self.browsers,
                names=self.names,
                max_pages=self.max_pages,
            )
            self.reports.append(report)
            self.crawlers.append(crawler)
            self.under_way.add(crawler)
            try:
                await self.process.crawl(crawler, **self.arguments)
                if batches.failure is None:
                    await asyncio.to_thread(conclude, crawler)
            except YuqingError as problem:
                batches.failure = batches.failure or problem
            except Exception as problem:
                log.exception("the crawl of a site broke off", site=site.name)
                self.problems.append(problem)
            finally:
                self.under_way.discard(crawler)
            log.info(
                "crawled",
                site=site.name,
                run_id=report.run_id,
                reason=report.reason,
                found=report.found,
                new=report.new_articles,
                errors=report.error_count,
            )

    def _known(self, site: Site) -> tuple[SeenUrls, Retries]:
        """What earlier runs left of a site; read when its turn comes, so that it is not older than its crawl."""
        seen = load(self.store, site, self.cache)
        retries = Retries(
            site.name,
            address=lambda url: url_hash(site_address(site, url)),
            settled=seen.__contains__,
            runs=self.options.retry_runs,
            days=self.options.retry_days,
            rest_s=self.options.retry_rest_s,
        )
        retries.load(self.store)
        return seen, retries

    async def _leave_out(self, report: CrawlReport, problem: Exception, kind: str) -> None:
        """Report a site that cannot be crawled; the others go on."""
        reason = (str(problem) or type(problem).__name__).replace("\n", "; ")
        report.error("", reason)
        report.flag(kind, f"the site was left out: {reason}")
        report.reason, report.finished = kind, now()
        log.warning(report.flags[-1]["message"], site=report.site, run_id=report.run_id, kind=kind)
        self.reports.append(report)
        try:
            # The next run is compared with those before this one.
            report.yields = await asyncio.to_thread(
                recent_yields, self.store, report.site, report.started, self.options
            )
            await asyncio.to_thread(report.write, self.store)
        except YuqingError as away:
            self.problems.append(away)

    def _on_signal(self) -> None:
        if self.stopping:
            os._exit(130)  # as kill -9: the open batch is left to the next run, the browsers die with us
        self.stopping = True
        log.info("stopping: what is under way is finished, what is collected is written")
        self._stopper = asyncio.get_running_loop().create_task(self._stop())

    async def _stop(self) -> None:
        try:
            async with asyncio.timeout(self.options.stop_timeout_s):
                await asyncio.gather(*map(self._end, self.crawlers))
        except TimeoutError:
            log.warning("requests under way did not end in time; they are left to the next run")
            await asyncio.gather(*(self._leave(crawler) for crawler in self.crawlers))
            if self.browsers:
                self.browsers.kill()
            self._stop_reactor()

    async def _end(self, crawler: SiteCrawler) -> None:
        """Stop a crawl; one that is still opening, which Scrapy's own stop would pass over, as soon as it has begun."""
        while crawler in self.under_way:
            if crawler.engine and crawler.engine.running:
                await crawler.engine.stop_async()
            await asyncio.sleep(0.05)

    async def _leave(self, crawler: SiteCrawler) -> None:
        """Write what a crawl has that will not end by itself."""
        if crawler.report.finished is None and crawler.batches.failure is None:
            with contextlib.suppress(YuqingError):  # kept in batches.failure, with which the command ends
                await crawler.batches.flush()
                crawler.report.reason, crawler.report.finished = STOPPED, now()
                await asyncio.to_thread(conclude, crawler)

    def _stop_reactor(self) -> None:
        from twisted.internet import reactor

        with contextlib.suppress(RuntimeError):  # already stopping
            reactor.stop()  # type: ignore[misc]

    async def _watch(self) -> None:
        while self.watch:
            self.watch(self.reports)
            await asyncio.sleep(0.5)


_PROCESS_SETTINGS: dict[str, Any] = {
    "TELNETCONSOLE_ENABLED": False,
    "REMOTE_CONTROL_ENABLED": False,
    "MEMUSAGE_ENABLED": False,
    "LOG_ENABLED": False,
    "LOG_INSTALL_ROOT_HANDLER": False,
}


def scrapy_settings(site: Site, options: CrawlerSettings) -> dict[str, Any]:
    """Scrapy's settings for one site."""
    handler = "crawler.download.DownloadHandler"
    return {
        **_PROCESS_SETTINGS,
        "STATS_DUMP": False,
        "LOGSTATS_INTERVAL": 0,
        # Scrapy starts as many tasks for each response, whether it needs them or not; its default, 100, costs more CPU
        # time than reading the page. Ours give one item.
        "CONCURRENT_ITEMS": 1,
        "CONCURRENT_REQUESTS": max(16, 2 * site.concurrency),
        "CONCURRENT_REQUESTS_PER_DOMAIN": site.concurrency,
        "DOWNLOADER": "crawler.downloader.ExactDownloader",
        "DOWNLOAD_DELAY": site.delay,
        "DOWNLOAD_TIMEOUT": options.download_timeout_s,
        "DOWNLOAD_MAXSIZE": options.page_bytes,
        "DOWNLOAD_WARNSIZE": 0,
        "DOWNLOAD_HANDLERS": {"http": handler, "https": handler, "file": None, "ftp": None, "s3": None, "data": None},
        # Ours keeps 8 bytes an address, by canonical form, for lists and articles alike.
        "DUPEFILTER_CLASS": "scrapy.dupefilters.BaseDupeFilter",
        "ROBOTSTXT_OBEY": site.obey_robots,
        "ROBOTSTXT_USER_AGENT": robots_name(options),
        "REFERRER_POLICY": "no-referrer",  # UserAgentMiddleware sets it, as a browser does on redirects
        "RETRY_TIMES": options.retries,
        "RETRY_EXCEPTIONS": [*RETRY_EXCEPTIONS, "crawler.browser.BrowserFailed"],
        "SCHEDULER": "crawler.scheduler.PatientScheduler",
        "RETRY_GIVE_UP_LOG_LEVEL": "DEBUG",  # the report names the failure
        "DOWNLOADER_MIDDLEWARES": {
            "crawler.middlewares.guard.GuardMiddleware": 40,
            "scrapy.downloadermiddlewares.offsite.OffsiteMiddleware": None,
            "crawler.middlewares.seen_urls.SeenUrlsDownloaderMiddleware": 60,
            "scrapy.downloadermiddlewares.robotstxt.RobotsTxtMiddleware": None,
            "crawler.middlewares.robots.RobotsMiddleware": 100,
            "scrapy.downloadermiddlewares.defaultheaders.DefaultHeadersMiddleware": None,
            "scrapy.downloadermiddlewares.useragent.UserAgentMiddleware": None,
            "crawler.middlewares.user_agent.UserAgentMiddleware": 400,
            "scrapy.downloadermiddlewares.retry.RetryMiddleware": None,
            "crawler.middlewares.retry.RetryMiddleware": 550,
            "crawler.middlewares.circuit_breaker.CircuitBreakerMiddleware": 570,
            "scrapy.downloadermiddlewares.cookies.CookiesMiddleware": None,
            "crawler.middlewares.cookies.SiteCookiesMiddleware": 700,
            "crawler.middlewares.proxies.ProxyMiddleware": 740,
            # It would take a proxy from the environment, past the check of addresses.
            "scrapy.downloadermiddlewares.httpproxy.HttpProxyMiddleware": None,
            "crawler.middlewares.browser.BrowserMiddleware": 760,
        },
        "URLLENGTH_LIMIT": 0,  # LimitsMiddleware has one, and says what it left out
        "SPIDER_MIDDLEWARES": {
            "crawler.middlewares.limits.LimitsMiddleware": 890,  # once the depth is known
            "crawler.middlewares.seen_urls.SeenUrlsSpiderMiddleware": 950,
        },
        "EXTENSIONS": {"crawler.report.ReportExtension": 10, "crawler.retries.RetriesExtension": 20},
        "ITEM_PIPELINES": {"crawler.media.pipeline.MediaPipeline": 100, "crawler.batches.BatchPipeline": 200},
    }
