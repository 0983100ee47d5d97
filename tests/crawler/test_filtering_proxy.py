"""The browsers' proxy: what passes, what is refused, and that it serves its own browser alone."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Sequence
from http.server import BaseHTTPRequestHandler

import pytest

from crawler import filtering_proxy
from crawler.egress import Egress, RefusedAddress
from crawler.filtering_proxy import FilteringProxy, Route, UpstreamFailed
from tests.crawler.conftest import Answer, WebServer


async def names(host: str) -> Sequence[str]:
    if host == "nowhere.test":
        raise OSError("unknown")
    return {"private.test": ["10.0.0.1"]}.get(host, ["127.0.0.1"])


def route(refused: list[str] | None = None, **changes: object) -> Route:
    egress = Egress(allow_private=True, resolver=names)
    return Route(egress, 5, (refused if refused is not None else []).append, **changes)  # type: ignore[arg-type]


def with_proxy(scenario: Callable[[FilteringProxy], Awaitable[None]]) -> None:
    async def run() -> None:
        proxy = FilteringProxy()
        await proxy.start()
        try:
            async with asyncio.timeout(30):
                await scenario(proxy)
        finally:
            await proxy.close()

    asyncio.run(run())


async def client(proxy: FilteringProxy) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", proxy.port)


async def response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Status and body of one answer with a Content-Length; (0, b"") when the connection was closed without one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b""
    length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
    return int(head.split()[1]), await reader.readexactly(length)


async def ask(proxy: FilteringProxy, text: str) -> tuple[int, bytes]:
    reader, writer = await client(proxy)
    writer.write(text.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    answer = await response(reader)
    writer.close()
    return answer


def echo(handler: BaseHTTPRequestHandler) -> None:
    """Answers with what came: request line, headers, body."""
    length = int(handler.headers.get("Content-Length") or 0)
    body = f"{handler.requestline}\n{handler.headers}".encode() + handler.rfile.read(length)
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def test_requests_reach_the_server_as_from_a_browser_without_a_proxy(web: WebServer) -> None:
    web.answers["/a?b=//c"] = Answer(behave=echo)
    web.answers["/?x=1"] = Answer(behave=echo)
    port = web.url.rpartition(":")[2]

    async def scenario(proxy: FilteringProxy) -> None:
        proxy.take(route())
        reader, writer = await client(proxy)
        lines = f"Host: www.test:{port}\r\nProxy-Connection: keep-alive\r\nContent-Length: 5\r\n\r\nGET /x"
        for _ in range(2):  # the body is no request, and the connection is used again
            writer.write(f"GET http://www.test:{port}/a?b=//c HTTP/1.1\r\n{lines}"[:-1].encode())
            status, body = await response(reader)
            assert status == 200
            assert body.decode().replace("\r", "").splitlines() == [
                "GET /a?b=//c HTTP/1.1", f"Host: www.test:{port}", "Connection: keep-alive", "Content-Length: 5", "", "GET /",
            ]  # fmt: skip
        # Another server's address does not go to this one.
        writer.write(f"GET http://other.test:{port}/a?b=//c HTTP/1.1\r\nHost: other.test\r\n\r\n".encode())
        assert await response(reader) == (0, b"")
        status, body = await ask(proxy, f"GET http://www.test:{port}?x=1 HTTP/1.1\nHost: www.test")
        assert body.startswith(b"GET /?x=1 ")

    with_proxy(scenario)
    assert web.asked == {"/a?b=//c": 2, "/?x=1": 1}


def test_tunnels(web: WebServer) -> None:
    web.answers["/a"] = Answer("through")
    port = web.url.rpartition(":")[2]

    async def scenario(proxy: FilteringProxy) -> None:
        proxy.take(route())
        for name in ("www.test", "127.0.0.1"):
            reader, writer = await client(proxy)
            writer.write(f"CONNECT {name}:{port} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
            assert await response(reader) == (200, b"")
            writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
            assert await response(reader) == (200, b"through")
            writer.close()

    with_proxy(scenario)


def test_refusals_and_failures_are_told(web: WebServer) -> None:
    port = web.url.rpartition(":")[2]
    refused: list[str] = []

    async def scenario(proxy: FilteringProxy) -> None:
        assert (await ask(proxy, f"GET {web.url}/a HTTP/1.1\nHost: x"))[0] == 403  # no page is being loaded
        public = Route(Egress(allow_private=False, resolver=names), 5, refused.append)
        proxy.take(public)
        assert not proxy.problems
        for target in ("127.0.0.1", "www.test", "private.test", "2130706433", "[::1]", "169.254.169.254"):
            assert (await ask(proxy, f"CONNECT {target}:{port} HTTP/1.1\nHost: x"))[0] == 403
            assert (await ask(proxy, f"GET http://{target}:{port}/a HTTP/1.1\nHost: x"))[0] == 403
        assert (await ask(proxy, "CONNECT nowhere.test:443 HTTP/1.1\nHost: x"))[0] == 502
        for target in (
            "GET /a",
            "GET file:///etc/passwd",
            "GET ftp://www.test/",
            "CONNECT /",
            "GET http://www.test:x/",
        ):
            assert (await ask(proxy, f"{target} HTTP/1.1\nHost: x"))[0] == 400
        assert (await ask(proxy, "nonsense"))[0] == 0
        assert isinstance(proxy.problems["www.test"], RefusedAddress)
        assert isinstance(proxy.problems["nowhere.test"], OSError)
        proxy.take(route())
        errand = f"CONNECT accounts.google.com:{port} HTTP/1.1\nHost: x"
        assert (await ask(proxy, errand))[0] == 403  # though this name is at 127.0.0.1, too
        assert "accounts.google.com" not in proxy.problems
        assert (await ask(proxy, f"CONNECT 169.254.169.254:{port} HTTP/1.1\nHost: x"))[0] == 403
        assert (await ask(proxy, "GET http://127.0.0.1:1/a HTTP/1.1\nHost: x"))[0] == 502

    with_proxy(scenario)
    assert len(refused) == 12
    assert not web.asked


def test_another_policy_closes_what_the_last_one_opened(web: WebServer) -> None:
    port = web.url.rpartition(":")[2]

    async def scenario(proxy: FilteringProxy) -> None:
        first = route()
        proxy.take(first)
        reader, writer = await client(proxy)
        writer.write(f"CONNECT www.test:{port} HTTP/1.1\r\n\r\n".encode())
        assert await response(reader) == (200, b"")
        proxy.take(first)  # the site's next page
        writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await response(reader))[0] == 404
        proxy.take(Route(Egress(allow_private=False, resolver=names), 5, print))
        writer.write(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await response(reader) == (0, b"")

    with_proxy(scenario)
    assert web.asked["/a"] == 1


def test_an_operators_proxy(web: WebServer) -> None:
    """It may be at any address; what it is asked for is checked, and it is told who asks."""
    seen: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        seen.append(head)
        if "closed.test" in head.split("\r\n")[0]:
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n")
        else:
            writer.write(b"HTTP/1.1 200 OK\r\n" + b"Content-Length: 0\r\n" * head.startswith("GET") + b"\r\n")
        await writer.drain()
        writer.close()

    async def unknown(host: str) -> Sequence[str]:
        if host == "private.test":
            return ["10.0.0.1"]
        raise OSError("there is no name service")

    async def scenario(proxy: FilteringProxy) -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        upstream = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        egress = Egress(allow_private=False, resolver=unknown)
        proxy.take(Route(egress, 5, print, upstream, b"Basic dTpw"))
        assert (await ask(proxy, "GET http://www.test/a HTTP/1.1\nHost: www.test"))[0] == 200
        assert (await ask(proxy, "CONNECT www.test:443 HTTP/1.1\nHost: www.test"))[0] == 200
        assert (await ask(proxy, "CONNECT closed.test:443 HTTP/1.1\nHost: www.test"))[0] == 502
        assert "407" in str(proxy.problems["closed.test"])
        assert (await ask(proxy, "GET http://closed.test/a HTTP/1.1\nHost: www.test"))[0] == 502
        assert "other credentials" in str(proxy.problems["closed.test"])
        assert isinstance(proxy.problems["closed.test"], UpstreamFailed)
        for host in ("localhost", "private.test", "127.0.0.1", "0x7f.1"):
            assert (await ask(proxy, f"CONNECT {host}:443 HTTP/1.1\nHost: x"))[0] == 403
        server.close()

    with_proxy(scenario)
    assert [head.split("\r\n")[0] for head in seen] == [
        "GET http://www.test/a HTTP/1.1",
        "CONNECT www.test:443 HTTP/1.1",
        "CONNECT closed.test:443 HTTP/1.1",
        "GET http://closed.test/a HTTP/1.1",
    ]
    assert all("Proxy-Authorization: Basic dTpw\r\n" in head for head in seen)


@pytest.mark.parametrize("diagnostics", [True, False])
def test_other_users_of_the_machine_are_not_served(
    web: WebServer, monkeypatch: pytest.MonkeyPatch, diagnostics: bool
) -> None:
    web.answers["/a"] = Answer("mine")
    if not diagnostics:  # as where the kernel has no sock_diag
        monkeypatch.setattr(filtering_proxy, "_NETLINK_SOCK_DIAG", 10_000)

    async def scenario(proxy: FilteringProxy) -> None:
        proxy.take(route())
        assert await ask(proxy, f"GET {web.url}/a HTTP/1.1\nHost: x") == (200, b"mine")
        user = os.getuid()
        monkeypatch.setattr(os, "getuid", lambda: user + 1)
        assert await ask(proxy, f"GET {web.url}/a HTTP/1.1\nHost: x") == (0, b"")

    with_proxy(scenario)
    assert web.asked["/a"] == 1
