"""Which addresses the crawler may connect to, and connections that go to the address that was checked.

Every connection is made through an `Egress`: it resolves the host, checks every address of the answer and connects to one
of these very addresses. Nothing resolves the name a second time, so an answer that changes in between changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
import unicodedata
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import httpcore
import httpx
from scrapy.exceptions import IgnoreRequest

Resolver = Callable[[str], Awaitable[Sequence[str]]]
"""Resolves a host's name to its addresses, in the order in which to try them. Raises socket.gaierror when it has none."""

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
T = TypeVar("T")

REMEMBERED_S = 60  # how long an answer that was checked is used again: as long as browsers keep one
_MAX_REMEMBERED = 10_000
_MAX_TRIED = 4  # addresses of one host

# What clouds serve credentials from; those that are not link-local would otherwise count as private or even public.
_METADATA = frozenset(
    ipaddress.ip_address(address)
    for address in (
        "100.100.100.200",  # Alibaba Cloud
        "100.96.0.96",  # Volcengine
        "168.63.129.16",  # Azure
        "192.0.0.192",  # Oracle Cloud
        "fd00:ec2::254",  # AWS
        "fd20:ce::254",  # Google Cloud
        "fd00:42::42",  # Scaleway
    )
)
_PRIVATE = tuple(
    ipaddress.ip_network(network)
    for network in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",  # between a provider and its customers (RFC 6598)
        "198.18.0.0/15",  # benchmarks (RFC 2544); local proxies answer every name with one of these
        "fc00::/7",
    )
)
# Of IPv6, 2000::/3 is what is routed; this is the rest of IANA's special-purpose registry within it.
_GLOBAL_IPV6 = ipaddress.IPv6Network("2000::/3")
_SPECIAL_IPV6 = tuple(ipaddress.IPv6Network(network) for network in ("2001::/23", "2001:db8::/32", "3fff::/20"))
# What Python 3.11 takes for public: protocol assignments (RFC 6890) and the relays of 6to4 (RFC 7526).
_SPECIAL_IPV4 = tuple(ipaddress.IPv4Network(network) for network in ("192.0.0.0/24", "192.88.99.0/24"))
# IPv6 addresses that stand for an IPv4 address: the prefix, and the bit at which that begins.
_EMBEDDING = (
    (ipaddress.IPv6Network("::ffff:0:0/96"), 96),  # IPv4-mapped
    (ipaddress.IPv6Network("64:ff9b::/96"), 96),  # NAT64 (RFC 6052)
    (ipaddress.IPv6Network("2002::/16"), 16),  # 6to4
)
_ISATAP = frozenset({0x00005EFE, 0x02005EFE})  # the third quarter of an address that ends in an IPv4 address (RFC 5214)
_LOCAL_NAMES = ("localhost", ".localhost", ".local", ".localdomain", ".internal", ".home.arpa")

# Not the event loop's own threads: names that take long must not hold up what is written to S3.
_threads = ThreadPoolExecutor(8, thread_name_prefix="resolver")


class RefusedAddress(IgnoreRequest):
    """The host is, or resolves to, an address that this site's crawl may not connect to."""


def kind(address: Address) -> str:
    """What an address is: public, private, loopback, link-local, metadata, multicast, unspecified or reserved.

    An IPv6 address that stands for an IPv4 address (mapped, NAT64, 6to4, ISATAP) is what that one is.
    """
    if address in _METADATA:
        return "metadata"
    if isinstance(address, ipaddress.IPv6Address):
        embedded = _embedded(address)
        if embedded is not None:
            return kind(embedded)
    if address.is_loopback:
        return "loopback"
    if address.is_link_local:
        return "link-local"
    if address.is_unspecified:
        return "unspecified"
    if address.is_multicast:
        return "multicast"
    if any(address in network for network in _PRIVATE):
        return "private"
    if isinstance(address, ipaddress.IPv6Address):
        special = address not in _GLOBAL_IPV6 or any(address in network for network in _SPECIAL_IPV6)
    else:
        special = not address.is_global or any(address in network for network in _SPECIAL_IPV4)
    return "reserved" if special else "public"


def _embedded(address: ipaddress.IPv6Address) -> ipaddress.IPv4Address | None:
    value = int(address)
    for network, start in _EMBEDDING:
        if address in network:
            return ipaddress.IPv4Address(value >> (96 - start) & 0xFFFFFFFF)
    if value >> 32 & 0xFFFFFFFF in _ISATAP:
        return ipaddress.IPv4Address(value & 0xFFFFFFFF)
    return None


def literal(host: str) -> Address | None:
    """The address that a host is written as, in any notation that some resolver takes, or None for a name.

    Raises ValueError for what ends in a number without being an address: resolvers differ on it (WHATWG's URL standard
    refuses it, too).
    """
    host = unicodedata.normalize("NFKC", host).replace("。", ".").strip("[]").rstrip(".")
    try:
        return ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        pass
    last = host.rpartition(".")[2].lower()
    if not (last.isdecimal() or (last.startswith("0x") and not last[2:].strip("0123456789abcdef"))):
        return None
    try:
        return ipaddress.IPv4Address(socket.inet_aton(host))  # decimal, octal, hexadecimal, with two or three parts
    except OSError as problem:
        raise ValueError(f"{host} ends in a number and is no address") from problem


async def resolve(host: str) -> Sequence[str]:
    """The system's answer, IPv4 and IPv6, sorted by it; raises socket.gaierror."""
    loop = asyncio.get_running_loop()
    try:
        found = await loop.run_in_executor(
            _threads, lambda: socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
        )
    except UnicodeError as problem:
        raise socket.gaierror(socket.EAI_NONAME, f"{host!r} is no host's name") from problem
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class Egress:
    """The policy of one site's crawl, and its checked connections.

    Public addresses are always allowed; private and loopback ones when `allow_private`; link-local, metadata, multicast,
    unspecified and reserved ones never. A name all of whose addresses are allowed is connected to at one of them.
    """

    def __init__(self, *, allow_private: bool, resolver: Resolver = resolve) -> None:
        self.allow_private = allow_private
        self._resolver = resolver
        self._remembered: dict[str, tuple[float, Sequence[str]]] = {}

    def check_literal(self, host: str) -> Address | None:
        """The address that the host is written as, None for a name; raises RefusedAddress. Asks no resolver."""
        try:
            address = literal(host)
        except ValueError as problem:
            raise RefusedAddress(str(problem)) from problem
        if address is not None:
            self._check(host, address)
        return address

    async def addresses(self, host: str) -> Sequence[str]:
        """The addresses of a host, all of them checked. Raises RefusedAddress, or socket.gaierror when it has none."""
        address = self.check_literal(host)
        if address is not None:
            scope = host.strip("[]").partition("%")[2]
            return [f"{address}%{scope}" if scope else str(address)]
        now = time.monotonic()
        known = self._remembered.get(host)
        if known and known[0] > now:
            return known[1]
        found = await self._resolver(host)
        if not found:
            raise socket.gaierror(socket.EAI_NODATA, f"{host} has no address")
        for each in found:
            self._check(host, ipaddress.ip_address(each.partition("%")[0]))
        if len(self._remembered) >= _MAX_REMEMBERED:
            self._remembered.clear()
        self._remembered[host] = (now + REMEMBERED_S, found)
        return found

    async def check_target(self, host: str) -> None:
        """Check a host that an upstream proxy will connect to; raises RefusedAddress.

        Resolved here as far as it can be: behind a proxy there may be no name service at all, and what the proxy resolves is
        its own affair. Names that mean a local network by their form are refused unless private addresses are allowed.
        """
        name = host.rstrip(".").lower()
        if not self.allow_private and (name == _LOCAL_NAMES[0] or name.endswith(_LOCAL_NAMES[1:])):
            raise RefusedAddress(f"{host} is a name of the local network")
        address = self.check_literal(host)
        if address is not None and str(address) != host.strip("[]").lower():
            raise RefusedAddress(
                f"{host} is an unusual notation of {address}, which a proxy may read as another address"
            )
        try:
            await self.addresses(host)
        except OSError:
            return

    async def connect(self, host: str, connect: Callable[[str], Awaitable[T]], seconds: float | None = None) -> T:
        """Call `connect` with the host's checked addresses, one after the other, until one does not raise OSError.

        Raises RefusedAddress, TimeoutError after `seconds` in all (each address has an equal share of what is left),
        or the last address's OSError.
        """
        end = None if seconds is None else time.monotonic() + seconds
        async with asyncio.timeout(seconds):
            addresses = (await self.addresses(host))[:_MAX_TRIED]
        for left in range(len(addresses), 0, -1):
            share = None if end is None else (end - time.monotonic()) / left
            try:
                async with asyncio.timeout(share):
                    return await connect(addresses[-left])
            except OSError:  # also TimeoutError
                if left == 1:
                    raise
        raise AssertionError("a host has at least one address")

    def _check(self, host: str, address: Address) -> None:
        what = kind(address)
        if what == "public":
            return
        if what in ("private", "loopback"):
            if self.allow_private:
                return
            cure = "; allow_private_addresses in the site's file allows it"
        else:
            cure = ""
        at = " is" if str(address) == host.strip("[]") else f" is at {address},"
        raise RefusedAddress(f"{host}{at} {_ARTICLES.get(what, 'a')} {what} address{cure}")


_ARTICLES = {"unspecified": "an"}


class CheckedTransport(httpx.AsyncHTTPTransport):
    """httpx's transport with every connection checked, those after redirects included.

        async with httpx.AsyncClient(transport=CheckedTransport(egress, verify=False)) as client: ...

    TLS's server name and the Host header remain those of the URL. With `proxy`, an operator's proxy of any address, the
    target is checked before it is named to it. Requests raise RefusedAddress.
    """

    def __init__(self, egress: Egress, *, verify: bool = True, proxy: str | httpx.Proxy | None = None) -> None:
        super().__init__(verify=verify, proxy=proxy, trust_env=False)
        self._egress = egress
        self._proxied = proxy is not None
        if not self._proxied:
            # httpx has no parameter for httpcore's network backend.
            self._pool = httpcore.AsyncConnectionPool(
                ssl_context=httpx.create_ssl_context(verify=verify, trust_env=False),
                network_backend=_CheckedBackend(egress),
            )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request; raises RefusedAddress and httpx's errors."""
        if self._proxied:
            await self._egress.check_target(request.url.host)
        return await super().handle_async_request(request)


class _CheckedBackend(httpcore.AsyncNetworkBackend):
    def __init__(self, egress: Egress) -> None:
        self._egress = egress
        self._network = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109 — httpcore's interface
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.AsyncNetworkStream:
        async def connect(address: str) -> httpcore.AsyncNetworkStream:
            try:
                return await self._network.connect_tcp(address, port, None, local_address, socket_options)
            except httpcore.ConnectError as problem:
                raise OSError(str(problem)) from problem

        try:
            return await self._egress.connect(host, connect, timeout)
        except TimeoutError as problem:
            raise httpcore.ConnectTimeout(f"no connection to {host} in {timeout:g} s") from problem
        except OSError as problem:
            raise httpcore.ConnectError(str(problem)) from problem

    async def sleep(self, seconds: float) -> None:
        await self._network.sleep(seconds)
