"""A forward proxy on 127.0.0.1 with CONNECT and basic authentication, as a thread with an event loop of its own."""

import asyncio
import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit


@dataclass
class LocalProxy:
    """Forwards one request a connection. `refuse`: answer this status instead; `wants`: user:password or 407."""

    wants: str = ""
    refuse: int = 0
    port: int = 0
    asked: list[str] = field(default_factory=list)

    @property
    def url(self) -> str:
        """Without user and password."""
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, target, _ = head.split("\r\n", 1)[0].split(" ", 2)
            self.asked.append(f"{method} {target}")
            lines = head.split("\r\n")[1:-2]
            given = next((line.split(": ", 1)[1] for line in lines if line.lower().startswith("proxy-auth")), "")
            wanted = "Basic " + base64.b64encode(self.wants.encode()).decode()
            if self.refuse or (self.wants and given != wanted):
                status = self.refuse or 407
                writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno".encode())
                await writer.drain()
                return
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                far_reader, far_writer = await asyncio.open_connection(host, int(port))
                writer.write(b"HTTP/1.1 200 Connected\r\n\r\n")
            else:
                parts = urlsplit(target)
                far_reader, far_writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
                kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection"))]
                path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
                far_writer.write(
                    "\r\n".join([f"{method} {path} HTTP/1.1", *kept, "Connection: close", "", ""]).encode("latin-1")
                )
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()


@contextmanager
def local_proxy(**options: object) -> Iterator[LocalProxy]:
    """A proxy that answers until the end of the block."""
    proxy = LocalProxy(**options)  # type: ignore[arg-type]
    loop = asyncio.new_event_loop()
    started = threading.Event()

    async def main() -> None:
        server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
        proxy.port = server.sockets[0].getsockname()[1]
        started.set()
        async with server:
            await server.serve_forever()

    def run() -> None:
        asyncio.set_event_loop(loop)
        task = loop.create_task(main())
        loop.run_forever()
        for left in asyncio.all_tasks(loop):
            left.cancel()
        loop.run_until_complete(asyncio.gather(task, return_exceptions=True))
        loop.close()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield proxy
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
