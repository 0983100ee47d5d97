"""A bound for the headers of an answer; Twisted bounds a line (16 KiB), but not how many there are."""

from __future__ import annotations

from scrapy.core.downloader.handlers.http11 import _LenientHTTP11ClientFactory, _LenientHTTP11ClientProtocol
from scrapy.exceptions import DownloadFailedError
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress
from twisted.python.failure import Failure
from twisted.web._newclient import HEADER, STATUS, HTTP11ClientProtocol
from twisted.web._newclient import Request as TxRequest
from twisted.web.iweb import IResponse

HEADER_BYTES = 256 * 1024  # as Chromium: kMaxHeaderBufSize in net/http/http_stream_parser.h


class BoundedProtocol(_LenientHTTP11ClientProtocol):
    """Gives an answer up whose headers do not end."""

    _header_bytes = 0

    def request(self, request: TxRequest) -> Deferred[IResponse]:
        """Send a request and begin to count."""
        self._header_bytes = 0
        return super().request(request)

    def dataReceived(self, data: bytes) -> None:  # noqa: N802 — Twisted's interface
        """Pass on what has come, unless there is too much of it before the body."""
        if self._parser is not None and self._parser.state in (STATUS, HEADER):
            self._header_bytes += len(data)
            if self._header_bytes > HEADER_BYTES:
                problem = DownloadFailedError(f"more than {HEADER_BYTES} bytes of headers")
                self._giveUp(Failure(problem))  # type: ignore[no-untyped-call]
                return
        super().dataReceived(data)  # type: ignore[no-untyped-call]


class BoundedFactory(_LenientHTTP11ClientFactory):
    """Makes these protocols for Twisted's pool of connections."""

    def buildProtocol(self, addr: IAddress | None) -> HTTP11ClientProtocol:  # noqa: N802 — Twisted's interface
        """A protocol for a new connection."""
        return BoundedProtocol(self._quiescentCallback)  # type: ignore[no-untyped-call]
