"""A body of any size streamed to a file: memory stays flat, and a transfer that breaks goes on where it broke."""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from http.cookiejar import DefaultCookiePolicy
from pathlib import Path
from time import monotonic
from typing import BinaryIO

import httpx
from scrapy import Request
from scrapy.exceptions import DownloadFailedError, DownloadTimeoutError, IgnoreRequest
from scrapy.http import Headers, Response

from crawler.egress import CheckedTransport, Egress
from yuqing.media_types import SNIFF_BYTES

_GZIP = 16 + zlib.MAX_WBITS  # zlib's number for the format
_PIECE = 65_536  # bytes decompressed at a time
_CONTENT_RANGE = re.compile(r"bytes\s+(?:(\d+)-(\d+)|\*)/(\d+|\*)", re.IGNORECASE)


class TransferRefused(IgnoreRequest):
    """A body that is not taken whole: larger, longer or slower than the settings allow. `final`: nor will it be later."""

    def __init__(self, reason: str, *, final: bool = True) -> None:
        super().__init__(reason)
        self.final = final


@dataclass
class Transfer:
    """One body on its way to a file, over as many requests as it takes: Scrapy's retries copy the request's meta and
    find it there as the last request left it.

    limit: bytes; seconds: for all requests together, from the first on; part: first and last byte wanted of the body,
    None for all of it. length, head and sha256 are of what is in the file; announced: what the server said is to come;
    received: bytes that came, also in vain; url: where it was in the end.
    """

    path: Path
    limit: int
    seconds: float
    part: tuple[int, int] | None = None
    length: int = 0
    head: bytes = b""
    digest: hashlib._Hash = field(default_factory=hashlib.sha256, repr=False)
    validator: str | None = None
    announced: int | None = None
    received: int = 0
    url: str | None = None
    deadline: float | None = None

    @property
    def sha256(self) -> str:
        """Of what is in the file, in hex."""
        return self.digest.hexdigest()

    @property
    def position(self) -> int:
        """The byte of the body that comes next."""
        return (self.part[0] if self.part else 0) + self.length

    @property
    def wanted(self) -> int | None:
        """Bytes that are to come still, None when that is unknown."""
        return self.part[1] + 1 - self.position if self.part else None

    def begin_again(self) -> None:
        """Forget what came: it cannot be continued."""
        self.length, self.head, self.digest, self.validator = 0, b"", hashlib.sha256(), None
        self.path.unlink(missing_ok=True)

    def range_headers(self) -> dict[str, str]:
        """What asks for the rest. Without a validator nothing tells whether it is the rest of the same: all is asked for."""
        if self.length and not self.validator:
            self.begin_again()
        if not self.position and not self.part:
            return {}
        last = self.part[1] if self.part else ""
        condition = {"If-Range": self.validator} if self.length and self.validator else {}
        return {"Range": f"bytes={self.position}-{last}", **condition}

    def add(self, data: bytes, target: BinaryIO) -> None:
        """Append to the file. Raises TransferRefused."""
        if self.length + len(data) > self.limit:
            raise _too_large(self.limit)
        if len(self.head) < SNIFF_BYTES:
            self.head += data[: SNIFF_BYTES - len(self.head)]
        self.digest.update(data)
        self.length += len(data)
        target.write(data)


class Client:
    """The connections of one site's transfers; every one of them goes to a checked address."""

    def __init__(self, egress: Egress, timeout_s: float) -> None:
        self._egress = egress
        self._timeout_s = timeout_s
        self._clients: dict[tuple[str | None, str], httpx.AsyncClient] = {}

    async def receive(self, request: Request, transfer: Transfer) -> Response:
        """Make one request for what is missing; its answer without the body, a part's (206) as 200.

        Raises Scrapy's download errors, after which another call goes on where this one ended, TransferRefused, RefusedAddress.
        """
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in _pairs(request.headers)}
        headers |= transfer.range_headers()
        # For the proxy alone; inside a tunnel the site would read it.
        client = self._client(request.meta.get("proxy"), headers.pop("Proxy-Authorization", ""))
        if transfer.deadline is None:
            transfer.deadline = monotonic() + transfer.seconds
        try:
            async with (
                asyncio.timeout(transfer.deadline - monotonic()) as whole,
                client.stream("GET", request.url, headers=headers) as response,
            ):
                status = await _take(response, transfer)
        except TimeoutError as problem:
            if whole.expired():
                # What announces no length may have no end; anything else was too slow this time.
                raise TransferRefused(
                    f"not whole in {transfer.seconds:g} s (crawler.media_timeout_s)", final=not transfer.announced
                ) from problem
            raise
        except httpx.TimeoutException as problem:
            raise DownloadTimeoutError(f"no answer for {self._timeout_s:g} s") from problem
        except (httpx.HTTPError, httpx.InvalidURL) as problem:
            raise DownloadFailedError(str(problem) or type(problem).__name__) from problem
        answer = Headers([(name, value) for name, value in response.headers.raw])
        # The body is already decoded; Scrapy's own decompression must not see the header.
        answer.pop("Content-Encoding", None)
        return Response(request.url, status=status, headers=answer, request=request)

    async def close(self) -> None:
        """Close the connections."""
        for client in self._clients.values():
            await client.aclose()

    def _client(self, proxy: str | None, authorization: str) -> httpx.AsyncClient:
        if (proxy, authorization) not in self._clients:
            secret = {"Proxy-Authorization": authorization} if authorization else {}
            upstream = httpx.Proxy(proxy, headers=secret) if proxy else None
            # As Scrapy does for pages: the certificate chains of many sites are broken.
            transport = CheckedTransport(self._egress, verify=False, proxy=upstream)
            client = httpx.AsyncClient(transport=transport, timeout=self._timeout_s, trust_env=False)
            client.cookies.jar.set_policy(DefaultCookiePolicy(allowed_domains=[]))  # cookies are Scrapy's affair
            self._clients[proxy, authorization] = client
        return self._clients[proxy, authorization]


async def _take(response: httpx.Response, transfer: Transfer) -> int:
    """Append the answer's body to the file; returns the status that the rest of the crawler is to see."""
    if response.status_code == 416:
        found = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
        if transfer.length and not transfer.part and found and found[3] == str(transfer.length):
            return 200  # it was whole already
        transfer.begin_again()
        raise DownloadFailedError("the server has not the range that it was asked for")
    if response.status_code not in (200, 206):
        return response.status_code
    encoding = response.headers.get("content-encoding", "").strip().lower()
    encoded = encoding not in ("", "identity")
    # We ask for none. Some servers pack whatever they send, always with gzip.
    if encoded and encoding not in ("gzip", "x-gzip"):
        raise TransferRefused(f"it comes compressed ({encoding[:40]}), which was not asked for", final=False)
    skip = 0
    if response.status_code == 200:  # all of it: the server knows no ranges, or has another version by now
        transfer.begin_again()
        skip = transfer.position
    else:
        found = _CONTENT_RANGE.match(response.headers.get("content-range", ""))
        if encoded or not found or found[1] is None or int(found[1]) != transfer.position:
            transfer.begin_again()
            raise DownloadFailedError("the server sent another range than it was asked for")
    length = int(response.headers.get("content-length") or 0)
    if not length and any(name.startswith("icy-") for name in response.headers):
        raise TransferRefused("a live stream, which has no end")
    transfer.announced = length or None
    if not transfer.part and transfer.length + length > transfer.limit:
        raise _too_large(transfer.limit)
    if length and not encoded:
        transfer.validator = _validator(response.headers)
    with transfer.path.open("ab") as target:
        # As they come: chunks of one size would keep back what came last before a break.
        async for chunk in _unpacked(response) if encoded else response.aiter_raw():
            transfer.received += len(chunk)
            if skip:
                skip, chunk = max(0, skip - len(chunk)), chunk[skip:]
            transfer.add(chunk[: transfer.wanted], target)
            if transfer.wanted == 0:
                break
    if transfer.wanted:
        raise DownloadFailedError(f"{transfer.wanted} bytes of the range are missing")
    return 200


async def _unpacked(response: httpx.Response) -> AsyncIterator[bytes]:
    """A gzip body in pieces of _PIECE bytes at most, so that whoever takes them can stop before the next is made."""
    decoder = zlib.decompressobj(_GZIP)
    try:
        async for chunk in response.aiter_raw():
            if decoder.eof:
                raise DownloadFailedError("something follows the end of the gzip body")
            while True:
                piece = decoder.decompress(chunk, _PIECE)
                yield piece
                chunk = decoder.unconsumed_tail
                if not chunk and len(piece) < _PIECE:
                    break
            if decoder.unused_data:
                raise DownloadFailedError("something follows the end of the gzip body")
    except zlib.error as problem:
        raise DownloadFailedError(f"the gzip body is damaged: {problem}") from problem
    if not decoder.eof:
        raise DownloadFailedError("the gzip body has no end")


def _validator(headers: httpx.Headers) -> str | None:
    """What If-Range takes: a strong ETag or a time (RFC 9110, 13.1.5)."""
    tag: str = headers.get("etag", "")
    return tag if tag.startswith('"') else headers.get("last-modified")


def _too_large(limit: int) -> TransferRefused:
    return TransferRefused(f"larger than {limit} bytes (crawler.media_bytes)")


def _pairs(headers: Headers) -> list[tuple[bytes, bytes]]:
    return [(name, value) for name, values in headers.items() for value in values]
