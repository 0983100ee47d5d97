"""Serve the newsroom: four consecutive ports on 127.0.0.1, three media and the control port, in one process."""

from __future__ import annotations

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from examples.newsroom.edition import edition
from examples.newsroom.media import finance, portal, tech
from examples.newsroom.request_log import RequestLog
from yuqing.errors import YuqingError

HOST = "127.0.0.1"
NAMES = ("finance", "portal", "tech", "control")
"""What listens on the first port, the second, and so on."""
USUAL_PORT = 8800
_LAST_TRY = 9600


class PortTaken(YuqingError):
    """The ports that were asked for are not free."""


class _Server(uvicorn.Server):
    """Says when it has begun to answer."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()


def serve(
    port: int | None = None, port_file: Path | None = None, announce: Callable[[str], None] = lambda line: None
) -> None:
    """Serve until SIGTERM or SIGINT, then return.

    `port` is the first of the four; None takes the usual 8800 or the next free block, 0 any free block. Once all four
    answer, the base URLs go to `port_file` as JSON and to `announce`. Raises PortTaken and DatasetError.
    """
    sockets = listen(port)
    ports = [bound.getsockname()[1] for bound in sockets]
    base_urls = {name: f"http://{HOST}:{number}" for name, number in zip(NAMES, ports, strict=True)}

    def ready() -> None:
        for name, url in base_urls.items():
            announce(f"{name:8} {url}/")
        if port_file:
            partial = port_file.with_name(port_file.name + ".partial")
            partial.write_text(json.dumps(base_urls) + "\n", encoding="utf-8")
            partial.replace(port_file)

    config = uvicorn.Config(
        application(base_urls), lifespan="off", log_level="warning", access_log=False, timeout_graceful_shutdown=2
    )
    # uvicorn raises the signal that stopped it once more for the handlers from before; ours let it end there.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    _Server(config, ready).run(sockets=sockets)


def application(base_urls: dict[str, str]) -> ASGIApp:
    """One ASGI application for all ports: the port that a connection came in on says which medium answers."""
    published = edition()
    log = RequestLog(NAMES[:3])
    media: dict[str, ASGIApp] = {
        "finance": finance.application(published, base_urls["finance"]),
        "portal": portal.application(published, base_urls["portal"]),
        "tech": tech.application(published, base_urls["tech"]),
        "control": log.application(),
    }
    names = {int(url.rpartition(":")[2]): name for name, url in base_urls.items()}

    async def dispatch(scope: Scope, receive: Receive, send: Send) -> None:
        name = names[scope["server"][1]]
        if name != "control":
            log.add(name, scope["path"])
        await media[name](scope, receive, send)

    return dispatch


def listen(port: int | None) -> list[socket.socket]:
    """Four sockets on consecutive ports, bound and listening; raises PortTaken."""
    if port:
        found = _block(port)
        if found is None:
            raise PortTaken(
                f"ports {port} to {port + len(NAMES) - 1} are not all free on {HOST}",
                cure="give another --port, or none to take the next free ones",
            )
        return found
    if port is None:
        for first in range(USUAL_PORT, _LAST_TRY, 10):
            found = _block(first)
            if found:
                return found
    for _ in range(50):
        with socket.create_server((HOST, 0)) as probe:
            first = probe.getsockname()[1] + 1
        found = _block(first)
        if found:
            return found
    raise PortTaken(f"no {len(NAMES)} consecutive free ports were found on {HOST}", cure="give one with --port")


def _block(first: int) -> list[socket.socket] | None:
    sockets: list[socket.socket] = []
    try:
        for number in range(first, first + len(NAMES)):
            sockets.append(socket.create_server((HOST, number), backlog=256))
    except (OSError, OverflowError):
        for opened in sockets:
            opened.close()
        return None
    return sockets
