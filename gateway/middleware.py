"""Around every request: an id, one log line, metrics, safe headers and limits."""

import re
import time

import structlog
from prometheus_client import Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from gateway.limits import Limits, excess, limited
from gateway.problems import problem_response, to_problem
from yuqing.identity import new_ulid
from yuqing.telemetry import get_logger

log = get_logger("gateway.access")

REQUESTS = Counter("yuqing_gateway_requests", "Requests answered", ["method", "route", "status"])
SECONDS = Histogram(
    "yuqing_gateway_request_seconds",
    "Time to the end of the answer",
    ["route"],
    buckets=(0.005, 0.01, 0.02, 0.04, 0.08, 0.15, 0.3, 0.6, 1.2, 2.5, 5, 15, 60),
)

# Nothing but our own files; no inline script or style; media from here; nobody may frame the pages.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; media-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # "same-origin" rather than "no-referrer": with the latter browsers send "Origin: null" with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_METHODS = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}


class RequestContext:
    """Gives each request an id (the caller's, if it looks like one); logs path and status, never query or headers."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        self.app = app
        self.limits = limits

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; other scopes (lifespan) pass."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else new_ulid()
        scope.setdefault("state", {})["request_id"] = request_id
        started = time.perf_counter()
        status = 500

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer["X-Request-ID"] = request_id
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        with structlog.contextvars.bound_contextvars(request_id=request_id):
            try:
                await self._within_limit(scope, headers, receive, send_with_headers)
            finally:
                self._account(scope, status, time.perf_counter() - started)

    async def _within_limit(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        too_much = excess(scope, headers, self.limits)
        if too_much is not None:
            problem = to_problem(too_much)
            assert problem is not None
            await problem_response(Request(scope), problem)(scope, receive, send)
        else:
            await self.app(scope, limited(receive, self.limits.of(scope)), send)

    def _account(self, scope: Scope, status: int, seconds: float) -> None:
        route = getattr(scope.get("route"), "path", "unmatched")
        method = scope["method"] if scope["method"] in _METHODS else "other"
        REQUESTS.labels(method, route, str(status)).inc()
        SECONDS.labels(route).observe(seconds)
        log.info("answered", method=method, path=scope["path"], status=status, milliseconds=round(seconds * 1000, 1))
