"""What a recording is, told by its first bytes, whatever its name and header say."""

from dataclasses import dataclass

SNIFF_BYTES = 512


@dataclass(frozen=True)
class MediaType:
    """What a recording is: content type and the extension of its key."""

    content_type: str
    extension: str


_MAGIC = (
    (b"ID3", MediaType("audio/mpeg", "mp3")),
    (b"OggS", MediaType("audio/ogg", "ogg")),
    (b"fLaC", MediaType("audio/flac", "flac")),
    (b"\x1aE\xdf\xa3", MediaType("video/webm", "webm")),
    (b"FLV\x01", MediaType("video/x-flv", "flv")),
    (b"#!AMR", MediaType("audio/amr", "amr")),
    (b"\x30\x26\xb2\x75\x8e\x66\xcf\x11", MediaType("video/x-ms-asf", "wmv")),
    (b"\x00\x00\x01\xba", MediaType("video/mpeg", "mpg")),
)
_AUDIO_BRANDS = (b"M4A ", b"M4B ")  # ISO base media files that hold audio only
_PACKET = 188  # bytes of an MPEG transport stream's packet, each of which begins with 0x47


def sniff(head: bytes) -> MediaType | None:
    """The type by the first bytes (SNIFF_BYTES of them); None: neither audio nor video of a known type."""
    if head[4:8] == b"ftyp":
        return MediaType("audio/mp4", "m4a") if head[8:12] in _AUDIO_BRANDS else MediaType("video/mp4", "mp4")
    if head[:4] == b"RIFF" and head[8:12] == b"WAVE":
        return MediaType("audio/wav", "wav")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return MediaType("video/x-msvideo", "avi")
    for magic, kind in _MAGIC:
        if head.startswith(magic):
            return kind
    if len(head) > _PACKET and head[0] == 0x47 and head[_PACKET] == 0x47:
        return MediaType("video/mp2t", "ts")
    if len(head) > 1 and head[0] == 0xFF:
        if head[1] & 0xF6 == 0xF0:
            return MediaType("audio/aac", "aac")  # ADTS: sync word, layer 0
        if head[1] & 0xE0 == 0xE0 and head[1] & 0x06:
            return MediaType("audio/mpeg", "mp3")  # MPEG audio frame: sync word, a layer that exists
    return None


def media_key(sha256: str, kind: MediaType) -> str:
    """media/<sha256[:2]>/<sha256>.<ext>: the key of a recording with this content."""
    return f"media/{sha256[:2]}/{sha256}.{kind.extension}"
