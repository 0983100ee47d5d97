"""A small pool of headless Chromiums, driven from threads beside the event loop."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from crawler.browser.chromium import Browser, BrowserMissing
from crawler.browser.page import BrowserCrashed, BrowserPage, PageLoad, time_limit
from yuqing.settings import CrawlerSettings

_GRACE_S = 10  # beyond a page's own timeouts, before its browser counts as hung
_START_TIMEOUT_S = 60


class BrowserPool:
    """Lends browsers to pages, starts them when first needed, and replaces those that crash, hang or are worn out."""

    def __init__(self, settings: CrawlerSettings, *, collect_requests: bool = False) -> None:
        """`collect_requests`: some page will be waited for by network_quiet. Raises BrowserMissing without a folder."""
        self._settings = settings
        self._collect_requests = collect_requests
        self._folder = _folder() / str(os.getpid())
        self._made = 0
        # Twice as many threads as browsers: one that hangs keeps its thread until its driver is dead.
        self._threads = ThreadPoolExecutor(2 * settings.browsers, thread_name_prefix="browser")
        self._all: set[Browser] = set()
        self._free = [self._make() for _ in range(settings.browsers)]
        self._slots = asyncio.Semaphore(settings.browsers)
        self._waiting = 0
        self._closing: set[asyncio.Task[None]] = set()

    async def load(self, load: PageLoad) -> BrowserPage:
        """The page after its script ran. Waits for a free browser. Raises BrowserFailed or RefusedAddress."""
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            browser = await self._take(load.route.egress.allow_private)
            try:
                return await self._load(browser, load)
            except (BrowserCrashed, TimeoutError, asyncio.CancelledError) as problem:
                # Its thread goes on until its driver is dead.
                browser.kill()
                self._retire(browser)
                browser = self._make()
                if isinstance(problem, TimeoutError):
                    raise BrowserCrashed(f"the browser hung on {load.url}") from problem
                raise
            finally:
                self._free.append(browser)
        finally:
            self._slots.release()

    async def close(self) -> None:
        """Quit all browsers."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, browser.quit) for browser in self._all))
        await asyncio.gather(*(browser.proxy.close() for browser in self._all))
        self._threads.shutdown(wait=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End all browsers at once; for a process that is about to end."""
        for browser in self._all:
            browser.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _take(self, allow_private: bool) -> Browser:
        """A free browser of this policy on private addresses, if need be in another one's place."""
        fit = [browser for browser in self._free if browser.allow_private in (allow_private, None)]
        # One that runs already before one that would have to be started.
        browser = max(fit or self._free, key=lambda browser: browser.allow_private is not None)
        self._free.remove(browser)
        if not fit or browser.worn:
            self._retire(browser)
            browser = self._make()
        if browser.allow_private is None:
            try:
                await browser.proxy.start()
            except BaseException as problem:
                self._free.append(browser)
                if isinstance(problem, OSError):
                    raise BrowserCrashed(f"the browser's proxy cannot listen: {problem}") from problem
                raise
            browser.allow_private = allow_private
        return browser

    async def _load(self, browser: Browser, load: PageLoad) -> BrowserPage:
        limit = (
            self._settings.browser_page_timeout_s + time_limit(load.rule, self._settings) + _GRACE_S + _START_TIMEOUT_S
        )
        browser.proxy.take(load.route)
        call = asyncio.get_running_loop().run_in_executor(self._threads, browser.load, load, lambda: not self._waiting)
        return await asyncio.wait_for(call, limit)

    def _make(self) -> Browser:
        self._made += 1
        browser = Browser(self._settings, self._folder / str(self._made), collect_requests=self._collect_requests)
        self._all.add(browser)
        return browser

    def _retire(self, browser: Browser) -> None:
        self._all.discard(browser)
        self._threads.submit(browser.quit)
        closing = asyncio.get_running_loop().create_task(browser.proxy.close())
        self._closing.add(closing)
        closing.add_done_callback(self._closing.discard)


def _folder() -> Path:
    """The folder of all crawls' browsers, swept of what killed crawls left; their browsers died with them.

    In the system's temporary folder, not in the data folder: Chromium makes a socket there, whose path must stay under
    108 characters.
    """
    folder = Path(tempfile.gettempdir()) / f"yuqing-browsers-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.getuid():
        raise BrowserMissing(f"{folder} belongs to somebody else", cure="set TMPDIR to a folder of your own")
    for left in folder.glob("[0-9]*"):
        if not Path("/proc", left.name).exists():
            shutil.rmtree(left, ignore_errors=True)
    return folder
