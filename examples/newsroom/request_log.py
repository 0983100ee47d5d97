"""Counts what each medium was asked for, so that a test can say "fetched exactly once" or "never"."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route


class RequestLog:
    """Requests by medium and path; queries are left out."""

    def __init__(self, media: Iterable[str]) -> None:
        self._counts: dict[str, Counter[str]] = {medium: Counter() for medium in media}

    def add(self, medium: str, path: str) -> None:
        """Count one request."""
        self._counts[medium][path] += 1

    def application(self) -> Starlette:
        """GET /__requests__ answers {medium: {path: count}}; DELETE starts anew; GET /__health__ says ok."""

        def requests(request: Request) -> JSONResponse:
            if request.method == "DELETE":
                for counts in self._counts.values():
                    counts.clear()
            return JSONResponse({medium: dict(sorted(counts.items())) for medium, counts in self._counts.items()})

        def health(request: Request) -> JSONResponse:
            return JSONResponse({"ok": True})

        return Starlette(
            routes=[Route("/__requests__", requests, methods=["GET", "DELETE"]), Route("/__health__", health)]
        )
