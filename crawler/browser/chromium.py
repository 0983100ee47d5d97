"""One headless Chromium behind its filtering proxy, driven by Selenium."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from crawler.browser import processes
from crawler.browser.headers import Interception
from crawler.browser.page import BrowserCrashed, BrowserFailed, BrowserPage, PageLoad, ProxyFailed, network_events, read
from crawler.egress import RefusedAddress
from crawler.filtering_proxy import FilteringProxy, UpstreamFailed
from crawler.user_agents import Profile
from yuqing.errors import YuqingError
from yuqing.settings import CrawlerSettings

if TYPE_CHECKING:
    from selenium.webdriver import Chrome
    from selenium.webdriver.chrome.service import Service

_ARGUMENTS = (
    "--headless=new",
    # Containers run as root and with 64 MiB of /dev/shm.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-gpu",
    # Nothing is loaded that no page asked for,
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--no-pings",
    # nothing that has no text,
    "--mute-audio",
    "--autoplay-policy=user-gesture-required",
    "--disable-remote-fonts",
    # and nothing past the proxy: it may not be left out even for loopback addresses, names are resolved by it alone, and
    # UDP (QUIC, WebRTC) does not pass it.
    "--proxy-bypass-list=<-loopback>",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
    "--dns-prefetch-disable",
    "--disable-quic",
    "--force-webrtc-ip-handling-policy=disable_non_proxied_udp",
    # One renderer for a site's pages instead of one for each origin; no pages kept alive for "back"; no search for
    # televisions in the local network.
    "--disable-site-isolation-trials",
    "--disable-features=BackForwardCache,DialMediaRouteProvider,IsolateOrigins,MediaRouter,OptimizationHints,"
    "site-per-process,Translate",
    "--window-size=1366,900",
)
_PREFERENCES = {
    # 2: refused, 3: no download at all (the enterprise policies DefaultImagesSetting, DefaultPopupsSetting,
    # DownloadRestrictions). Pictures would be most of a page's weight; windows and files would be left lying.
    "profile.managed_default_content_settings.images": 2,
    "profile.managed_default_content_settings.popups": 2,
    "download_restrictions": 3,
    "webrtc.ip_handling_policy": "disable_non_proxied_udp",
    "webrtc.multiple_routes_enabled": False,
    "webrtc.nonproxied_udp_enabled": False,
}
# Audio and video have no switch; images and fonts are here for what scripts load.
_BLOCKED = tuple(
    f"*.{ending}{end}"
    for ending in (
        *("png", "jpg", "jpeg", "gif", "webp", "avif", "ico", "svg"),
        *("woff", "woff2", "ttf", "otf", "eot"),
        *("mp3", "m4a", "aac", "ogg", "wav", "mp4", "m4v", "webm", "flv", "ts"),
    )
    for end in ("", "?*")
)
_MEMORY_EVERY = 10  # pages between two looks at the memory, which cost some milliseconds each


class BrowserMissing(YuqingError):
    """A site needs a browser and there is none."""


def check_browser(settings: CrawlerSettings) -> None:
    """Raises BrowserMissing, with the cure, when Chromium or its driver is not installed."""
    for name, path in (("chromium", settings.chromium), ("chromedriver", settings.chromedriver)):
        if not os.access(path, os.X_OK):
            raise BrowserMissing(
                f"{path} is not there, and a site to crawl has pages that need a browser",
                cure=f"apt-get install chromium chromium-driver, or set crawler.{name} to where it is",
            )


class Browser:
    """One Chromium, its driver and its proxy. `load` and `quit` block: call them from the pool's threads.

    A browser keeps to one policy on private addresses (`allow_private`, None before its first page): what a page left
    running must not meet the rights of another site.
    """

    def __init__(self, settings: CrawlerSettings, folder: Path, *, collect_requests: bool) -> None:
        self.proxy = FilteringProxy()
        self.allow_private: bool | None = None
        self.worn = False
        """Whether another browser should take this one's place: after crawler.browser_pages, or by its memory."""
        self._settings = settings
        self._folder = folder
        self._collect_requests = collect_requests
        self._driver: Chrome | None = None
        self._profile: Profile | None = None
        self._cookies: dict[str, dict[str, str]] = {}
        self._service: Service | None = None
        self._interception: Interception | None = None
        self._ended = False
        self._pages = 0

    def load(self, load: PageLoad, idle: Callable[[], bool]) -> BrowserPage:
        """Load a page and do what its rule says; leave it again when the pool is `idle`.

        Raises BrowserFailed, and RefusedAddress where the page, not one of its parts, is at a refused address.
        """
        from selenium.common.exceptions import TimeoutException, WebDriverException

        driver: Chrome | None = None
        try:
            driver = self._driver or self._start()
            self._pages += 1
            self._prepare(driver, load)
            driver.get(load.url)
            page = read(driver, load, self._settings)
            self._check(load, page)
            if idle():
                driver.get("about:blank")  # its scripts would run on
            self.worn = self._is_worn()
            return page
        except BrowserFailed as problem:
            if load.screenshot and driver:
                with contextlib.suppress(Exception):
                    problem.screenshot = driver.get_screenshot_as_png()
            raise
        except RefusedAddress:
            raise
        except TimeoutException as problem:
            # The renderer may hang, and would take the next page of the site along.
            raise BrowserCrashed(f"{load.url}: the page did not load in time") from problem
        except WebDriverException as problem:
            reason = (problem.msg or "").splitlines()[0] if problem.msg else type(problem).__name__
            if "net::ERR_" not in reason:
                raise BrowserCrashed(f"the browser failed on {load.url}: {reason}") from problem
            known = next(reversed(self.proxy.problems.values()), None)
            raise _failure(load.url, known, reason) from problem
        except Exception as problem:  # the driver's own process is gone: urllib3 and socket errors
            raise BrowserCrashed(f"the browser failed on {load.url}: {problem!r}") from problem

    def quit(self) -> None:
        """End Chromium and its driver, by force when they do not answer."""
        driver, self._driver = self._driver, None
        if driver is not None and self._pid:
            with contextlib.suppress(Exception):
                driver.quit()
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def kill(self) -> None:
        """End the driver's whole process group at once, also while it starts; safe from any thread."""
        self._ended = True
        pid, self._service = self._pid, None
        if pid:
            processes.kill_group(pid)

    @property
    def _pid(self) -> int:
        """The driver's process, which leads its group; 0 before there is one and after its end."""
        service = self._service
        return service.process.pid if service and service.process else 0

    def _is_worn(self) -> bool:
        if self._pages >= self._settings.browser_pages:
            return True
        heavy = self._settings.browser_memory_mib
        return self._pages % _MEMORY_EVERY == 0 and processes.memory_mib(self._pid) > heavy

    def _prepare(self, driver: Chrome, load: PageLoad) -> None:
        """Name, headers, cookies and a clean record of requests; what has not changed since the last page is not sent again."""
        if load.profile and load.profile != self._profile:
            self._pose_as(driver, load.profile)
        if load.headers and self._interception is None:
            address = driver.capabilities["goog:chromeOptions"]["debuggerAddress"]
            self._interception = Interception(address, driver.current_window_handle, self._settings.browser_wait_s)
        if self._interception:
            self._interception.use(load.headers)
        host = urlsplit(load.url).hostname or ""
        if load.cookies and self._cookies.get(host) != load.cookies:
            cookies = [{"name": name, "value": value, "url": load.url} for name, value in load.cookies.items()]
            driver.execute_cdp_cmd("Network.setCookies", {"cookies": cookies})
            self._cookies[host] = load.cookies
        if load.rule.network_quiet:
            network_events(driver)  # those of the last page

    def _check(self, load: PageLoad, page: BrowserPage) -> None:
        """A page that the proxy answered with its own error, or Chromium with one of its own, is none."""
        parts = urlsplit(page.url)
        if page.status in (403, 502) and (problem := self.proxy.problems.get(parts.hostname or "")):
            raise _failure(load.url, problem, "")
        if parts.scheme not in ("http", "https"):
            raise BrowserFailed(f"{load.url}: ended at {page.url[:100]}")

    def _start(self) -> Chrome:
        from selenium.webdriver import Chrome, ChromeOptions
        from selenium.webdriver.chrome.service import Service
        from selenium.webdriver.remote.remote_connection import RemoteConnection

        if self._ended:
            raise BrowserCrashed("the browser was ended before it started")
        self._folder.mkdir(parents=True, exist_ok=True)
        options = ChromeOptions()
        options.binary_location = str(processes.dying_with_parent(self._settings.chromium, self._folder))
        options.page_load_strategy = "eager"
        options.unhandled_prompt_behavior = "dismiss"
        options.add_experimental_option("prefs", _PREFERENCES)
        options.add_experimental_option("excludeSwitches", ["disable-popup-blocking"])  # one of the driver's own
        for argument in (
            *_ARGUMENTS,
            f"--proxy-server=http://127.0.0.1:{self.proxy.port}",
            f"--user-data-dir={self._folder / 'profile'}",
        ):
            options.add_argument(argument)
        if self._collect_requests:
            options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
            options.add_experimental_option("perfLoggingPrefs", {"enableNetwork": True, "enablePage": False})
        service = self._service = Service(
            str(processes.dying_with_parent(self._settings.chromedriver, self._folder)),
            env={**os.environ, "TMPDIR": str(self._folder)},
            popen_kw={"start_new_session": True},  # a session and a process group of its own, to be killed as a whole
        )
        driver = Chrome(options=options, service=service)
        if self._ended:
            # Ended before there was a process to end, and nobody else knows of this one.
            self._driver, self._service = driver, service
            self.quit()
            raise BrowserCrashed("the browser was ended while it started")
        if isinstance(driver.command_executor, RemoteConnection):
            # A driver that does not answer at all; the default of two minutes is longer than any page may take.
            wait = self._settings.browser_page_timeout_s + self._settings.browser_wait_s
            driver.command_executor.client_config.timeout = wait
        driver.set_page_load_timeout(self._settings.browser_page_timeout_s)
        driver.execute_cdp_cmd("Network.enable", {})
        driver.execute_cdp_cmd("Network.setBlockedURLs", {"urls": list(_BLOCKED)})
        self._driver, self._profile = driver, None
        return driver

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


def _failure(url: str, known: Exception | None, reason: str) -> Exception:
    """Why a page could not be had: what its proxy knows, or else Chromium's own reason."""
    if isinstance(known, RefusedAddress):
        return known
    kind = ProxyFailed if isinstance(known, UpstreamFailed) else BrowserFailed
    return kind(f"{url}: {known or reason}")


def _brands(header: str) -> list[dict[str, str]]:
    """The brands of a Sec-CH-UA header as the DevTools protocol wants them."""
    parts = (item.strip().partition(";v=") for item in header.split(", ") if item)
    return [{"brand": name.strip('"'), "version": version.strip('"')} for name, _, version in parts]
