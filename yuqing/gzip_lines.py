"""The lines of a gzip object on S3: raw batches and lists of failures."""

from __future__ import annotations

import gzip
import zlib


class DamagedObject(ValueError):
    """The bytes are no whole gzip file."""


def gzip_lines(data: bytes) -> list[bytes]:
    """The lines, without their ends. Raises DamagedObject."""
    try:
        return gzip.decompress(data).splitlines()
    except (OSError, EOFError, zlib.error) as problem:  # three errors for what is foreign, cut short, or damaged inside
        raise DamagedObject(str(problem) or type(problem).__name__) from problem
