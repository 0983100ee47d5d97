"""HLS playlists (RFC 8216): which variant to take, and the segments of it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from crawler.canonical import join
from crawler.media.content import NoRecording

MAX_SEGMENTS = 10_000  # 5.5 hours of the shortest that are in use, 2 s
_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]*)')
# How the names of codecs for sound begin (RFC 6381); a list of codecs without one of them is of a mute stream.
_AUDIO_CODECS = ("mp4a", "ac-3", "ec-3", "ac-4", "opus", "Opus", "flac", "fLaC", "mp3", "alac", "dts")


@dataclass(frozen=True)
class Key:
    """AES-128 in CBC mode; iv is None when it is the segment's number."""

    url: str
    iv: bytes | None = None


@dataclass(frozen=True)
class Resource:
    """A body, or the bytes from the first to the last of it, both included."""

    url: str
    part: tuple[int, int] | None = None


@dataclass(frozen=True)
class Segment:
    """A stretch of a recording: its seconds, its bytes, and what stands before them and hides them.

    init: the initialisation section of fragmented MP4; stretch: counts discontinuities, at which clocks and formats may
    change; number: its media sequence number.
    """

    resource: Resource
    seconds: float
    number: int
    key: Key | None = None
    init: Resource | None = None
    init_key: Key | None = None
    stretch: int = 0


@dataclass(frozen=True)
class MediaPlaylist:
    """A playlist of segments; `ended`: no more will be added."""

    segments: list[Segment] = field(default_factory=list)
    ended: bool = False

    @property
    def seconds(self) -> float:
        """How long it lasts, as it says."""
        return sum(segment.seconds for segment in self.segments)


@dataclass(frozen=True)
class Variant:
    """A stream of a master playlist: bits a second, and codecs as named."""

    url: str
    bandwidth: int
    codecs: Sequence[str]

    @property
    def only_sound(self) -> bool:
        """Whether all its codecs are of sound."""
        return bool(self.codecs) and all(codec.startswith(_AUDIO_CODECS) for codec in self.codecs)

    @property
    def may_sound(self) -> bool:
        """Whether the stream itself may have sound; one whose codecs are not named may."""
        return not self.codecs or any(codec.startswith(_AUDIO_CODECS) for codec in self.codecs)


@dataclass(frozen=True)
class Rendition:
    """A separate sound track of a master playlist."""

    url: str
    default: bool
    language: str


@dataclass(frozen=True)
class MasterPlaylist:
    """A playlist of playlists."""

    variants: list[Variant]
    renditions: list[Rendition]

    def choice(self) -> str:
        """The address of the smallest stream that has the sound. Raises NoRecording.

        A sound track of its own comes first (the default one, a Chinese one, any), then a variant of sound only, then the
        variant of the lowest bandwidth that is not known to be mute. A sound track without an address is in the variants
        themselves (4.3.4.1).
        """
        if self.renditions:
            return min(self.renditions, key=lambda one: (not one.default, not one.language.startswith("zh"))).url
        sounding = [variant for variant in self.variants if variant.may_sound]
        if not sounding:
            raise NoRecording("no stream of the playlist has sound", final=True)
        return min(sounding, key=lambda variant: (not variant.only_sound, variant.bandwidth)).url


def parse(text: str, url: str) -> MasterPlaylist | MediaPlaylist:
    """Read a playlist that was fetched from `url`. Raises NoRecording with the reason why it cannot be taken."""
    lines = [line.strip() for line in text.removeprefix("\ufeff").splitlines() if line.strip()]
    if not lines or not lines[0].startswith("#EXTM3U"):
        raise NoRecording("no playlist")
    if any(line.startswith(("#EXT-X-STREAM-INF", "#EXT-X-MEDIA:")) for line in lines):
        return _master(lines, url)
    if not any(line.startswith("#EXT-X-TARGETDURATION") for line in lines):
        raise NoRecording("a list of recordings, not one in segments (HLS)", final=True)
    return _media(lines, url)


def whole(playlist: MediaPlaylist) -> MediaPlaylist:
    """The playlist with segments that follow each other in one file taken as one: fewer requests for the same bytes."""
    merged: list[Segment] = []
    for segment in playlist.segments:
        last = merged[-1] if merged else None
        if (
            last
            and last.resource.part
            and segment.resource.part
            and not last.key
            and not segment.key
            and last.resource.url == segment.resource.url
            and last.resource.part[1] + 1 == segment.resource.part[0]
            and (last.init, last.stretch) == (segment.init, segment.stretch)
        ):
            part = (last.resource.part[0], segment.resource.part[1])
            merged[-1] = replace(
                last, resource=Resource(segment.resource.url, part), seconds=last.seconds + segment.seconds
            )
        else:
            merged.append(segment)
    return replace(playlist, segments=merged)


def _master(lines: Sequence[str], url: str) -> MasterPlaylist:
    variants, renditions = [], []
    stream: dict[str, str] | None = None
    for line in lines:
        if line.startswith("#EXT-X-STREAM-INF:"):
            stream = _attributes(line)
        elif line.startswith("#EXT-X-MEDIA:"):
            track = _attributes(line)
            target = join(url, track["URI"]) if "URI" in track else None
            if track.get("TYPE") == "AUDIO" and target:
                default, language = track.get("DEFAULT") == "YES", track.get("LANGUAGE", "").lower()
                renditions.append(Rendition(target, default, language))
        elif not line.startswith("#") and stream is not None:
            codecs = [codec.strip() for codec in stream.get("CODECS", "").split(",") if codec.strip()]
            target = join(url, line)
            if target:
                variants.append(Variant(target, _number(stream.get("BANDWIDTH", "0")), codecs))
            stream = None
    return MasterPlaylist(variants, renditions)


def _media(lines: Sequence[str], url: str) -> MediaPlaylist:
    segments: list[Segment] = []
    number, seconds, stretch, gap, ended = 0, 0.0, 0, False, False
    key: Key | None = None
    init: Resource | None = None
    init_key: Key | None = None
    part: str | None = None
    ends: dict[str, int] = {}  # the byte after the last part of each address, where the next begins by default
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXTINF":
            seconds = _seconds(value)
        elif tag == "#EXT-X-MEDIA-SEQUENCE":
            number = _number(value)
        elif tag == "#EXT-X-BYTERANGE":
            part = value
        elif tag == "#EXT-X-KEY":
            key = _key(_attributes(line), url)
        elif tag == "#EXT-X-MAP":
            named = _attributes(line)
            init = _resource(url, named.get("URI", ""), named.get("BYTERANGE"), {})
            init_key = key
        elif tag == "#EXT-X-DISCONTINUITY":
            stretch += 1
        elif tag == "#EXT-X-GAP":
            gap = True
        elif tag == "#EXT-X-ENDLIST":
            ended = True
        elif not line.startswith("#"):
            if len(segments) >= MAX_SEGMENTS:
                raise NoRecording(f"more than {MAX_SEGMENTS} segments", final=True)
            resource = _resource(url, line, part, ends)
            if not gap:
                segments.append(Segment(resource, seconds, number, key, init, init_key, stretch))
            number, seconds, part, gap = number + 1, 0.0, None, False
    return MediaPlaylist(segments, ended)


def _attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line.partition(":")[2])}


def _resource(base: str, link: str, part: str | None, ends: dict[str, int]) -> Resource:
    url = join(base, link)
    if url is None:
        raise NoRecording(f"the playlist names {link!r}, which is no http(s) address", final=True)
    if part is None:
        return Resource(url)
    length, _, offset = part.partition("@")
    first = _number(offset) if offset else ends.get(url, 0)
    last = first + _number(length) - 1
    if last < first:
        raise NoRecording(f"the playlist names an empty range, {part}", final=True)
    ends[url] = last + 1
    return Resource(url, (first, last))


def _key(named: dict[str, str], base: str) -> Key | None:
    method = named.get("METHOD", "NONE")
    if method == "NONE":
        return None
    if method != "AES-128" or named.get("KEYFORMAT", "identity") != "identity":
        raise NoRecording(f"protected against copies ({method}, {named.get('KEYFORMAT', 'identity')})", final=True)
    url = join(base, named.get("URI", ""))
    iv = named.get("IV")
    try:
        vector = bytes.fromhex(iv[2:].zfill(32)) if iv else None
    except ValueError:
        vector = b""
    if url is None or (vector is not None and len(vector) != 16):
        raise NoRecording("the playlist's key has no usable address or vector", final=True)
    return Key(url, vector)


def _number(text: str) -> int:
    digits = text.strip()
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20:
        raise NoRecording(f"the playlist has {digits[:40]!r} where a number belongs", final=True)
    return int(digits)


def _seconds(text: str) -> float:
    try:
        seconds = float(text.partition(",")[0])
    except ValueError:
        seconds = -1
    if not 0 <= seconds < 86_400:
        raise NoRecording(f"the playlist has a segment of {text[:40]!r} seconds", final=True)
    return seconds
