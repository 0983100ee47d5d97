"""The site's extra headers in Chromium: added to what a page asks of the site's own domains, never to anything else."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from websocket import WebSocket, WebSocketException, create_connection

from crawler.domains import OwnOrigins

# Chromium fails a request that is given one of these (kUnsafeHeaders in its services/network/public/cpp/header_util.cc). The
# User-Agent is given to the whole browser, with the client hints that agree with it.
_OF_THE_CONNECTION = frozenset(
    {
        *("connection", "content-length", "cookie2", "host", "keep-alive", "te", "trailer", "transfer-encoding"),
        *("upgrade", "user-agent"),
    }
)


class InterceptionFailed(Exception):
    """Chromium does not take the command, or its connection is gone."""


@dataclass(frozen=True)
class OwnHeaders:
    """Headers (name to value) and the origins that they are for."""

    origins: OwnOrigins
    headers: Mapping[str, str] = field(repr=False)


class Interception:
    """A connection of its own to Chromium's page: its requests to the site's domains are held, and go on with the headers.

    Not Network.setExtraHTTPHeaders, which sends to every host that a page asks for something; and not the filtering proxy,
    which cannot look into TLS. What is overridden here does not follow a redirect (DevTools protocol,
    Fetch.continueRequest): its target is held again, if it is the site's. Requests elsewhere are not held at all. No reply, no
    header: a request that is not seen here goes without.
    """

    def __init__(self, address: str, page: str, timeout_s: float) -> None:
        """`address` is Chromium's debuggerAddress, `page` the window's handle. Raises InterceptionFailed."""
        self._timeout_s = timeout_s
        self._wanted: OwnHeaders | None = None
        self._number = self._awaited = 0
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._reply: dict[str, Any] = {}
        try:
            # Chromium refuses connections with an Origin, which are those of web pages.
            self._socket: WebSocket = create_connection(
                f"ws://{address}/devtools/page/{page}", suppress_origin=True, timeout=timeout_s
            )
            self._socket.settimeout(None)
        except (WebSocketException, OSError) as problem:
            raise InterceptionFailed(f"Chromium takes no connection: {problem}") from problem
        threading.Thread(target=self._listen, name="site headers", daemon=True).start()

    def use(self, wanted: OwnHeaders | None) -> None:
        """Add these from now on, or none; waits until Chromium has confirmed it. Raises InterceptionFailed."""
        if wanted == self._wanted:
            return
        self._wanted = wanted
        if wanted is None:
            self._command("Fetch.disable", {})
        else:
            # A first choice, for speed: others' addresses may hold the domain, too, and are let pass as they are.
            patterns = [{"urlPattern": f"*{domain}*"} for domain in sorted(wanted.origins.domains)]
            self._command("Fetch.enable", {"patterns": patterns})

    def _command(self, method: str, parameters: dict[str, Any]) -> None:
        self._done.clear()
        self._reply = {}
        self._send(method, parameters, awaited=True)
        if not self._done.wait(self._timeout_s) or "result" not in self._reply:
            raise InterceptionFailed(f"Chromium does not take {method}: {self._reply.get('error', 'no answer')}")

    def _send(self, method: str, parameters: dict[str, Any], *, awaited: bool = False) -> None:
        with self._lock:
            self._number += 1
            if awaited:
                self._awaited = self._number
            try:
                self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
            except (WebSocketException, OSError) as problem:
                raise InterceptionFailed(f"Chromium's connection is gone: {problem}") from problem

    def _listen(self) -> None:
        try:
            while message := self._socket.recv():
                event = json.loads(message)
                if event.get("method") == "Fetch.requestPaused":
                    self._go_on(event["params"])
                elif event.get("id") == self._awaited:
                    self._reply = event
                    self._done.set()
        except (WebSocketException, OSError, InterceptionFailed):
            pass  # the browser has ended; what waits for a page has a time limit
        finally:
            self._done.set()

    def _go_on(self, event: dict[str, Any]) -> None:
        wanted, request = self._wanted, event["request"]
        answer: dict[str, Any] = {"requestId": event["requestId"]}
        if wanted and wanted.origins.has(request["url"]):
            added = {name: value for name, value in wanted.headers.items() if name.lower() not in _OF_THE_CONNECTION}
            replaced = {name.lower() for name in added}
            kept = {name: value for name, value in request["headers"].items() if name.lower() not in replaced}
            answer["headers"] = [{"name": name, "value": value} for name, value in (kept | added).items()]
        self._send("Fetch.continueRequest", answer)
