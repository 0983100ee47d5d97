"""What is done on a page once Chromium has its document: waits, "load more", scrolling, reading."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from crawler.browser.headers import OwnHeaders
from crawler.filtering_proxy import Route
from crawler.user_agents import Profile
from yuqing.settings import CrawlerSettings
from yuqing.sites import BrowserRule

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

QUIET_S = 0.5  # without a request: as long as Playwright and Puppeteer call a network idle
_POLL_S = 0.1
_TURN_S = 2.0  # that one script waits; then it is asked again, for it may have been lost with its page
_SPARE_S = 3.0  # for a script to begin and end on a busy machine
_UNLOADS = 3  # times that a page may lead on to another by script before it is read
# Connections that stay open by design do not keep a page from being quiet.
_LASTING = frozenset({"EventSource", "WebSocket", "Ping"})
_SCRIPT = (files("crawler.browser") / "page.js").read_text(encoding="utf-8")


class BrowserFailed(Exception):
    """A page could not be loaded: the network, a time limit, or the browser itself. The request is tried again.

    `screenshot` is what the page looked like (PNG), where it was asked for and could be had.
    """

    screenshot: bytes | None = None


class BrowserCrashed(BrowserFailed):
    """The browser died or hung; another one takes its place."""


class ProxyFailed(BrowserFailed):
    """The operator's proxy could not be used; the site is not to blame."""


@dataclass(frozen=True)
class PageLoad:
    """A page to load: its address, the site's rule for it, as whom, with which cookies (name to value), and by which route.

    profile None: under Chromium's own name; headers: those of the site's file, for the site's own domains.
    """

    url: str
    rule: BrowserRule
    route: Route
    cookies: dict[str, str]
    profile: Profile | None = None
    headers: OwnHeaders | None = None
    screenshot: bool = False


@dataclass(frozen=True)
class BrowserPage:
    """A page as it stands after its script ran: final address, HTTP status, HTML."""

    url: str
    status: int
    html: str


def read(driver: Chrome, load: PageLoad, settings: CrawlerSettings) -> BrowserPage:
    """Wait for what the rule names, act, and read the page that `driver` has begun to load. Raises BrowserFailed."""
    end = time.monotonic() + time_limit(load.rule, settings)
    quiet = load.rule.network_quiet
    for phases in (("wait",), ("act",), ("read",)) if quiet else (("wait", "act", "read"),):
        if quiet and phases != ("wait",):
            wait_until_quiet(driver, min(settings.browser_wait_s, end - time.monotonic()))
        result = _run(driver, load, settings, phases)
    if result["characters"] > settings.page_bytes:
        raise BrowserFailed(f"{load.url}: longer than {settings.page_bytes} characters (crawler.page_bytes)")
    url = result["url"]
    if result["status"] >= 400 and url.startswith("chrome-error:"):
        url = driver.current_url  # an error without a body, for which Chromium shows a page of its own
    return BrowserPage(url, result["status"], result["html"])


def wait_until_quiet(driver: Chrome, seconds: float) -> None:
    """Until nothing is being loaded and nothing was asked for in the last QUIET_S, or for `seconds`.

    From DevTools' network events, which the driver collects; those before the page's document must be drained.
    """
    end = time.monotonic() + seconds
    changed = time.monotonic()
    loading: set[str] = set()
    while True:
        for event in network_events(driver):
            _follow(event["method"], event["params"], loading)
            changed = time.monotonic()
        now = time.monotonic()
        if now >= end or (not loading and now - changed >= QUIET_S):
            return
        time.sleep(_POLL_S)


def network_events(driver: Chrome) -> list[dict[str, Any]]:
    """DevTools' network events since the last call, which the driver keeps when it was told to collect them."""
    entries = driver.get_log("performance")  # type: ignore[no-untyped-call]
    return [json.loads(entry["message"])["message"] for entry in entries]


def _follow(method: str, event: dict[str, Any], loading: set[str]) -> None:
    if method == "Network.requestWillBeSent" and event.get("type") not in _LASTING:
        loading.add(event["requestId"])
    elif method in ("Network.loadingFinished", "Network.loadingFailed"):
        loading.discard(event["requestId"])


def _run(driver: Chrome, load: PageLoad, settings: CrawlerSettings, phases: tuple[str, ...]) -> dict[str, Any]:
    from selenium.common.exceptions import JavascriptException, TimeoutException

    rule = load.rule
    wanted = {
        "phases": phases,
        "waitFor": rule.wait_for,
        "loadMore": rule.load_more.model_dump() if rule.load_more else None,
        "scroll": rule.scroll,
        "stepMs": settings.browser_step_s * 1000,
        "maximum": settings.page_bytes,
    }
    steps = _steps(rule, settings)
    end = time.monotonic() + settings.browser_wait_s
    unloads = 0
    while True:
        left = end - time.monotonic()
        turn = max(0.0, min(_TURN_S, left))
        wanted["waitMs"] = turn * 1000
        driver.set_script_timeout(turn + steps + _SPARE_S)
        try:
            result: dict[str, Any] = driver.execute_async_script(_SCRIPT, wanted)
        except JavascriptException as problem:
            # The page went on to another one; the same is wanted of that.
            unloads += 1
            if "unloaded" not in (problem.msg or "") or unloads > _UNLOADS:
                raise BrowserFailed(f"{load.url}: {(problem.msg or '').splitlines()[0]}") from problem
        except TimeoutException:
            # A script that began while the page went on is lost without a word. A renderer that hangs is no different
            # until the time is up.
            if left <= _TURN_S:
                raise
        else:
            if "missing" not in result or left <= _TURN_S:
                break
    if "problem" in result:
        raise BrowserFailed(f"{load.url}: {result['problem']}")
    if "missing" in result:
        raise BrowserFailed(f"{load.url}: {result['missing']!r} did not appear in {settings.browser_wait_s:g} s")
    return result


def time_limit(rule: BrowserRule, settings: CrawlerSettings) -> float:
    """Seconds that waiting, pressing, scrolling and quiet may take together."""
    waits = 3 if rule.network_quiet else 1
    return waits * settings.browser_wait_s + _steps(rule, settings) + _TURN_S + _SPARE_S


def _steps(rule: BrowserRule, settings: CrawlerSettings) -> float:
    """Seconds that pressing and scrolling may take together."""
    return ((rule.load_more.times if rule.load_more else 0) + rule.scroll) * 2 * settings.browser_step_s
