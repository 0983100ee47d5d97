"""A small pool of headless Chromiums, driven from threads beside the event loop."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from crawler.user_agents import Profile
from yuqing.errors import YuqingError
from yuqing.settings import CrawlerSettings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

_GRACE_S = 10  # beyond a page's own timeouts, before its browser counts as hung
_START_TIMEOUT_S = 60
# --no-sandbox and --disable-dev-shm-usage: containers run as root and with 64 MiB of /dev/shm. The rest keeps Chromium
# from loading anything that no page asked for.
_ARGUMENTS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--mute-audio",
    "--blink-settings=imagesEnabled=false",
    "--window-size=1366,900",
)
# The parent of the driver is this process, the parent of Chromium is the driver. One that died before the kernel was told
# to watch it has left us with another parent: then the program does not start at all.
_DYING_WITH_PARENT = """#!/bin/sh
parent="${{BROWSER_DRIVER_PID:-{crawler}}}"
export BROWSER_DRIVER_PID=$$
exec setpriv --pdeathsig KILL /bin/sh -c '[ "$PPID" = "$1" ] || exit 1; shift; exec "$@"' sh "$parent" "{program}" "$@"
"""
_STATUS = "const e = performance.getEntriesByType('navigation')[0]; return e ? e.responseStatus : 0"


class BrowserMissing(YuqingError):
    """A site needs a browser and there is none."""


class BrowserFailed(Exception):
    """A page could not be loaded: the network, a time limit, or the browser itself. The request is tried again."""


class BrowserCrashed(BrowserFailed):
    """The browser died or hung; another one takes its place."""


@dataclass(frozen=True)
class BrowserPage:
    """A page as it stands after its script ran: final address, HTTP status, HTML."""

    url: str
    status: int
    html: str


def check_browser(settings: CrawlerSettings) -> None:
    """Raises BrowserMissing, with the cure, when Chromium or its driver is not installed."""
    for name, path in (("chromium", settings.chromium), ("chromedriver", settings.chromedriver)):
        if not os.access(path, os.X_OK):
            raise BrowserMissing(
                f"{path} is not there, and a site to crawl has pages that need a browser",
                cure=f"apt-get install chromium chromium-driver, or set crawler.{name} to where it is",
            )


class Browser:
    """One Chromium and its driver. Its methods block: call them from the pool's threads."""

    def __init__(self, settings: CrawlerSettings, folder: Path) -> None:
        self._settings = settings
        self._folder = folder
        self._driver: Chrome | None = None
        self._profile: Profile | None = None
        self._pid = 0

    def load(self, url: str, wait_for: str, profile: Profile | None) -> BrowserPage:
        """Load a page and wait for the selector, or for the load event when it is empty. Raises BrowserFailed."""
        from selenium.common.exceptions import TimeoutException, WebDriverException
        from selenium.webdriver.support.wait import WebDriverWait

        try:
            driver = self._driver or self._start()
            if profile and profile != self._profile:
                self._pose_as(driver, profile)
            driver.get(url)
            status = int(driver.execute_script(_STATUS) or 200)
            if status < 400:
                WebDriverWait(driver, self._settings.browser_wait_s, poll_frequency=0.05).until(_complete(wait_for))
            return BrowserPage(driver.current_url, status, driver.page_source)
        except TimeoutException as problem:
            what = f"{wait_for!r} did not appear" if wait_for else "it did not finish loading"
            raise BrowserFailed(f"{url}: {what} in time") from problem
        except WebDriverException as problem:
            reason = (problem.msg or "").splitlines()[0] if problem.msg else type(problem).__name__
            if "net::ERR_" in reason:
                raise BrowserFailed(f"{url}: {reason}") from problem
            raise BrowserCrashed(f"the browser failed on {url}: {reason}") from problem
        except BrowserFailed:
            raise
        except Exception as problem:  # the driver's own process is gone: urllib3 and socket errors
            raise BrowserCrashed(f"the browser failed on {url}: {problem!r}") from problem

    def quit(self) -> None:
        """End Chromium and its driver, by force when they do not answer."""
        driver, self._driver = self._driver, None
        if driver is not None:
            with contextlib.suppress(Exception):
                driver.quit()
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End the driver's whole process group at once; safe from any thread."""
        pid, self._pid = self._pid, 0
        if pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(pid, 9)

    def _start(self) -> Chrome:
        from selenium.webdriver import Chrome, ChromeOptions
        from selenium.webdriver.chrome.service import Service
        from selenium.webdriver.remote.remote_connection import RemoteConnection

        self._folder.mkdir(parents=True, exist_ok=True)
        options = ChromeOptions()
        options.binary_location = str(self._dying_with_parent(self._settings.chromium))
        options.page_load_strategy = "eager"
        for argument in (*_ARGUMENTS, f"--user-data-dir={self._folder / 'profile'}"):
            options.add_argument(argument)
        service = Service(
            str(self._dying_with_parent(self._settings.chromedriver)),
            env={**os.environ, "TMPDIR": str(self._folder)},
            popen_kw={"start_new_session": True},  # a process group of its own, to be killed as a whole
        )
        driver = Chrome(options=options, service=service)
        self._pid = service.process.pid if service.process else 0
        if isinstance(driver.command_executor, RemoteConnection):
            # A driver that does not answer at all; the default of two minutes is longer than any page may take.
            wait = self._settings.browser_page_timeout_s + self._settings.browser_wait_s
            driver.command_executor.client_config.timeout = wait
        driver.set_page_load_timeout(self._settings.browser_page_timeout_s)
        self._driver, self._profile = driver, None
        return driver

    def _dying_with_parent(self, program: Path) -> Path:
        """A script that starts the program so that the kernel kills it when its parent dies, however that dies."""
        script = self._folder / program.name
        script.write_text(_DYING_WITH_PARENT.format(crawler=os.getpid(), program=program))
        script.chmod(0o700)
        return script

    def _pose_as(self, driver: Chrome, profile: Profile) -> None:
        """Give Chromium the profile's name; its own says HeadlessChrome."""
        headers = profile.headers_by_name
        override: dict[str, Any] = {"userAgent": profile.user_agent}
        if "Sec-CH-UA" in headers:  # without it, our own name: Chromium then sends no client hints
            override |= {
                "acceptLanguage": headers["Accept-Language"],
                "platform": {"Windows": "Win32", "macOS": "MacIntel"}.get(profile.platform, profile.platform),
                "userAgentMetadata": {
                    "brands": _brands(headers["Sec-CH-UA"]),
                    "platform": profile.platform,
                    "platformVersion": "",
                    "architecture": "x86",
                    "model": "",
                    "mobile": False,
                },
            }
        driver.execute_cdp_cmd("Network.setUserAgentOverride", override)
        self._profile = profile


class BrowserPool:
    """Lends browsers to pages, starts them when first needed and replaces those that crash or hang."""

    def __init__(self, settings: CrawlerSettings) -> None:
        """Raises BrowserMissing when the folder for profiles cannot be had."""
        self._settings = settings
        self._folder = _folder() / str(os.getpid())
        self._made = 0
        # Twice as many threads as browsers: one that hangs keeps its thread until its driver is dead.
        self._threads = ThreadPoolExecutor(2 * settings.browsers, thread_name_prefix="browser")
        self._free: asyncio.Queue[Browser] = asyncio.Queue()
        self._all: set[Browser] = set()
        for _ in range(settings.browsers):
            self._free.put_nowait(self._make())

    async def load(self, url: str, *, wait_for: str, profile: Profile | None) -> BrowserPage:
        """The page after its script ran. Waits for a free browser. Raises BrowserFailed."""
        browser = await self._free.get()
        limit = self._settings.browser_page_timeout_s + self._settings.browser_wait_s + _GRACE_S + _START_TIMEOUT_S
        try:
            call = asyncio.get_running_loop().run_in_executor(self._threads, browser.load, url, wait_for, profile)
            return await asyncio.wait_for(call, limit)
        except (BrowserCrashed, TimeoutError) as problem:
            browser.kill()
            self._all.discard(browser)
            self._threads.submit(browser.quit)
            browser = self._make()
            raise BrowserCrashed(str(problem) or f"the browser hung on {url}") from problem
        finally:
            self._free.put_nowait(browser)

    async def close(self) -> None:
        """Quit all browsers."""
        loop = asyncio.get_running_loop()
        await asyncio.gather(*(loop.run_in_executor(self._threads, browser.quit) for browser in self._all))
        self._threads.shutdown(wait=False)
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End all browsers at once; for a process that is about to end."""
        for browser in self._all:
            browser.kill()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _make(self) -> Browser:
        self._made += 1
        browser = Browser(self._settings, self._folder / str(self._made))
        self._all.add(browser)
        return browser


def _complete(wait_for: str) -> Callable[[Chrome], Any]:
    if wait_for:
        return lambda driver: driver.find_elements("css selector", wait_for)
    return lambda driver: driver.execute_script("return document.readyState === 'complete'")


def _brands(header: str) -> list[dict[str, str]]:
    """The brands of a Sec-CH-UA header as the DevTools protocol wants them."""
    parts = (item.strip().partition(";v=") for item in header.split(", ") if item)
    return [{"brand": name.strip('"'), "version": version.strip('"')} for name, _, version in parts]


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
