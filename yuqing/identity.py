"""Who is who: the keys from which everything derived takes its name. Never time, never order."""

import hashlib

from ulid import ULID

_DIGITS = 32  # 128 bits: a billion documents collide with probability 1.5e-21 (birthday bound n²/2^129)


def _digest(*parts: str) -> str:
    # The length goes first, so that ("ab", "c") and ("a", "bc") differ.
    joined = b"".join(len(data).to_bytes(8, "big") + data for data in (part.encode() for part in parts))
    return hashlib.sha256(joined).hexdigest()[:_DIGITS]


def doc_id(kind: str, canonical_url: str, media_sha256: str | None = None) -> str:
    """A document's identity, 32 hex digits. A transcript's has its recording's sha256 in it; a feed entry is its page."""
    same = "page" if kind == "feed_entry" else kind
    return _digest(same, canonical_url, media_sha256 or "")


def content_hash(text: str) -> str:
    """A version's identity, 32 hex digits: equal texts have equal hashes."""
    return _digest(text)


def derived_id(*parts: str) -> str:
    """A key derived from other keys, 32 hex digits."""
    return _digest(*parts)


def new_ulid() -> str:
    """A time-ordered unique name for a batch or a run (26 characters)."""
    return str(ULID())
