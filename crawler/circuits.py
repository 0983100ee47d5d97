"""A circuit breaker a host: one that fails again and again, or asks for a pause, is left alone for a while.

The states are those of the pattern (M. Nygard, Release It!, 2nd ed., 5.2). Closed: requests are sent. Open: none is, for
`circuit_pause_s`. Half-open: one trial request is sent; if it succeeds the circuit closes, otherwise it opens again. A
circuit that has opened more than `circuit_openings` times stays open for the rest of the run: the host is cut.

While a circuit is open or its host is paused, requests of the spider wait in the scheduler, where they keep no other
host from being asked; what does not pass the scheduler (robots.txt, recordings) waits a little and is then refused. A host
that is cut is refused at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING

from scrapy import Request
from scrapy.exceptions import IgnoreRequest
from scrapy.utils.httpobj import urlparse_cached

if TYPE_CHECKING:
    from crawler.report import CrawlReport
    from yuqing.settings import CrawlerSettings

TRIAL = "circuit_trial"  # request.meta: the host whose trial request this is


class CircuitOpen(IgnoreRequest):
    """The request was not sent, because its host is cut or paused or the crawl is ending: nothing is known of its page."""


class Held(Exception):
    """The request must wait `seconds`: it goes back to the scheduler, which keeps it until then."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"its host is left alone for {seconds:.1f} s")
        self.seconds = seconds


@dataclass
class Circuit:
    """One host's state. Times are seconds of the monotonic clock; `since` is None while no trial is under way."""

    failures: int = 0
    openings: int = 0
    open: bool = False
    cut: str = ""
    until: float = 0.0
    paused_until: float = 0.0
    trial_since: float | None = None


class Circuits:
    """The circuits of one site's hosts. `on_change` is called with a host whose waiting requests may be looked at again."""

    def __init__(self, options: CrawlerSettings, report: CrawlReport, clock: Callable[[], float] = monotonic) -> None:
        self._most = options.circuit_failures
        self._pause = options.circuit_pause_s
        self._openings = options.circuit_openings
        self._report = report
        self._clock = clock
        self._circuits: dict[str, Circuit] = {}
        self.on_change: Callable[[str], None] = lambda host: None

    def admit(self, request: Request) -> float:
        """0 when the request may be sent now, otherwise the seconds to wait. Raises CircuitOpen when its host is cut.

        The first request that comes when a pause of an open circuit is over becomes the trial.
        """
        host = host_of(request)
        circuit = self._circuits.get(host)
        if circuit is None:
            return 0.0
        if circuit.cut:
            raise CircuitOpen(f"{host} is left alone for the rest of this run: {circuit.cut}")
        now = self._clock()
        if now < circuit.paused_until:
            return circuit.paused_until - now
        if not circuit.open or request.meta.get(TRIAL) == host:
            return 0.0
        if now < circuit.until:
            return circuit.until - now
        if circuit.trial_since is not None and now < circuit.trial_since + self._pause:
            return circuit.trial_since + self._pause - now
        circuit.trial_since = now
        request.meta[TRIAL] = host
        return 0.0

    def success(self, request: Request) -> None:
        """The host has answered as it should."""
        host = host_of(request)
        circuit = self._circuits.get(host)
        if circuit is None or circuit.cut:
            return
        if not circuit.open:
            circuit.failures = 0
        elif request.meta.pop(TRIAL, None) == host:
            self._circuits[host] = Circuit(openings=circuit.openings, paused_until=circuit.paused_until)
            self._report.circuit(host, "closed", "the trial request succeeded")
            self.on_change(host)

    def failure(self, request: Request, reason: str) -> None:
        """The host has failed or refused us; a request counts at its first try only, so that one page cannot open it."""
        host = host_of(request)
        circuit = self._circuits.setdefault(host, Circuit())
        if circuit.cut:
            return
        if circuit.open:
            if request.meta.pop(TRIAL, None) == host:
                self._open(host, circuit, f"the trial request failed too: {reason}")
        elif not request.meta.get("retry_times"):
            circuit.failures += 1
            if circuit.failures >= self._most:
                self._open(
                    host, circuit, f"{circuit.failures} pages failed one after the other, the last with: {reason}"
                )

    def release(self, request: Request) -> None:
        """A trial request ended without an answer of its host (robots.txt forbids it, say): another may be tried."""
        if host := request.meta.pop(TRIAL, None):
            circuit = self._circuits.get(host)
            if circuit and circuit.open:
                circuit.trial_since = None
                self.on_change(host)

    def pause(self, host: str, seconds: float, reason: str) -> None:
        """Send nothing to the host for so long."""
        circuit = self._circuits.setdefault(host, Circuit())
        until = self._clock() + seconds
        if until > circuit.paused_until + 1:  # several answers at once ask for the same pause
            self._report.circuit(host, "paused", f"{seconds:.0f} s: {reason}")
        circuit.paused_until = max(circuit.paused_until, until)

    def _open(self, host: str, circuit: Circuit, reason: str) -> None:
        circuit.openings += 1
        circuit.trial_since = None
        if circuit.openings > self._openings:
            circuit.cut = reason
            self._report.circuit(host, "cut", reason)
        else:
            circuit.open, circuit.until = True, self._clock() + self._pause
            self._report.circuit(host, "opened", reason)
        self.on_change(host)


def host_of(request: Request) -> str:
    """The host whose circuit counts; the downloader keeps delay and concurrency by the same name."""
    return urlparse_cached(request).hostname or ""


def require(circuits: Circuits, request: Request) -> None:
    """Raises CircuitOpen or Held unless the request may be sent now."""
    if wait := circuits.admit(request):
        raise Held(wait)
