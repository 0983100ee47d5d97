"""Scrapy's HTTP/1.1 over connections that go to checked addresses only: pages, robots.txt, feeds, sitemaps, redirects."""

from __future__ import annotations

import socket
from typing import Any, cast

from scrapy import Request
from scrapy.core.downloader.handlers.http11 import HTTP11DownloadHandler, _ScrapyAgent
from scrapy.exceptions import CannotResolveHostError, DownloadConnectionRefusedError, DownloadTimeoutError
from scrapy.http import Response
from scrapy.utils._download_handlers import wrap_twisted_exceptions
from scrapy.utils.defer import deferred_from_coro, maybe_deferred_to_future
from scrapy.utils.httpobj import urlparse_cached
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI, Agent
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import implementer

from crawler.egress import Egress
from crawler.header_limit import BoundedFactory
from crawler.site_crawler import SiteCrawler


class CheckedHTTPHandler(HTTP11DownloadHandler):
    """Scrapy's handler, its connections opened by the site's Egress; they are pooled and used again as ever.

    A request with meta["proxy"] goes to that proxy, which is the operator's choice; its target is checked before.
    """

    def __init__(self, crawler: SiteCrawler) -> None:
        super().__init__(crawler)
        self._egress = crawler.egress
        self._pool._factory = BoundedFactory

    async def download_request(self, request: Request) -> Response:
        """Fetch; raises RefusedAddress and Scrapy's download errors."""
        if request.meta.get("proxy"):
            await self._egress.check_target(urlparse_cached(request).hostname or "")
        agent = _CheckedAgent(
            contextFactory=self._contextFactory,
            pool=self._pool,
            maxsize=self._default_maxsize,
            warnsize=self._default_warnsize,
            fail_on_dataloss=self._fail_on_dataloss,
            crawler=self._crawler,
            egress=self._egress,
        )
        with wrap_twisted_exceptions():
            return await maybe_deferred_to_future(agent.download_request(request))


class _CheckedAgent(_ScrapyAgent):
    def __init__(self, *, egress: Egress, **options: Any) -> None:
        super().__init__(**options)
        self._egress = egress

    def _get_agent(self, request: Request, timeout: float) -> Agent:
        agent = super()._get_agent(request, timeout)
        if not request.meta.get("proxy"):
            agent._endpointFactory = _CheckedEndpoints(self._egress, self._contextFactory, timeout)
        return agent


@implementer(IAgentEndpointFactory)
class _CheckedEndpoints:
    _bindAddress = None  # noqa: N815 — part of the pool's key in Scrapy's agent

    def __init__(self, egress: Egress, policy: IPolicyForHTTPS, seconds: float) -> None:
        self._egress = egress
        self._policy = policy
        self._seconds = seconds

    def endpointForURI(self, uri: URI) -> CheckedEndpoint:  # noqa: N802 — Twisted's interface
        return CheckedEndpoint(self._egress, uri, self._policy, self._seconds)


@implementer(IStreamClientEndpoint)
class CheckedEndpoint:
    """A Twisted endpoint for an http(s) address that resolves, checks and connects by an Egress.

    One is made for every request, and used for those that find no open connection: TLS is prepared only then.
    """

    def __init__(self, egress: Egress, uri: URI, policy: IPolicyForHTTPS, seconds: float) -> None:
        self._egress = egress
        self._uri = uri
        self._policy: Any = policy  # zope's interfaces are no types
        self._seconds = seconds

    def connect(self, factory: IProtocolFactory) -> Deferred[IProtocol]:
        """The connected protocol; fails with RefusedAddress or one of Scrapy's download errors."""
        return deferred_from_coro(self._connect(factory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        from twisted.internet import reactor

        host, port = self._uri.host.decode("ascii"), self._uri.port

        async def connect(address: str) -> IProtocol:
            kind = TCP6ClientEndpoint if ":" in address else TCP4ClientEndpoint
            endpoint: Any = kind(reactor, address, port, self._seconds)
            if self._uri.scheme == b"https":
                # The certificate is asked for, and checked against, the name.
                endpoint = wrapClientTLS(self._policy.creatorForNetloc(self._uri.host, port), endpoint)
            try:
                return cast(IProtocol, await maybe_deferred_to_future(endpoint.connect(factory)))
            except ConnectError as problem:
                raise OSError(str(problem)) from problem

        try:
            return await self._egress.connect(host, connect, self._seconds)
        except socket.gaierror as problem:
            raise CannotResolveHostError(f"{host} cannot be resolved: {problem.strerror}") from problem
        except TimeoutError as problem:
            raise DownloadTimeoutError(f"no connection to {host}:{port} in {self._seconds:g} s") from problem
        except OSError as problem:
            raise DownloadConnectionRefusedError(f"no connection to {host}:{port}: {problem}") from problem
