"""What an address gave: a recording of a known type, a playlist, or neither."""

from __future__ import annotations

from yuqing import media_types
from yuqing.media_types import MediaType


class NoRecording(ValueError):
    """An address gives no recording that can be kept; `final`: nor will it when it is tried again."""

    def __init__(self, reason: str, *, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def sniff(head: bytes) -> MediaType:
    """The type by the first bytes (SNIFF_BYTES of them). Raises NoRecording."""
    found = media_types.sniff(head)
    if found is not None:
        return found
    if head.lstrip()[:1] == b"<":
        raise NoRecording("a page, not a recording")
    raise NoRecording("neither audio nor video of a known type")


def is_playlist(head: bytes) -> bool:
    """Whether the body is an M3U playlist, as those of HLS are."""
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"#EXTM3U")
