"""The segments of an HLS playlist: fetched, decrypted, checked and joined to one file."""

from __future__ import annotations

import asyncio
import shutil
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import BinaryIO

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from crawler.media import join
from crawler.media.content import NoRecording, sniff
from crawler.media.playlists import Key, MasterPlaylist, MediaPlaylist, Resource, Segment, parse, whole
from crawler.media.transfer import Transfer
from yuqing.media_types import SNIFF_BYTES

_PLAYLIST_BYTES = 4 * 2**20
_KEY_BYTES = 16
_ENCRYPTED_BYTES = 64 * 2**20  # decrypted in memory; 10 s of video are 10 MB at most
_CONTAINERS = {"ts": "mpegts", "aac": "aac", "mp3": "mp3"}  # by the extension of their kind; MP4 comes in fragments
_AHEAD = 4  # segments asked for at a time; how many go out at once is the host's politeness

Get = Callable[[str, Transfer], Awaitable[Transfer]]
"""Fetches an address to the transfer's file, through the crawler's middlewares. Raises NoRecording, IgnoreRequest, ..."""


@dataclass(frozen=True)
class Limits:
    """What one recording may take: bytes, its own seconds, seconds to fetch it, and between two requests."""

    size: int
    length_s: float
    time_s: float
    delay_s: float


async def fetch_playlist(get: Get, url: str, body: Path, folder: Path, limits: Limits) -> Path:
    """From a playlist, read already, to the recording in one file. Raises NoRecording, and what `get` raises."""
    playlist = parse(_read(body), url)
    if isinstance(playlist, MasterPlaylist):
        url = playlist.choice()
        await get(url, Transfer(folder / "variant.m3u8", _PLAYLIST_BYTES, limits.time_s))
        playlist = parse(_read(folder / "variant.m3u8"), url)
        if isinstance(playlist, MasterPlaylist):
            raise NoRecording("a playlist of playlists of playlists", final=True)
    playlist = _accept(playlist, limits)
    return await _Fetch(get, folder, limits).run(playlist)


def _read(path: Path) -> str:
    if path.stat().st_size > _PLAYLIST_BYTES:
        raise NoRecording(f"a playlist of more than {_PLAYLIST_BYTES} bytes", final=True)
    return path.read_text(encoding="utf-8", errors="replace")


def _accept(playlist: MediaPlaylist, limits: Limits) -> MediaPlaylist:
    if not playlist.ended:
        raise NoRecording("a live playlist, which has no end yet")
    if not playlist.segments:
        raise NoRecording("a playlist without segments")
    if playlist.seconds > limits.length_s:
        raise NoRecording(
            f"{playlist.seconds:.0f} s long, more than {limits.length_s:g} (crawler.media_seconds)", final=True
        )
    playlist = whole(playlist)
    at_least = len(playlist.segments) * limits.delay_s
    if at_least > limits.time_s:
        raise NoRecording(
            f"{len(playlist.segments)} segments take {at_least:.0f} s at this site's delay, more than {limits.time_s:g}"
            " (crawler.media_timeout_s)",
            final=True,
        )
    return playlist


class _Fetch:
    """One playlist's segments on their way to one file a stretch."""

    def __init__(self, get: Get, folder: Path, limits: Limits) -> None:
        self._get = get
        self._folder = folder
        self._limits = limits
        self._left = limits.size
        self._deadline = monotonic() + limits.time_s
        self._files = 0
        self._keys: dict[str, bytes] = {}
        self._kind: str | None = None

    async def run(self, playlist: MediaPlaylist) -> Path:
        parts: list[Path] = []
        current: tuple[int, Resource | None] | None = None
        waiting: deque[tuple[Segment, asyncio.Task[Path]]] = deque()
        segments = iter(playlist.segments)
        try:
            while True:
                while len(waiting) < _AHEAD and (segment := next(segments, None)):
                    waiting.append((segment, asyncio.create_task(self._body(segment.resource))))
                if not waiting:
                    break
                segment, task = waiting.popleft()
                path = await task
                if current != (segment.stretch, segment.init):
                    current = (segment.stretch, segment.init)
                    parts.append(self._folder / f"part-{len(parts)}")
                    if segment.init:
                        await self._append(await self._body(segment.init), segment.init_key, segment, parts[-1])
                await self._append(path, segment.key, segment, parts[-1])
        finally:
            # Not cancelled: they are in the downloader's queues. They are few, and their limits hold.
            await asyncio.gather(*(task for _, task in waiting), return_exceptions=True)
        target = self._folder / "joined"
        assert self._kind is not None
        await join.join(parts, self._kind, target)
        return target

    async def _body(self, resource: Resource) -> Path:
        self._files += 1
        path = self._folder / f"segment-{self._files}"
        seconds = self._deadline - monotonic()
        if seconds <= 0:
            raise NoRecording(f"not whole in {self._limits.time_s:g} s (crawler.media_timeout_s)")
        transfer = await self._get(resource.url, Transfer(path, max(self._left, 0), seconds, resource.part))
        self._left -= transfer.received
        if self._left < 0:
            raise NoRecording(f"larger than {self._limits.size} bytes (crawler.media_bytes)", final=True)
        return path

    async def _append(self, path: Path, key: Key | None, segment: Segment, part: Path) -> None:
        """Add a body to its part of the recording, once it is what the others are."""
        secret = (await self._key(key), key.iv or segment.number.to_bytes(16, "big")) if key else None
        kind = await asyncio.to_thread(_append, path, secret, part)
        if self._kind not in (None, kind):
            raise NoRecording(f"its segments are of different formats, {self._kind} and {kind}", final=True)
        self._kind = kind

    async def _key(self, key: Key) -> bytes:
        if key.url not in self._keys:
            path = self._folder / f"key-{len(self._keys)}"
            await self._get(key.url, Transfer(path, 1024, self._limits.time_s))
            self._keys[key.url] = path.read_bytes()
        if len(self._keys[key.url]) != _KEY_BYTES:
            raise NoRecording(f"its key has {len(self._keys[key.url])} bytes, not {_KEY_BYTES}")
        return self._keys[key.url]


def decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    """AES-128 in CBC mode with PKCS #7 padding (RFC 8216, 4.3.2.4). Raises NoRecording when the key is not the right one."""
    try:
        decryptor = Cipher(algorithms.AES128(key), modes.CBC(iv)).decryptor()
        padded = decryptor.update(data) + decryptor.finalize()
        unpadder = PKCS7(128).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
    except ValueError as problem:
        raise NoRecording(f"a segment cannot be decrypted: {problem}") from problem


def container(body: BinaryIO) -> str:
    """What a segment is (RFC 8216, 3), as FFmpeg's format; leaves the file behind a tag that stands before it.

    Told by content: a "segment" may be an error page, or a playlist that makes FFmpeg read other files. Raises NoRecording.
    """
    head = body.read(SNIFF_BYTES)
    begin = 0
    if head[:3] == b"ID3" and len(head) >= 10:  # packed audio begins with its time in an ID3 tag
        begin = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(head[6:10], (21, 14, 7, 0), strict=True))
        body.seek(begin)
        head = body.read(SNIFF_BYTES)
    body.seek(begin)
    if head[4:8] in (b"ftyp", b"styp", b"sidx", b"moof", b"emsg", b"prft"):
        return "mov"
    kind = sniff(head).extension
    if kind not in _CONTAINERS:
        raise NoRecording(f"a segment is {kind}, which HLS does not have", final=True)
    return _CONTAINERS[kind]


def _append(path: Path, secret: tuple[bytes, bytes] | None, target: Path) -> str:
    """Move a body to the end of a file, decrypted with (key, iv); returns what it is."""
    if secret:
        if path.stat().st_size > _ENCRYPTED_BYTES:
            raise NoRecording(f"an encrypted segment of more than {_ENCRYPTED_BYTES} bytes", final=True)
        data = path.read_bytes()
        if data[4:8] != b"ftyp":  # some leave the initialisation section as it is
            path.write_bytes(decrypt(data, *secret))
    with path.open("rb") as body, target.open("ab") as part:
        kind = container(body)
        shutil.copyfileobj(body, part, 2**20)
    path.unlink()
    return kind
