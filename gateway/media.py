"""A recording from S3 as an HTTP answer, with ranges (RFC 9110, section 14), so that players can jump."""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass

from fastapi import Request
from fastapi.responses import Response, StreamingResponse

from gateway.problems import Problem, not_found
from gateway.queries.media import MediaObject, find_media
from gateway.resources import Gateway

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
# A type that a page could run must never come from our address, whatever the site said that it was.
_PLAYABLE = re.compile(r"(audio|video)/[A-Za-z0-9.+-]{1,64}")


@dataclass(frozen=True)
class ByteRange:
    """Bytes first to last, both included."""

    first: int
    last: int


def parse_range(header: str | None, size: int) -> ByteRange | None:
    """The one range asked for; None: send all (no range, several, or another unit). Problem 416 outside the object."""
    match = _RANGE.fullmatch(header.strip()) if header else None
    if match is None or (not match[1] and not match[2]):
        return None
    if not match[1]:  # the last n bytes
        first, last = max(size - int(match[2]), 0), size - 1
        outside = int(match[2]) == 0 or size == 0
    else:
        first = int(match[1])
        last = min(int(match[2]), size - 1) if match[2] else size - 1
        if match[2] and int(match[2]) < first:
            return None  # not a valid range; RFC 9110 says to ignore it
        outside = first >= size
    if outside:
        raise Problem(
            416,
            "range",
            f"the recording has {size} bytes; {header} is outside",
            headers={"Content-Range": f"bytes */{size}"},
        )
    return ByteRange(first, last)


async def find_recording(gateway: Gateway, team_id: int, sha256: str) -> MediaObject:
    """The recording, if the team uploaded it or may see a document that carries it. Problem 404 otherwise."""
    async with gateway.reading.connect() as connection:
        found = await find_media(connection, team_id, sha256)
    if found is None:
        raise not_found(f"recording {sha256}")
    return found


async def media_response(request: Request, gateway: Gateway, team_id: int, sha256: str) -> Response:
    """Stream the recording, or the part asked for. Problem 404, 416; 503 when S3 is away."""
    found = await find_recording(gateway, team_id, sha256)
    headers = {
        "Accept-Ranges": "bytes",
        "ETag": f'"{found.sha256}"',
        "Cache-Control": "private, max-age=86400, immutable",
        "Content-Security-Policy": "default-src 'none'; media-src 'self'; sandbox",
    }
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    content_type = found.content_type.partition(";")[0].strip()
    if not _PLAYABLE.fullmatch(content_type):
        content_type = "application/octet-stream"
        headers["Content-Disposition"] = f'attachment; filename="{found.sha256[:16]}"'
    # With If-Range of another version the whole object is due.
    same = request.headers.get("if-range") in (None, headers["ETag"])
    part = parse_range(request.headers.get("range"), found.bytes) if same else None
    first, last = (part.first, part.last) if part else (0, found.bytes - 1)
    headers["Content-Length"] = str(last - first + 1)
    if part:
        headers["Content-Range"] = f"bytes {first}-{last}/{found.bytes}"
    status = 206 if part else 200
    if request.method == "HEAD" or found.bytes == 0:
        return Response(status_code=status, headers=headers, media_type=content_type)
    chunks = gateway.store.stream(found.s3_key, first=first, last=last if part else None)
    # The first chunk before the headers go out: afterwards a missing object could not be reported any more.
    beginning = await asyncio.to_thread(next, chunks, b"")
    return StreamingResponse(_joined(beginning, chunks), status_code=status, headers=headers, media_type=content_type)


def _joined(beginning: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    yield beginning
    yield from rest
