"""Entity tags: an edit names the state that it was made from, so that nobody overwrites what he has not seen."""

import hashlib
import json
from dataclasses import asdict, is_dataclass
from typing import Any

from fastapi import Request

from gateway.problems import Problem


def etag(*parts: Any) -> str:
    """A strong entity tag of values or dataclasses: 96 bits of the SHA-256 of their JSON, in quotes."""
    plain = [asdict(part) if is_dataclass(part) and not isinstance(part, type) else part for part in parts]
    return f'"{hashlib.sha256(json.dumps(plain, default=str, sort_keys=True).encode()).hexdigest()[:24]}"'


def not_modified(request: Request, current: str) -> bool:
    """Whether the reader has this state already (If-None-Match)."""
    return current in _tags(request.headers.get("if-none-match", ""))


def demand_match(request: Request, current: str) -> None:
    """Problem 428 without `If-Match`, 412 when it names another state than `current`. `*` stands for any."""
    demand_tag(request.headers.get("if-match"), current)


def demand_tag(given: str | None, current: str) -> None:
    """The same for a tag that came another way, as in the field of a form."""
    if given is None:
        raise Problem(
            428,
            "if-match-missing",
            "an edit has to name the state that it was made from",
            "read the object, and send its ETag as If-Match",
        )
    tags = _tags(given)
    if "*" not in tags and current not in tags:
        raise Problem(
            412,
            "changed-meanwhile",
            "the object has changed since it was read",
            "read it again, look at the change, and repeat the edit with the new ETag",
            headers={"ETag": current},
        )


def _tags(header: str) -> list[str]:
    # A proxy that compresses marks the tag as weak, or adds to it.
    return [tag.strip().removeprefix("W/").replace("-gzip", "") for tag in header.split(",")]
