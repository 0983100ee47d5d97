"""The crawler's settings."""

from pathlib import Path

from pydantic import Field

from yuqing.settings.section import Section


class CrawlerSettings(Section):
    """The crawl: which sites, how much at once, how large and how long things may be."""

    sites_folders: tuple[Path, ...] = Field((), description="folders of site files, in place of the shipped ones")
    concurrent_sites: int = Field(
        16, ge=1, description="sites crawled at the same time; most of a crawl is waiting for the sites' delays"
    )
    batch_pages: int = Field(500, ge=1, description="a batch is written when it has this many pages,")
    batch_bytes: int = Field(32 * 2**20, ge=1, description="or this many bytes,")
    batch_seconds: float = Field(60, gt=0, description="or this age")
    retry_runs: int = Field(20, ge=1, description="runs in which a page or a recording may fail until it is given up,")
    retry_days: float = Field(30, gt=0, description="or days after the first failure")
    retry_rest_s: float = Field(
        # Twenty runs, each rest twice the last one and a day at most, are then spread over nearly twelve days.
        600,
        ge=0,
        description="after two such runs it rests so long, then twice as long each time, a day at most; 0: nothing rests",
    )
    seen_grace_hours: float = Field(
        24, gt=0, description="segments of seen addresses that are younger are not merged: a crawl may still write them"
    )
    seen_cache_bytes: int = Field(
        2**20, ge=8, description="merged segments from this size on are kept in cache_dir and mapped into memory"
    )
    download_timeout_s: float = Field(30, gt=0)
    retries: int = Field(
        2, ge=0, description="further tries of a request that failed or met 408, 425, 429, 5xx, a captcha or nothing"
    )
    backoff_base_s: float = Field(2, ge=0, description="a further try comes after up to this, twice this, ... seconds,")
    backoff_max_s: float = Field(60, ge=0, description="but no more than this")
    retry_after_max_s: float = Field(60, ge=0, description="a host that asks for a pause gets one up to this")
    crawl_delay_max_s: float = Field(
        # Bing, too, takes Crawl-delay for 1 to 30 seconds.
        30,
        ge=0,
        description="a Crawl-delay of robots.txt raises a site's delay up to this; 0: never",
    )
    circuit_failures: int = Field(
        8, ge=1, description="pages that fail one after the other until their host is left alone"
    )
    circuit_pause_s: float = Field(30, gt=0, description="until one of its pages is tried again")
    circuit_openings: int = Field(2, ge=0, description="such pauses a run; then the host is left to the next run")
    sitemaps: int = Field(
        50, ge=0, description="sitemaps of indexes that a run reads of a site: the newest, then undated ones at random"
    )
    searches: int = Field(
        200, ge=1, description="names that a run asks a site's search for; of more it draws so many at random"
    )
    page_bytes: int = Field(16 * 2**20, ge=1, description="larger pages are refused")
    media_bytes: int = Field(512 * 2**20, ge=1, description="larger recordings are refused")
    media_seconds: float = Field(14_400, gt=0, description="longer recordings are refused")
    media_wait_s: float = Field(30, ge=0, description="that a page waits for its recordings; then it goes on without")
    media_timeout_s: float = Field(600, gt=0, description="a whole recording")
    browsers: int = Field(2, ge=1, description="Chromium instances; 2 on 2 cores load 5.2 pages/s, 1 loads 3.1")
    browser_page_timeout_s: float = Field(30, gt=0, description="until the page's document is there")
    browser_wait_s: float = Field(15, gt=0, description="until the selector that a page is waited for exists")
    browser_step_s: float = Field(3, gt=0, description="until pressing or scrolling has added something to the page")
    browser_pages: int = Field(200, ge=1, description="a browser is replaced after so many pages,")
    browser_memory_mib: int = Field(1500, ge=100, description="or when all its processes hold more than this")
    chromium: Path = Path("/usr/bin/chromium")
    chromedriver: Path = Path("/usr/bin/chromedriver")
    stop_timeout_s: float = Field(20, gt=0, description="after SIGTERM, for the requests under way")
    bot_identity: str = Field(
        "",
        pattern=r"^([A-Za-z_-]+[\x20-\x7e]*)?$",
        description="our own name as User-Agent, such as yuqing/0.1 (+https://example.cn/bot); empty: as a browser",
    )
    user_agents_days: int = Field(180, ge=1, description="warn when the data of current browsers is older")
    proxy_failures: int = Field(3, ge=1, description="failures in a row after which a proxy is benched")
    proxy_bench_s: float = Field(30, gt=0, description="for so long, times the number of its benchings in a row")
    yield_runs: int = Field(50, ge=1, description="complete runs of a site whose median a run is compared with,")
    yield_runs_least: int = Field(5, ge=2, description="from so many on,")
    yield_days: float = Field(14, gt=0, description="none older than this")
    yield_share: float = Field(
        0.5, ge=0, le=1, description="a run that finds fewer links to articles than this share of the median is flagged"
    )
