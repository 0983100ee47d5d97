"""What keeps a run from following a trap for ever: a calendar, endless parameters, paths that grow (Site.limits)."""

from __future__ import annotations

import re
from collections import Counter
from urllib.parse import urlsplit

from scrapy import Request
from scrapy.crawler import Crawler
from scrapy.http import Response
from scrapy.spidermiddlewares.base import BaseSpiderMiddleware

from crawler.site_crawler import of

# Heritrix, which crawls the web's archives, draws the line at the same places by default: PathologicalPathDecideRule
# (maxRepetitions 2) and TooManyPathSegmentsDecideRule (maxPathDepth 20).
MAX_REPETITIONS = 2
MAX_SEGMENTS = 20
MAX_ADDRESS = 8_000  # octets that every server should take (RFC 9110, 4.1)
_SHOWN = 200  # characters of a longer one in the report
_MAX_PATTERNS = 20_000  # addresses of any further patterns count together
_LONGEST_PERIOD = 3  # /a/b/c/a/b/c/a/b/c is seen, a longer round is left to the other limits
_DIGITS = re.compile(r"\d+")


class LimitsMiddleware(BaseSpiderMiddleware):
    """Drops requests beyond the limits of a site's file; the report says which pattern was cut, how often, with an example.

    Nothing that is dropped is settled: what a list still shows comes in with the next run.
    """

    def __init__(self, crawler: Crawler) -> None:
        super().__init__(crawler)
        site_crawler = of(crawler)
        self.limits = site_crawler.site.limits
        self.report = site_crawler.report
        self._requests = 0
        self._patterns: Counter[str] = Counter()

    def get_processed_request(self, request: Request, response: Response | None) -> Request | None:
        """The request, or None beyond a limit."""
        if self._requests >= self.limits.pages:
            self.report.cut("pages", "", request.url)
            return None
        if request.meta.get("depth", 0) > self.limits.depth:
            self.report.cut("depth", pattern(request.url), request.url)
            return None
        if len(request.url) > MAX_ADDRESS:
            self.report.cut("address length", pattern(request.url)[:_SHOWN], request.url[:_SHOWN])
            return None
        general = pattern(request.url)
        if grows(request.url):
            self.report.cut("growing path", general, request.url)
            return None
        if general not in self._patterns and len(self._patterns) >= _MAX_PATTERNS:
            general = ""
        if self._patterns[general] >= self.limits.pages_per_pattern:
            self.report.cut("pages_per_pattern", general, request.url)
            return None
        self._patterns[general] += 1
        self._requests += 1
        return request


def pattern(url: str) -> str:
    """The address with {n} for each number and without the values of its parameters: what the pages of a calendar share."""
    address, _, query = url.partition("#")[0].partition("?")
    host, separator, path = _split(address)
    general = host + separator + _DIGITS.sub("{n}", path)
    if not query:
        return general
    names = sorted({pair.partition("=")[0] for pair in query.split("&") if pair})
    return general + "?" + "&".join(_DIGITS.sub("{n}", name) for name in names)


def grows(url: str) -> bool:
    """Whether the path is what relative links without an end make: /a/a/a, /a/b/a/b/a/b, or more than MAX_SEGMENTS parts."""
    segments = [segment for segment in urlsplit(url).path.split("/") if segment]
    if len(segments) > MAX_SEGMENTS:
        return True
    if len(segments) <= MAX_REPETITIONS or len(set(segments)) == len(segments):
        return False
    for period in range(1, _LONGEST_PERIOD + 1):
        run = 0
        for position in range(period, len(segments)):
            run = run + 1 if segments[position] == segments[position - period] else 0
            if run >= period * MAX_REPETITIONS:
                return True
    return False


def _split(address: str) -> tuple[str, str, str]:
    scheme, separator, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    return scheme + separator + host, slash, path
