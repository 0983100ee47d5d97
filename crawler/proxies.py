"""A site's proxies and their health: one address for the length of a run, another when it fails."""

from __future__ import annotations

import random
from base64 import b64encode
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any
from urllib.parse import unquote, urlsplit

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import TunnelError
from scrapy.exceptions import (
    CannotResolveHostError,
    DownloadConnectionRefusedError,
    DownloadFailedError,
    DownloadTimeoutError,
    ResponseDataLossError,
)
from scrapy.http import Response

from crawler.browser import ProxyFailed
from yuqing.settings import CrawlerSettings

USED, FAILED = "proxy_used", "proxies_failed"  # request.meta: numbers in the site's file, which tell no password
# The proxy itself: it is away, has no such name, or refuses the tunnel.
CERTAIN = (DownloadConnectionRefusedError, CannotResolveHostError, TunnelError, ProxyFailed)
# The proxy, or the site behind it.
_POSSIBLE = (DownloadTimeoutError, DownloadFailedError, ResponseDataLossError)
_GATEWAY = frozenset({502, 504})
REFUSED_LOGIN = 407
_MOST_BENCHINGS = 10  # after which the pause grows no more, as in Envoy: base 30 s, at most 300 s


@dataclass
class Proxy:
    """One proxy. `row` counts the failures since its last success; it is benched until `until` (monotonic clock, seconds)."""

    url: str
    requests: int = 0
    failures: int = 0
    row: int = 0
    benchings: int = 0
    until: float = 0.0
    problem: str = ""

    @property
    def authorization(self) -> bytes:
        """The value of the Proxy-Authorization header; empty without a user."""
        parts = urlsplit(self.url)
        if parts.username is None:
            return b""
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return b"Basic " + b64encode(login.encode("latin-1", "replace"))

    @property
    def shown(self) -> str:
        """Its address without user and password."""
        parts = urlsplit(self.url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        return f"{parts.scheme}://{host}:{parts.port or (443 if parts.scheme == 'https' else 80)}"


class ProxyPool:
    """Chooses a site's proxy. Without proxies everything is asked for directly.

    A run begins with a random one and stays with it, for an address that changes in the middle of a visit looks odd. Health is
    kept by outlier detection as in Envoy: after crawler.proxy_failures failures in a row a proxy is benched for
    crawler.proxy_bench_s times the number of its benchings, and the next one takes its place; then it may be tried again,
    and one further failure benches it anew. When all are benched, the one whose bench ends first is used: a request is never
    sent without a proxy where proxies are set.
    https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/outlier
    """

    def __init__(
        self,
        urls: Sequence[str],
        options: CrawlerSettings,
        chance: random.Random,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.proxies = [Proxy(url) for url in urls]
        self._most, self._bench_s = options.proxy_failures, options.proxy_bench_s
        self._clock = clock
        self._current = chance.randrange(len(urls)) if urls else 0

    def __len__(self) -> int:
        return len(self.proxies)

    def assign(self, request: Request) -> None:
        """Choose the proxy of a request that is about to be sent: meta["proxy"], and a Proxy-Authorization header.

        Not earlier, in a middleware: requests wait behind one another for their host, and a proxy may be benched meanwhile.
        """
        if not self.proxies:
            return
        number = request.meta[USED] = self.choose(request.meta.get(FAILED, ()))
        proxy = self.proxies[number]
        request.meta["proxy"] = proxy.shown
        if proxy.authorization:
            request.headers["Proxy-Authorization"] = proxy.authorization

    def answered(self, request: Request, response: Response) -> None:
        """Take from an answer how the request's proxy does. Inside a tunnel every status is the site's."""
        if USED not in request.meta:
            return
        plain = not request.url.startswith("https:")
        if response.status == REFUSED_LOGIN:
            self._failed(request, f"HTTP {REFUSED_LOGIN}: it wants another user or password")
        elif response.status in _GATEWAY and plain:
            self._failed(request, f"HTTP {response.status}")
        else:
            self.success(request.meta[USED])

    def broke_off(self, request: Request, problem: Exception) -> None:
        """Take from an error how the request's proxy does."""
        if USED in request.meta and isinstance(problem, (*CERTAIN, *_POSSIBLE)):
            self._failed(request, str(problem) or type(problem).__name__)

    def others_left(self, request: Request) -> bool:
        """Whether there is a proxy through which the request has not failed."""
        return not set(request.meta.get(FAILED, ())) >= set(range(len(self.proxies)))

    def _failed(self, request: Request, problem: str) -> None:
        number = request.meta[USED]
        request.meta[FAILED] = (*request.meta.get(FAILED, ()), number)
        self.failure(number, problem)

    def choose(self, avoid: Collection[int] = ()) -> int:
        """The number of the proxy to use; not one of `avoid` while there is another."""
        now, count = self._clock(), len(self.proxies)
        order = [(self._current + step) % count for step in range(count)]
        well = [number for number in order if self.proxies[number].until <= now]
        if well:
            self._current = well[0]
        fit = [number for number in well if number not in avoid] or [number for number in order if number not in avoid]
        if fit and self.proxies[fit[0]].until <= now:
            return fit[0]
        return min(fit or order, key=lambda number: self.proxies[number].until)

    def success(self, number: int) -> None:
        """An answer came through the proxy."""
        proxy = self.proxies[number]
        proxy.requests += 1
        proxy.row = proxy.benchings = 0
        proxy.until = 0.0

    def failure(self, number: int, problem: str) -> None:
        """The proxy refused, or did not answer, or could not reach the site."""
        proxy = self.proxies[number]
        proxy.requests += 1
        proxy.failures += 1
        proxy.row += 1
        proxy.problem = problem[:200]
        now = self._clock()
        if proxy.row >= self._most and proxy.until <= now:
            proxy.benchings += 1
            proxy.until = now + self._bench_s * min(proxy.benchings, _MOST_BENCHINGS)

    @property
    def all_benched(self) -> bool:
        """Whether there are proxies and none is well."""
        return bool(self.proxies) and all(proxy.until > self._clock() for proxy in self.proxies)

    def as_json(self) -> list[dict[str, Any]]:
        """Their health for the report, in the order of the site's file and without passwords."""
        return [
            {
                "proxy": proxy.shown,
                "requests": proxy.requests,
                "failures": proxy.failures,
                "benched": proxy.until > self._clock(),
                "problem": proxy.problem,
            }
            for proxy in self.proxies
        ]
