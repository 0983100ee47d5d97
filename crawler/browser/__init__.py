"""Headless Chromiums for pages that are empty without JavaScript: the pool, one browser, what is done on a page."""

from crawler.browser.chromium import BrowserMissing, check_browser
from crawler.browser.headers import OwnHeaders
from crawler.browser.page import BrowserCrashed, BrowserFailed, BrowserPage, PageLoad, ProxyFailed
from crawler.browser.pool import BrowserPool

__all__ = [
    "BrowserCrashed",
    "BrowserFailed",
    "BrowserMissing",
    "BrowserPage",
    "BrowserPool",
    "OwnHeaders",
    "PageLoad",
    "ProxyFailed",
    "check_browser",
]
