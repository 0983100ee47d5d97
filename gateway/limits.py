"""How large a request may be: its query, its headers, its body."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

# The longest query that means something, a search of 200 Chinese characters with all filters, has 3 KiB. The server itself reads
# 64 KiB of request line and headers, and breaks off behind them.
QUERY_BYTES = 16 * 2**10
HEADER_BYTES = 32 * 2**10


@dataclass(frozen=True)
class Limits:
    """Bytes of a body; `uploads` names the paths that take more, and how much."""

    body: int
    uploads: Mapping[str, int] = field(default_factory=dict)

    def of(self, scope: Scope) -> int:
        """The limit of the body of this request."""
        return self.uploads.get(scope["path"], self.body)


def excess(scope: Scope, headers: Headers, limits: Limits) -> HTTPException | None:
    """What is too large, as far as the head of the request tells: 414, 431 or 413."""
    if len(scope["query_string"]) > QUERY_BYTES:
        return HTTPException(414, f"the query is longer than {QUERY_BYTES} bytes")
    if sum(len(name) + len(value) for name, value in headers.raw) > HEADER_BYTES:
        return HTTPException(431, f"the headers are longer than {HEADER_BYTES} bytes")
    length, limit = headers.get("content-length", "0"), limits.of(scope)
    # int() of a number with more than 4300 digits is refused by Python.
    if not length.isdecimal() or len(length) > 18 or int(length) > limit:
        return _too_large(limit)
    return None


def limited(receive: Receive, limit: int) -> Receive:
    """`receive`, counting the bytes of a body that came without a length."""
    seen = 0

    async def counted() -> Message:
        nonlocal seen
        message = await receive()
        seen += len(message.get("body", b""))
        if seen > limit:
            raise _too_large(limit)
        return message

    return counted


def _too_large(limit: int) -> HTTPException:
    # An HTTPException, because FastAPI turns any other error that the reading of a body raises into "400".
    return HTTPException(413, f"the body is larger than {limit} bytes")
