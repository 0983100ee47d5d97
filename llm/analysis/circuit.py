"""A circuit breaker: a server in trouble is left alone for a while, and then tried with one request at a time."""

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import Counter

from yuqing.errors import YuqingError
from yuqing.settings import LLMSettings
from yuqing.telemetry import get_logger

log = get_logger(__name__)

_OPENED = Counter("yuqing_llm_circuit_opened_total", "Times that the language model's server was left alone", ["what"])


class LLMAway(YuqingError):
    """The language model's server does not answer, or not in time."""


class CircuitOpen(LLMAway):
    """The server failed several times in a row and is left alone; `seconds` until it may be asked again."""

    def __init__(self, message: str, seconds: float, *, cure: str = "") -> None:
        super().__init__(message, cure=cure)
        self.seconds = seconds


@dataclass
class Trial:
    """One request under way; say how it ended. Said nothing (it was cancelled, say), it counts neither way."""

    failure: tuple[str, object] | None = None
    success: bool = False

    def succeeded(self) -> None:
        """The server did what it should."""
        self.success, self.failure = True, None

    def failed(self, reason: str, about: object = None) -> None:
        """It did not. Failures `about` one thing (a document, say) count once: they may be that thing's fault."""
        self.success, self.failure = False, (reason, about)


@dataclass
class Circuit:
    """Closed, every request may go. After `failures` failures without a success between them it is open for
    `pause_s`; then one request goes, and closes it or opens it for twice as long (at most `most_s`).

    `what` names the thing in messages and metrics.
    """

    what: str
    failures: int
    pause_s: float
    most_s: float
    clock: Callable[[], float] = time.monotonic
    _failing: set[object] = field(default_factory=set)
    _reason: str = ""
    _opened: int = 0
    _until: float = 0.0
    _probing: bool = False

    @classmethod
    def from_settings(cls, what: str, settings: LLMSettings) -> "Circuit":
        """The circuit of the settings llm.circuit_*."""
        return cls(what, settings.circuit_failures, settings.circuit_pause_s, settings.circuit_most_s)

    @property
    def is_closed(self) -> bool:
        """Whether requests go through freely."""
        return not self._opened

    @property
    def seconds(self) -> float:
        """Until a request may go; 0 when one may now."""
        return max(0.0, self._until - self.clock()) if self._opened else 0.0

    @contextmanager
    def trial(self) -> Iterator[Trial]:
        """Around one request. Raises CircuitOpen when it may not go now."""
        if self._opened and (self.seconds > 0 or self._probing):
            raise CircuitOpen(
                f"{self.what} is left alone after {self.failures} failures in a row: {self._reason}",
                max(self.seconds, self.pause_s),
                cure="documents wait in the queue meanwhile; look into the server's log",
            )
        probe = bool(self._opened)
        self._probing = probe
        trial = Trial()
        try:
            yield trial
        finally:
            if probe:
                self._probing = False
            if trial.success:
                self._close()
            elif trial.failure is not None:
                self._count(*trial.failure, probe)

    def _close(self) -> None:
        if self._opened:
            log.info("answers again", what=self.what)
        self._failing.clear()
        self._opened = 0

    def _count(self, reason: str, about: object, probe: bool) -> None:
        self._reason = reason
        self._failing.add(about if about is not None else object())
        if not probe and (self._opened or len(self._failing) < self.failures):
            return  # not enough yet, or a request that was under way when it opened
        pause = min(self.most_s, self.pause_s * 2.0**self._opened)
        self._opened += 1
        # Workers that lost the server together do not come back together.
        self._until = self.clock() + pause * random.uniform(0.75, 1.0)  # noqa: S311
        _OPENED.labels(self.what).inc()
        log.warning("left alone", what=self.what, seconds=round(pause, 1), reason=reason)
