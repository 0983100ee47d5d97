"""The forward proxy on 127.0.0.1 through which one Chromium makes every request, whatever makes it there.

HTTP requests in absolute form and CONNECT (TLS, websockets) are served in the crawler's event loop; each connection goes to
an address that the site's Egress has checked, or to the operator's proxy once its target is checked. The rest is answered
with 403 and told to the route; what Chromium wants for itself is refused without a word.
"""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import struct
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from crawler.egress import Egress, RefusedAddress

_HEAD_BYTES = 2**16  # of a request; Chromium sends no larger one
_CHUNK_BYTES = 2**16
_NETLINK_SOCK_DIAG, _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST = 4, 20, 1  # linux/netlink.h, linux/sock_diag.h

_GONE = (OSError, EOFError, asyncio.LimitOverrunError, ValueError)  # ValueError: what is no request of a proxy

# What Chromium asks for on its own account, whatever its flags say: no page of a site needs it, and nobody need know of us.
_ERRANDS = frozenset(
    {
        "accounts.google.com",
        "android.clients.google.com",
        "clientservices.googleapis.com",
        "content-autofill.googleapis.com",
        "optimizationguide-pa.googleapis.com",
        "redirector.gvt1.com",
        "safebrowsing.googleapis.com",
        "update.googleapis.com",
        *(f"clients{number}.google.com" for number in range(1, 7)),
    }
)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class UpstreamFailed(ConnectionError):
    """The operator's proxy is away, opens no tunnel or wants other credentials; the site is not to blame."""


@dataclass(frozen=True)
class Route:
    """Where a browser's requests may go while it loads a page.

    egress: the site's policy; connect_s: seconds for a connection; refused: called with the host of every refused request;
    upstream: the operator's proxy, http(s)://host:port, and the value of the Proxy-Authorization header that it wants.
    """

    egress: Egress
    connect_s: float
    refused: Callable[[str], None]
    upstream: str | None = None
    authorization: bytes = b""


class FilteringProxy:
    """A listener of one browser. Without a route every request is refused."""

    def __init__(self) -> None:
        self.port = 0
        self.problems: dict[str, Exception] = {}
        """Why connections failed since the last call of `take`, by host."""
        self._route: Route | None = None
        self._server: asyncio.Server | None = None
        self._connections: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on 127.0.0.1, at a port that the system chooses."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_BYTES)
        self.port = self._server.sockets[0].getsockname()[1]

    def take(self, route: Route) -> None:
        """Serve a new page's requests by its route. Connections that were opened by another one are closed."""
        before, self._route = self._route, route
        self.problems.clear()
        if before and _way(before) != _way(route):
            for connection in self._connections:
                connection.cancel()

    async def close(self) -> None:
        """Stop listening and close all connections."""
        if self._server:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            if _peers_user(writer.get_extra_info("socket")) == os.getuid():
                await self._serve(reader, writer)
        except _GONE:
            pass  # the browser, or the server, went away
        except asyncio.CancelledError:
            pass  # by take() or close(): nobody waits for this task
        finally:
            self._connections.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection of the browser: a tunnel, or requests to one server."""
        head = await _read_head(reader)
        if head is None:
            return
        method, target, _ = head.split(b" ", 2)
        try:
            host, port = _destination(method, target)
        except ValueError:
            await _answer(writer, "400 Bad Request")
            return
        if host in _ERRANDS:
            await _answer(writer, "403 Forbidden")
            return
        route = self._route
        try:
            if route is None:
                raise RefusedAddress("the browser is not loading a page")
            server = await self._connect(route, host, port, tunnel=method == b"CONNECT")
        except RefusedAddress as problem:
            self.problems[host] = problem
            if route:
                route.refused(host)
            await _answer(writer, "403 Forbidden")
            return
        except (OSError, EOFError) as problem:
            self.problems[host] = problem
            await _answer(writer, "502 Bad Gateway")
            return
        try:
            if method == b"CONNECT":
                writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
                forth = _copy(reader, server[1])
            else:
                forth = _requests(head, reader, server[1], route)
            # Whichever side ends first ends the connection: browsers do not close one half only.
            await _first_of(forth, self._answers(host, route, server[0], writer))
        finally:
            server[1].close()

    async def _answers(
        self, host: str, route: Route | None, server: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """What the server says, to the browser; but for what the operator's proxy says on its own account."""
        first = await server.read(_CHUNK_BYTES)
        if route and route.upstream and first[8:13] == b" 407 ":
            self.problems[host] = UpstreamFailed(
                f"the proxy {urlsplit(route.upstream).hostname} wants other credentials"
            )
            await _answer(writer, "502 Bad Gateway")
            return
        writer.write(first)
        await writer.drain()
        await _copy(server, writer)

    async def _connect(self, route: Route, host: str, port: int, *, tunnel: bool) -> Streams:
        if route.upstream is None:
            return await route.egress.connect(
                host, lambda address: asyncio.open_connection(address, port), route.connect_s
            )
        await route.egress.check_target(host)
        proxy = urlsplit(route.upstream)
        context = ssl.create_default_context() if proxy.scheme == "https" else None
        try:
            async with asyncio.timeout(route.connect_s):
                default = 443 if context else 80
                reader, writer = await asyncio.open_connection(proxy.hostname, proxy.port or default, ssl=context)
                if tunnel:
                    name = f"[{host}]" if ":" in host else host
                    writer.write(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}:{port}\r\n".encode())
                    writer.write(_authorization(route) + b"\r\n")
                    status = (await reader.readuntil(b"\r\n\r\n")).split(b"\r\n", 1)[0].decode("latin-1")
                    if status.split(" ", 2)[1:2] != ["200"]:
                        writer.close()
                        raise ConnectionError(f"it answered {status!r}")
        except (OSError, EOFError) as problem:
            raise UpstreamFailed(f"the proxy {proxy.hostname}: {problem or type(problem).__name__}") from problem
        return reader, writer


def _way(route: Route) -> tuple[object, ...]:
    """What connections must have in common to be kept from one page to the next."""
    return route.egress, route.upstream, route.authorization


async def _read_head(reader: asyncio.StreamReader) -> bytes | None:
    """A request's line and headers with the empty line, or None at the connection's end."""
    try:
        return await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as problem:
        if problem.partial:
            raise
        return None


def _destination(method: bytes, target: bytes) -> tuple[str, int]:
    """Host and port that a request names; raises ValueError."""
    parts = urlsplit(("//" if method == b"CONNECT" else "") + target.decode("ascii"))
    if not parts.hostname or parts.scheme != ("" if method == b"CONNECT" else "http"):
        raise ValueError(f"not a proxy's request: {target!r}")
    return parts.hostname, parts.port or 80


async def _requests(
    head: bytes | None, reader: asyncio.StreamReader, server: asyncio.StreamWriter, route: Route
) -> None:
    """Pass on requests of one connection while they are for the same server, the first one's."""
    first = None
    while head is not None:
        method, target, rest = head.split(b" ", 2)
        destination = _destination(method, target)
        first = first or destination
        if destination != first or method == b"CONNECT":
            return  # the browser asks again on a connection of its own
        server.write(b"%b %b %b" % (method, target if route.upstream else _path(target), _headers(rest, route)))
        length = _body_length(rest)
        if length is None:
            await _copy(reader, server)
            return
        while length > 0:
            chunk = await reader.read(min(length, _CHUNK_BYTES))
            if not chunk:
                return
            length -= len(chunk)
            server.write(chunk)
            await server.drain()
        head = await _read_head(reader)


def _path(target: bytes) -> bytes:
    """The origin form of an absolute one."""
    path = target[target.index(b"//") + 2 :]
    start = min((path.find(mark) for mark in (b"/", b"?") if mark in path), default=len(path))
    return path[start:] if path[start : start + 1] == b"/" else b"/" + path[start:]


def _headers(rest: bytes, route: Route) -> bytes:
    """Version and headers as a server sees them from a browser without a proxy, and as a proxy must see them."""
    lines = rest.split(b"\r\n")
    if route.upstream is None:
        return b"\r\n".join(
            b"Connection:" + line[17:] if line[:17].lower() == b"proxy-connection:" else line for line in lines
        )
    return lines[0] + b"\r\n" + _authorization(route) + b"\r\n".join(lines[1:])


def _authorization(route: Route) -> bytes:
    return b"Proxy-Authorization: " + route.authorization + b"\r\n" if route.authorization else b""


def _body_length(rest: bytes) -> int | None:
    """Length of a request's body in bytes; None when only its end tells (chunked)."""
    length = 0
    for line in rest.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"transfer-encoding":
            return None
        if name.lower() == b"content-length":
            length = int(value)
    return length


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while chunk := await reader.read(_CHUNK_BYTES):
        writer.write(chunk)
        await writer.drain()


async def _first_of(*ways: Coroutine[Any, Any, None]) -> None:
    """Run all until one ends; the others are cancelled. That the browser or the server goes away is no error."""
    tasks = [asyncio.create_task(way) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        for outcome in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(outcome, Exception) and not isinstance(outcome, _GONE):
                raise outcome


async def _answer(writer: asyncio.StreamWriter, status: str) -> None:
    writer.write(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
    await writer.drain()


def _peers_user(connection: socket.socket) -> int:
    """The user id of the process at the other end of a loopback connection.

    Asked of the kernel by sock_diag(7), which looks up one connection in 50 µs; /proc/net/tcp lists all, in milliseconds,
    and is read where there is no sock_diag. -1 when the connection is not there any more.
    """
    peer, own = connection.getpeername(), connection.getsockname()
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_DGRAM, _NETLINK_SOCK_DIAG) as netlink:
            ends = (socket.inet_aton(peer[0]) + bytes(12), socket.inet_aton(own[0]) + bytes(12))
            wanted = struct.pack("!HH16s16s", peer[1], own[1], *ends) + struct.pack("=3I", 0, 2**32 - 1, 2**32 - 1)
            request = struct.pack("=4BI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 2**32 - 1) + wanted
            header = struct.pack("=IHHII", 16 + len(request), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0)
            netlink.settimeout(1)
            netlink.send(header + request)
            reply = netlink.recv(4096)
        if struct.unpack_from("=H", reply, 4)[0] == _SOCK_DIAG_BY_FAMILY:
            return int(struct.unpack_from("=I", reply, 16 + 4 + 48 + 12)[0])  # after header, states, sockid, counters
        return -1
    except OSError:

        def form(end: tuple[str, int]) -> str:
            return f"{struct.unpack('=I', socket.inet_aton(end[0]))[0]:08X}:{end[1]:04X}"

        wanted_line = f" {form(peer)} {form(own)} "
        for line in Path("/proc/self/net/tcp").read_text().splitlines():
            if wanted_line in line:
                return int(line.split()[7])
        return -1
